"""`m3di train`: one run, or a sweep of runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from m3di.cli.asking import YES, Question, TimeTold
from m3di.cli.command import SEVERAL, command
from m3di.cli.completion import PRESETS
from m3di.cli.from_fields import TRAIN, options_of
from m3di.cli.options import FOLDER, IMPORT, with_options
from m3di.cli.progress import progress_console, writer
from m3di.cli.telling import say
from m3di.errors import UsageError

if TYPE_CHECKING:
    from m3di.learn import TrainConfig, TrainResult
    from m3di.learn.training.sweep import Sweep

RUNS = Path("runs")


@contextmanager
def loss_bar(
    n_steps: int, name: str, place: str, question: Question | None = None
) -> Iterator[Callable[[int, float], None]]:
    """Show a bar with the loss, and after the first steps the time that the others take.

    If the output is not a terminal, there is a line for about every tenth of the steps instead of the bar. The question
    is asked once that time is known.
    """
    console = progress_console()
    time_told = TimeTold(n_steps, place)
    columns = (TextColumn(name), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=n_steps)

        def on_step(step: int, loss: float) -> None:
            bar.update(task, completed=step, description=f"loss {loss:.4f}")
            told = time_told.after(step)
            if told is not None:
                writer(console)(f"{name}: {told}")
            if told is not None and question is not None:
                bar.stop()
                question.after(time_told)
                bar.start()
            if not console.is_terminal and (step % max(1, n_steps // 10) == 0 or step == 1):
                say(f"step {step}/{n_steps}  loss {loss:.4f}")

        yield on_step


SWEEP = (
    click.option(
        "--sweep", "axes", multiple=True, type=SEVERAL, metavar="NAME=A:B|A,B", help="Train once a value. Repeatable."
    ),
    click.option("--seeds", "n_seeds", type=int, help="Train once a seed.  [default: as the preset]"),
    click.option("--sweep-member", "share", metavar="I/N", help="Only members I, I+N, ... (from 0): job arrays."),
    click.option("--ray", "ray_address", metavar="ADDRESS", help="Run the members of a sweep on a Ray cluster."),
)


def of_presets() -> dict[str, str]:
    """List the fields that a preset can set, for the help."""
    from m3di.learn.training.config import PRESETS

    return {name: "of the preset" for preset in PRESETS.values() for name in preset.values}


@command(
    examples=(
        "m3di train --data data/m3di --steps 1000 --batch-size 64",
        "m3di train --data data/m3di --preset cpu-demo --seed 1",
        "m3di train --data data/m3di --sweep encoding_size=1:8 --seeds 3 --run runs/sizes",
        "m3di train --presets",
    )
)
@click.option("--data", "root", type=FOLDER, default=Path("data/m3di"), show_default=True, help="Folder of a dataset.")
@click.option("--run", type=FOLDER, help="Folder of the run, or of the sweep.  [default: runs/NAME-NUMBER]")
@click.option(
    "--preset",
    type=PRESETS,
    default="quick",
    show_default=True,
    help="Values of all other options: see `m3di train --presets`.",
)
@click.option("--presets", is_flag=True, help="List the presets and exit.")
@IMPORT
@options_of(TRAIN, beside="m3di.cli.train:of_presets")
@with_options(*SWEEP)
@YES
def train(
    root: Path,
    run: Path | None,
    preset: str,
    presets: bool,
    modules: tuple[str, ...],
    axes: tuple[str, ...],
    n_seeds: int | None,
    share: str | None,
    ray_address: str | None,
    yes: bool,
    **hyperparameters: Any,
) -> None:
    """Train encoders of two or more views with the symmetric InfoNCE loss.

    Run the same command again to continue a run, or a sweep, that was stopped; with --run and more --steps, to make a
    finished run longer. Several GPUs for one run:
    `torchrun --nproc-per-node 4 --no-python -- m3di train ...`, with the two dashes.
    """
    from m3di.learn import config_from, find_preset, import_modules, keep_freed_memory
    from m3di.learn.training.sweep import make_sweep, read_sweep

    if presets:
        _list_presets()
        return
    keep_freed_memory()
    import_modules(modules)
    if share is not None and not axes and n_seeds is None and run is not None and preset == "quick":
        _refuse_beside(hyperparameters, root)
        _run_sweep(read_sweep(run), run, share, ray_address, yes=yes)  # of an existing sweep
        return
    config = config_from(preset, hyperparameters)
    if n_seeds is None:  # a sweep over seeds has its own
        has_seeds = any(axis.partition("=")[0].strip() == "seed" for axis in axes)
        n_seeds = 1 if has_seeds else find_preset(preset).n_seeds
    if axes or n_seeds != 1 or share is not None:
        _run_sweep(make_sweep(root, config, axes, n_seeds), run, share, ray_address, yes=yes)
    elif ray_address is not None:
        raise UsageError(
            "a cluster trains the members of a sweep, and this is one run",
            where="--ray",
            got=ray_address,
            expected="--sweep or --seeds beside it",
            next_step="leave --ray out to train on this machine",
        )
    else:
        _tell(_run_one(root, run, config, "train", Question(yes)))


def _refuse_beside(hyperparameters: Mapping[str, Any], root: Path) -> None:
    """Refuse settings beside a sweep that is there: it has its own."""
    given = {name: value for name, value in hyperparameters.items() if value not in (None, ())}
    if click.get_current_context().get_parameter_source("root") is not ParameterSource.DEFAULT:
        given["data"] = root
    for name, value in given.items():
        raise UsageError(
            "the sweep is there, with settings and data of its own",
            where=f"--{name.replace('_', '-')}",
            got=value,
            expected="--run and --sweep-member alone",
            next_step="leave it out; or name --sweep and --seeds too, to begin another sweep",
        )


def _list_presets() -> None:
    from m3di.learn import PRESETS

    for name, preset in PRESETS.items():
        values = ", ".join(f"{key} {value}" for key, value in preset.values.items())
        click.echo(f"{name}\n    {preset.description}\n    {values}")


def _tell(result: TrainResult) -> None:
    if is_first_process():
        say(str(result))


def _run_one(root: Path, run: Path | None, config: TrainConfig, name: str, question: Question) -> TrainResult:
    from m3di.learn import train as train_encoders
    from m3di.learn.training.device import resolve_device

    place = {"cpu": "on the CPU", "cuda": "on a GPU"}[resolve_device(config.device)]
    with loss_bar(config.n_steps, name, place, question) if is_first_process() else nullcontext() as on_step:
        return train_encoders(root, run, config, on_step, runs=RUNS)


def is_first_process() -> bool:
    """Whether this is the first process of torchrun, which alone shows progress."""
    return os.environ.get("RANK", "0") == "0"


def _run_sweep(
    sweep: Sweep, run: Path | None, share: str | None, ray_address: str | None, *, yes: bool = False
) -> None:
    from m3di.learn.training.run_folder import read_summary
    from m3di.learn.training.sweep import run_members, share_of, sweep_folder, write_sweep
    from m3di.learn.training.sweep_workers import n_devices, run_on_each_device, run_on_ray

    if share is not None and run is None:
        raise UsageError(
            "--sweep-member needs --run: all jobs of an array must write to one folder",
            where="--sweep-member",
            next_step="add --run FOLDER",
        )
    sweep = sweep.on_its_data()
    folder = run or sweep_folder(RUNS, sweep)
    names = share_of(sweep, share)
    write_sweep(folder, sweep)
    left = [name for name in names if read_summary(folder / name) is None]
    question = Question(yes, sum(sweep.config_of(name).n_steps for name in left[1:]))

    def run_one(folder: Path, name: str) -> TrainResult:
        result = _run_one(sweep.data_root, folder / name, sweep.config_of(name), name, question)
        _tell(result)
        return result

    if ray_address is not None:
        run_on_ray(folder, names, ray_address)
    elif share is None and n_devices(folder) > 1:
        run_on_each_device(folder, n_devices(folder))
    else:
        run_members(folder, names, run_one)
    if is_first_process():
        say(f"{folder}: {len(names)} members finished")
