"""The command line: all commands in one group, and the handling of their errors."""

from __future__ import annotations

import errno
import io
import os
import sys
from pathlib import Path

import click

from m3di._version import __version__
from m3di.cli.browse import browse
from m3di.cli.command import SEVERAL, group, read_config
from m3di.cli.datasets import export_dataset, import_dataset, merge_datasets, push_dataset, show_info, subset_dataset
from m3di.cli.doctor import doctor
from m3di.cli.evaluate import compare, evaluate, report
from m3di.cli.example import copy_the_example
from m3di.cli.options import FOLDER
from m3di.cli.parts import finalize
from m3di.cli.preview import preview
from m3di.cli.render import render
from m3di.cli.reproduce import reproduce
from m3di.cli.sample import sample_latents
from m3di.cli.shapes import shapes
from m3di.cli.simulate import simulate
from m3di.cli.specs import specs
from m3di.cli.train import train
from m3di.cli.verify import verify
from m3di.errors import DiskError, M3diError, UsageError, printable, without_credentials
from m3di.system.signals import INTERRUPTED, exit_code_of, interrupt_behind, sigterm_interrupts


@group(
    context_settings={"help_option_names": ["-h", "--help"]},
    examples=(
        "m3di doctor",
        "m3di example data/example",
        "m3di --quiet verify data/example",
        "m3di render --spec m3di --n 100 --size 64 --out data/small",
    ),
)
@click.version_option(__version__, prog_name="m3di")
@click.option(
    "--plugin",
    "plugins",
    multiple=True,
    type=SEVERAL,
    metavar="FILE|DATASET",
    help="Run a Python file that registers mechanisms or modalities, or those of a dataset. Repeatable.",
)
@click.option("--config", type=FOLDER, metavar="FILE", help="A YAML file of options: `render: {size: 64}`.")
@click.pass_context
def cli(context: click.Context, plugins: tuple[str, ...], config: Path | None) -> None:
    """Multimodal datasets whose every generative factor is known.

    An option that is not typed comes from the environment (M3DI_RENDER_SIZE=64 for `m3di render --size 64`), then from
    the file of --config.
    """
    if config is not None:
        read_config(context, config)
    for name in plugins:
        run_plugins_of(name)


def run_plugins_of(name: str) -> None:
    """Run a plugin file, or the plugins of a dataset, as the user asked.

    Raises:
        UsageError: It is neither, or fails.
    """
    from m3di.data import MANIFEST, plugins_in
    from m3di.latents import read_plugin, run_plugin

    if not (Path(name) / MANIFEST).is_file():
        read_plugin(Path(name))
        return
    plugins = plugins_in(Path(name))
    if not plugins:
        raise UsageError(
            "the dataset came with no plugin", where=f"--plugin {name}", got="a spec without `plugins`",
            expected="a dataset with plugins, or a .py file", next_step="leave --plugin out",
        )  # fmt: skip
    for file, text in plugins.items():
        run_plugin(text, file)


for each in (
    *(
        browse,
        compare,
        copy_the_example,
        doctor,
        evaluate,
        export_dataset,
        finalize,
        import_dataset,
        show_info,
        merge_datasets,
        preview,
        push_dataset,
        render,
        report,
        reproduce,
    ),
    *(sample_latents, shapes, simulate, specs, subset_dataset, train, verify),
):
    cli.add_command(each)


def main() -> None:
    """Entry point: turn our errors into one message and an exit code."""
    _open_closed_streams()
    try:
        with sigterm_interrupts():
            code = cli(standalone_mode=False)
        if isinstance(code, int) and code:  # of `click.exceptions.Exit`
            sys.exit(code)
    except M3diError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        text = io.StringIO()
        error.show(file=text)
        click.echo(printable(without_credentials(text.getvalue())), err=True, nl=False)  # it repeats what was typed
        sys.exit(error.exit_code)
    except Exception as error:
        interrupt = interrupt_behind(error)
        if interrupt is None and isinstance(error, OSError) and (refusal := _refusal(error)):
            click.echo(f"Error: {refusal}", err=True)
            sys.exit(refusal.exit_code)
        if interrupt is None and not isinstance(error, click.Abort):
            raise
        click.echo(INTERRUPTED, err=True)
        sys.exit(exit_code_of(interrupt))


def _open_closed_streams() -> None:
    """Let what is printed to a stream that is closed (`2>&-`) vanish.

    Left closed, the next file that is opened would get its number, and with it what Blender prints.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


def _refusal(error: OSError) -> M3diError | None:
    """Make the message for what the system refuses to any program; None if it may be a mistake of ours."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO) and error.filename is None:
        return DiskError(
            "what was asked for could not be written", where="stdout, or a file of the command", got=error.strerror,
            next_step="free some space or name another place, then run the same command again",
        )  # fmt: skip
    try:
        Path.cwd()
    except OSError:
        return DiskError(
            "the current folder does not exist any more", where="the shell", got=error.strerror,
            next_step="change to a folder that exists, then run the same command again",
        )  # fmt: skip
    return None
