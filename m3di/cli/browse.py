"""`m3di browse`: a page to look at a dataset."""

from __future__ import annotations

import webbrowser
from contextlib import suppress
from pathlib import Path

import click
from click.core import ParameterSource

from m3di.cli.command import SEVERAL, command
from m3di.cli.options import FOLDER, PLACE
from m3di.cli.telling import say
from m3di.errors import UsageError, without_credentials


@command(
    examples=(
        "m3di browse data/m3di",
        "m3di browse data/m3di --with data/right --no-open",
        "m3di browse data/m3di --run runs/m3di-001 --out page.html --n 500",
    )
)
@PLACE
@click.option(
    "--with", "others", multiple=True, type=SEVERAL, metavar="FOLDER|URL",
    help="Another dataset of the same factors beside it, such as one with --do. Repeatable.",
)  # fmt: skip
@click.option("--encodings", type=FOLDER, metavar="NPZ", help="Encodings that `m3di evaluate --save-encodings` wrote.")
@click.option("--run", type=FOLDER, metavar="RUN", help="Folder of a training run: its losses as they come, a map.")
@click.option("--n-encoded", default=2000, show_default=True, help="Most samples to encode by --run; 0 for no map.")
@click.option("--out", type=FOLDER, metavar="HTML", help="Write one file to send, and serve nothing.")
@click.option("--n", default=500, show_default=True, help="At most so many samples in the file of --out.")
@click.option("--thumbnail", default=128, show_default=True, help="Widest picture in the file of --out, in pixels.")
@click.option("--port", default=0, show_default=True, help="Where to listen on this machine; 0 takes a free port.")
@click.option("--open/--no-open", "opens", default=True, show_default=True, help="Open the page in a browser.")
def browse(
    root: str,
    others: tuple[str, ...],
    encodings: Path | None,
    run: Path | None,
    n_encoded: int,
    out: Path | None,
    n: int,
    thumbnail: int,
    port: int,
    opens: bool,
) -> None:
    """Look at a dataset in a browser: pictures, captions, factors; filter, sort, compare."""
    from m3di.browse import (
        PageServer,
        check_n_encoded,
        encoded_look,
        held_out_rows,
        open_look,
        rows_of_page,
        write_page,
    )
    from m3di.cli.progress import progress_bar

    if not 0 <= port < 1 << 16:
        raise UsageError("there is no such port", where="--port", got=port, expected="0 to 65535")
    check_n_encoded(n_encoded)
    _refuse_unused(has_out=out is not None, has_run=run is not None, has_encodings=encodings is not None)
    look = open_look((root, *others), encodings, run)
    if run is not None:
        rows = held_out_rows(look.gathered) if out is None else rows_of_page(look, n)
        with progress_bar("encode", "samples") as count:
            look = encoded_look(look, rows, n_encoded, count)
        say(f"encodings: {look.about['encoded'] or 'none'}")
    if out is not None:
        with progress_bar("page", "samples") as count:
            shown = write_page(look, out, n, thumbnail, count)
        say(f"look at  {out}: {shown:,} of {look.gathered.n_rows:,} samples")
        return
    with PageServer(look, port) as server:
        click.echo(f"{without_credentials(root)}: {look.gathered.n_rows:,} samples; Ctrl-C ends\nlook at  {server.url}")
        if opens:
            webbrowser.open(server.url)
        with suppress(KeyboardInterrupt):  # the way to end it
            server.serve_forever()


def _refuse_unused(*, has_out: bool, has_run: bool, has_encodings: bool) -> None:
    """Refuse options that were typed and are of no use beside the others. A config file may hold all of them.

    Raises:
        UsageError: It names the first of them.
    """
    unused = []
    for name in ("port", "opens") if has_out else ():
        unused.append((name, "is about a page that is served", "no --out", "leave it or --out out"))
    for name in () if has_out else ("n", "thumbnail"):
        unused.append((name, "belongs to --out", "--out beside it", "add --out, or leave it out"))
    if not has_run:
        unused.append(("n_encoded", "belongs to --run", "--run beside it", "add --run, or leave it out"))
    elif has_encodings:
        unused.append(("n_encoded", "makes encodings, and they are given", "no --encodings", "leave one of them out"))
    ctx = click.get_current_context()
    for name, what, expected, next_step in unused:
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            switch = {"opens": "open" if ctx.params[name] else "no-open"}
            raise UsageError(
                f"this option {what}: it is of no use here",
                where=f"--{switch.get(name, name.replace('_', '-'))}",
                got=None if name in switch else ctx.params[name],
                expected=expected,
                next_step=next_step,
            )
