"""`m3di train`: one run, or a sweep of runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from m3di.cli.options import IMPORT
from m3di.cli.paths import UserPath
from m3di.errors import UsageError

if TYPE_CHECKING:
    from m3di.learn import TrainConfig, TrainResult
    from m3di.learn.training.sweep import Sweep

FOLDER = UserPath()
RUNS = Path("runs")


@contextmanager
def loss_bar(n_steps: int, name: str = "train") -> Iterator[Callable[[int, float], None]]:
    """A bar with the loss; where the output is no terminal, a line for about every tenth of the steps."""
    console = Console(stderr=True)
    columns = (TextColumn(name), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=n_steps)

        def on_step(step: int, loss: float) -> None:
            bar.update(task, completed=step, description=f"loss {loss:.4f}")
            if not console.is_terminal and (step % max(1, n_steps // 10) == 0 or step == 1):
                click.echo(f"step {step}/{n_steps}  loss {loss:.4f}")

        yield on_step


def _words(_context: click.Context, _option: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(name.strip() for name in value.split(",") if name.strip())


def _numbers(_context: click.Context, option: click.Parameter, texts: tuple[str, ...]) -> dict[str, float] | None:
    """`NAME=NUMBER` of each, or None where there is none."""
    found = {}
    for text in texts:
        name, _, number = text.partition("=")
        try:
            found[name.strip().replace("-", "_")] = float(number)
        except ValueError:
            raise UsageError(
                "this option takes a name and a number", where=option.opts[0], got=text, expected="NAME=NUMBER"
            ) from None
    return found or None


HYPERPARAMETERS = (
    click.option("--views", callback=_words, help="Views to train on, such as image,text.  [default: all]"),
    click.option("--steps", "n_steps", type=int, help="Optimiser steps."),
    click.option("--batch-size", type=int, help="Pairs a step, of all processes together."),
    click.option("--accumulate", type=int, metavar="PARTS", help="Encode a batch in parts, for less memory."),
    click.option("--lr", type=float, help="Learning rate of Adam, at its highest."),
    click.option("--schedule", help="Of the learning rate: constant, or cosine (down to 0)."),
    click.option("--warmup", "n_warmup_steps", type=int, help="Steps in which the learning rate rises."),
    click.option("--weight-decay", type=float, help="Above 0: AdamW; of weights, not of biases, norms, temperature."),
    click.option("--clip-norm", type=float, help="Longest gradient."),
    click.option("--loss", help="Objective, by name; a wrong name lists all.  [default: infonce]"),
    click.option(
        "--loss-option",
        "loss_options",
        multiple=True,
        metavar="NAME=NUMBER",
        callback=_numbers,
        help="Of the loss's own, such as bias=-5. Repeatable.",
    ),
    click.option("--temperature", type=float, help="Temperature of the loss."),
    click.option(
        "--learn-temperature/--fixed-temperature", default=None, help="Train the temperature too, from 0.01 up."
    ),
    click.option("--similarity", help="cosine or neg_squared_euclidean."),
    click.option("--negatives", help="cross (equation 4), or all: within a modality too, as the published code."),
    click.option("--encoding-size", type=int, help="Numbers that a view becomes."),
    click.option("--hidden-size", type=int, help="Width of the image encoder's last hidden layer."),
    click.option("--image-encoder", help="resnet18, timm:NAME, or one that you registered."),
    click.option("--text-encoder", help="convnet, or one that you registered."),
    click.option(
        "--augment", callback=_words, metavar="NAMES", help="Such as shift,color,noise; a wrong name lists all."
    ),
    click.option("--share-encoders/--own-encoders", default=None, help="One encoder for all views of a modality."),
    click.option("--seed", type=int, help="Seed of the weights and of the order of samples."),
)
MACHINE = (
    click.option("--device", help="cpu, cuda or auto."),
    click.option("--precision", help="fp32 (IEEE), tf32, bf16, or auto: bf16 where the device is fast at it."),
    click.option("--compile/--no-compile", default=None, help="Use torch.compile."),
    click.option("--threads", "n_threads", type=int, help="Threads of torch on the CPU."),
    click.option("--workers", "n_workers", type=int, help="Workers that load ahead.  [default: 8 for a GPU, else 0]"),
    click.option("--worker-kind", help="threads, or processes: for a dataset that only one thread may read."),
    click.option("--cache", help="Keep decoded images: ram, disk or none."),
    click.option("--checkpoint-every", type=int, help="Steps between checkpoints."),
    click.option("--keep-checkpoints", type=int, metavar="EVERY", help="Steps between checkpoints that are kept."),
    click.option("--patience", type=int, metavar="N", help="End after N measurements without a new least val loss."),
    click.option("--logger", "loggers", callback=_words, metavar="NAMES", help="wandb, mlflow: log metrics there too."),
    click.option("--val-every", type=int, help="Steps between measurements of the validation loss."),
    click.option("--diagnostics-every", type=int, help="Steps between measurements of alignment and entropy."),
    click.option("--tensorboard/--no-tensorboard", default=None, help="Write metrics for TensorBoard too."),
)
SWEEP = (
    click.option("--sweep", "axes", multiple=True, metavar="NAME=A:B|A,B", help="Train once a value. Repeatable."),
    click.option("--seeds", "n_seeds", type=int, help="Train once a seed.  [default: as the preset]"),
    click.option("--sweep-member", "share", metavar="I/N", help="Only members I, I+N, ... (from 0): job arrays."),
    click.option("--ray", "ray_address", metavar="ADDRESS", help="Run the members of a sweep on a Ray cluster."),
)


def _with(options: tuple[Callable[..., Any], ...]) -> Callable[..., Any]:
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


@click.command()
@click.option("--data", "root", type=FOLDER, default=Path("data/m3di"), show_default=True, help="Folder of a dataset.")
@click.option("--run", type=FOLDER, help="Folder of the run, or of the sweep.  [default: runs/NAME-NUMBER]")
@click.option(
    "--preset", default="quick", show_default=True, help="Where all else comes from: see `m3di train --presets`."
)
@click.option("--presets", is_flag=True, help="List the presets and exit.")
@IMPORT
@_with(HYPERPARAMETERS)
@_with(MACHINE)
@_with(SWEEP)
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
        _run_sweep(read_sweep(run), run, share, ray_address)  # of a sweep that is there
        return
    config = config_from(preset, hyperparameters)
    n_seeds = find_preset(preset).n_seeds if n_seeds is None else n_seeds
    if axes or n_seeds != 1 or share is not None:
        _run_sweep(make_sweep(root, config, axes, n_seeds), run, share, ray_address)
    else:
        result = _run_one(root, run, config)
        if is_first_process():
            click.echo(result)


def _list_presets() -> None:
    from m3di.learn import PRESETS

    for name, preset in PRESETS.items():
        values = ", ".join(f"{key} {value}" for key, value in preset.values.items())
        click.echo(f"{name}\n    {preset.description}\n    {values}")


def _run_one(root: Path, run: Path | None, config: TrainConfig, name: str = "train") -> TrainResult:
    from m3di.learn import train as train_encoders

    with loss_bar(config.n_steps, name) if is_first_process() else nullcontext() as on_step:
        return train_encoders(root, run, config, on_step, runs=RUNS)


def is_first_process() -> bool:
    """Of those that torchrun started; it alone says how far they are."""
    return os.environ.get("RANK", "0") == "0"


def _run_sweep(sweep: Sweep, run: Path | None, share: str | None, ray_address: str | None) -> None:
    from m3di.learn.training.sweep import run_members, share_of, sweep_folder, write_sweep
    from m3di.learn.training.sweep_workers import n_devices, run_on_each_device, run_on_ray

    if share is not None and run is None:
        raise UsageError(
            "--sweep-member needs --run: all jobs of an array must write to one folder",
            where="--sweep-member",
            next_step="add --run FOLDER",
        )
    folder = run or sweep_folder(RUNS, sweep)
    names = share_of(sweep, share)
    write_sweep(folder, sweep)

    def run_one(folder: Path, name: str) -> TrainResult:
        result = _run_one(sweep.data_root, folder / name, sweep.config_of(name), name)
        click.echo(result)
        return result

    if ray_address is not None:
        run_on_ray(folder, names, ray_address)
    elif share is None and n_devices(folder) > 1:
        run_on_each_device(folder, n_devices(folder))
    else:
        run_members(folder, names, run_one)
    click.echo(f"{folder}: {len(names)} members finished")
