"""The command line: parse, call, print."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from m3di import __version__
from m3di.cli_shapes import shapes
from m3di.cli_simulate import simulate
from m3di.errors import M3diError
from m3di.progress import progress_bar

FOLDER = click.Path(path_type=Path, file_okay=True)


@contextmanager
def loss_bar(n_steps: int) -> Iterator[Callable[[int, float], None]]:
    """A bar with the loss; where the output is no terminal, a line for about every tenth of the steps."""
    console = Console(stderr=True)
    columns = (TextColumn("train"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=n_steps)

        def on_step(step: int, loss: float) -> None:
            bar.update(task, completed=step, description=f"loss {loss:.4f}")
            if not console.is_terminal and (step % max(1, n_steps // 10) == 0 or step == 1):
                click.echo(f"step {step}/{n_steps}  loss {loss:.4f}")

        yield on_step


def with_options(*options: Callable[..., Any]) -> Callable[..., Any]:
    """One decorator of several options, shown in their order."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


SPEC_OPTIONS = (
    click.option("--spec", default="m3di", show_default=True, help="Name of a built-in spec, or a .yaml file."),
    click.option(
        "--do",
        "interventions",
        multiple=True,
        metavar="FACTOR=VALUE",
        help="Intervene: a value, or a mechanism such as uniform. Repeatable.",
    ),
    click.option("--seed", default=0, show_default=True, help="Seed of all noise streams."),
)
SCENE_OPTIONS = (
    *SPEC_OPTIONS,
    click.option("--size", "size_px", default=224, show_default=True, help="Side of the images in pixels."),
    click.option("--workers", "n_workers", type=int, help="Worker processes.  [default: one a core]"),
    click.option("--gpu", is_flag=True, help="Render on the GPU."),
)


def quality_option(default: str) -> Callable[..., Any]:
    """`--quality`, with the names of the presets."""
    names = click.Choice(["draft", "standard", "paper"])
    return click.option("--quality", type=names, default=default, show_default=True, help="How images are sampled.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="m3di")
def cli() -> None:
    """Multimodal datasets whose every generative factor is known."""


@cli.command()
@click.option("--n", "n_train", type=int, help="Training samples.  [default: what the spec says]")
@click.option("--n-val", type=int, help="Validation samples.  [default: 8 % of --n]")
@click.option("--n-test", type=int, help="Test samples.  [default: 8 % of --n]")
@click.option("--out", type=FOLDER, help="Folder of the dataset.  [default: data/NAME]")
@with_options(*SCENE_OPTIONS)
@quality_option("standard")
@click.option("--shard-size", default=1000, show_default=True, help="Samples of a shard.")
@click.option("--passes", default="", help="Further files beside each image: some of mask,depth,normal.")
def render(out: Path | None, spec: str, passes: str, **options: Any) -> None:
    """Render a dataset; run it again to continue an interrupted run."""
    from m3di.generate import RenderOptions
    from m3di.generate import render as render_dataset

    root = out or Path("data") / Path(spec).stem
    names = tuple(dict.fromkeys(name.strip() for name in passes.split(",") if name.strip()))
    with progress_bar("render") as progress:
        manifest = render_dataset(RenderOptions(out=root, spec=spec, passes=names, **options), progress)
    counts = ", ".join(f"{name} {n}" for name, n in manifest.n_samples.items())
    click.echo(f"{root}: {counts} samples\nload it:  m3di.Multimodal3DIdent({str(root)!r})")


@cli.command()
@click.option("--n", default=12, show_default=True, help="Samples to show.")
@click.option("--out", type=FOLDER, default=Path("preview.png"), show_default=True, help="The PNG to write.")
@with_options(*SCENE_OPTIONS)
@quality_option("draft")
@click.option("--columns", "n_columns", default=4, show_default=True, help="Samples in a row.")
def preview(out: Path, n: int, n_columns: int, **options: Any) -> None:
    """Render a contact sheet of a spec: images with captions and latents."""
    from m3di.generate import RenderOptions
    from m3di.generate import preview as render_preview
    from m3di.report import save_contact_sheet

    with progress_bar("preview") as progress:
        shown = render_preview(RenderOptions(out=out, **options), n, progress)
    save_contact_sheet(out, shown.samples, shown.images, shown.captions, n_columns=n_columns)
    click.echo(f"look at  {out}")


@cli.command("sample")
@click.option("--n", required=True, type=int, help="Samples.")
@click.option("--out", type=FOLDER, required=True, help="The .parquet or .csv file to write.")
@click.option("--split", default="train", show_default=True, help="train, val or test.")
@with_options(*SPEC_OPTIONS)
def sample_latents(spec: str, interventions: tuple[str, ...], seed: int, n: int, split: str, out: Path) -> None:
    """Draw latents and captions only: raw and physical values, no images."""
    from m3di.data import write_samples
    from m3di.latents import intervene, load_spec, sample

    intervened = intervene(load_spec(spec), interventions)
    write_samples(out, sample(intervened, split, n, seed=seed))
    click.echo(f"{out}: {n} samples of {intervened.name}")


@cli.group()
def specs() -> None:
    """Built-in specs, and checks of your own."""


SPEC = click.argument("spec", metavar="NAME|FILE")


@specs.command("list")
def list_specs() -> None:
    """Names and descriptions of the built-in specs."""
    from m3di.latents import load_spec, spec_names

    for name in spec_names():
        click.echo(f"{name}\n    {load_spec(name).description}")


@specs.command("show")
@SPEC
def show_spec(spec: str) -> None:
    """Print a resolved spec as YAML."""
    from m3di.latents import load_spec, to_yaml

    click.echo(to_yaml(load_spec(spec)), nl=False)


@specs.command("check")
@SPEC
def check_spec(spec: str) -> None:
    """Report every problem of a spec file."""
    from m3di.latents import load_spec

    loaded = load_spec(spec)
    click.echo(f"{spec}: sound; {len(loaded.factors)} factors, views {', '.join(loaded.observed)}")


@specs.command("graph")
@SPEC
@click.option("--out", type=FOLDER, help="The .png, .svg or .pdf to write.  [default: NAME-graph.png]")
def graph_spec(spec: str, out: Path | None) -> None:
    """Draw the causal graph, one panel a view."""
    from m3di.latents import load_spec
    from m3di.report import save_causal_graph

    loaded = load_spec(spec)
    path = out or Path(f"{loaded.name}-graph.png")
    save_causal_graph(path, loaded)
    click.echo(f"look at  {path}")


@specs.command("bounds")
@SPEC
@click.option("--n", default=100_000, show_default=True, help="Samples of the estimates.")
def bound_spec(spec: str, n: int) -> None:
    """How well each factor can be predicted from the content block alone."""
    from m3di.latents import bounds, load_spec

    table = Table("view", "factor", "role", "metric", "best", "chance", "method", box=None)
    for each in bounds(load_spec(spec), n=n):
        table.add_row(
            each.view, each.factor, each.role, each.metric, f"{each.value:.3f}", f"{each.chance:.3f}", each.method
        )
    Console(width=120).print(table)


@cli.command()
@click.argument("root", type=FOLDER)
@click.option("--quick", is_flag=True, help="Structure only: sizes, members, rows; no hashes, images or latents.")
@click.option("--repair", is_flag=True, help="Render anew what is bad.")
@click.option("--workers", "n_workers", type=int, help="Worker processes of --repair.  [default: one a core]")
def verify(root: Path, quick: bool, repair: bool, n_workers: int | None) -> None:
    """Check every file and every sample of a dataset."""
    from m3di.data import verify as verify_dataset

    if repair:
        from m3di.repair import repair as repair_dataset

        with progress_bar("repair") as progress:
            bad = repair_dataset(root, n_workers, progress)
        click.echo(f"{root}: made anew: {', '.join(bad)}" if bad else f"{root}: nothing to repair")
        return
    n_files = len(verify_dataset(root, quick=quick).files)
    checked = "have the right structure" if quick else "are as they were made"
    click.echo(f"{root}: all {n_files} files {checked}")


@cli.command()
@click.option("--data", "root", type=FOLDER, default=Path("data/m3di"), show_default=True, help="Folder of a dataset.")
@click.option("--run", type=FOLDER, help="Folder of the run.  [default: the next free runs/NAME-NUMBER]")
@click.option("--steps", "n_steps", default=1000, show_default=True, help="Optimiser steps.")
@click.option("--batch-size", default=64, show_default=True, help="Pairs a step.")
@click.option("--lr", default=1e-4, show_default=True, help="Learning rate of Adam.")
@click.option("--temperature", default=1.0, show_default=True, help="Temperature of the loss.")
@click.option("--similarity", default="cosine", show_default=True, help="cosine or neg_squared_euclidean.")
@click.option("--encoding-size", default=4, show_default=True, help="Numbers that an image or a text becomes.")
@click.option("--seed", default=0, show_default=True, help="Seed of the weights and of the order of samples.")
@click.option("--workers", "n_workers", default=0, show_default=True, help="Processes that load samples.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda or auto.")
def train(root: Path, run: Path | None, **options: Any) -> None:
    """Train an image and a text encoder with the symmetric InfoNCE loss."""
    from m3di.learn import TrainConfig, next_run
    from m3di.learn import train as train_encoders

    config = TrainConfig(**options)
    with loss_bar(config.n_steps) as on_step:
        result = train_encoders(root, run or next_run(Path("runs"), root.name), config, on_step)
    click.echo(f"{result.run}: {result.n_steps} steps in {result.seconds:.0f} s, last loss {result.final_loss:.4f}")


ROOT = click.argument("root", type=FOLDER)
OUT = click.option("--out", type=FOLDER, required=True, help="A new or empty folder.")


@cli.command("export")
@ROOT
@click.option("--to", "layout", required=True, metavar="LAYOUT", help="upstream, imagefolder or croissant.")
@click.option("--out", type=FOLDER, required=True, help="A new or empty folder; for croissant the file.")
def export_dataset(root: Path, layout: str, out: Path) -> None:
    """Write a dataset in another layout: the published one, Hugging Face ImageFolder, or croissant.json."""
    from m3di.data import export

    export(root, layout, out)
    click.echo(f"{out}: {root} as {layout}")


@cli.command("import")
@click.argument("source", type=FOLDER)
@ROOT
@click.option(
    "--shard-size", default=1000, show_default=True, help="Samples of a shard; an export of ours keeps its own."
)
def import_dataset(source: Path, root: Path, shard_size: int) -> None:
    """Turn the published layout (SOURCE, a folder or .tar.gz) into a dataset."""
    from m3di.data import import_published

    _wrote(root, import_published(source, root, shard_size).n_samples)


@cli.command("merge")
@click.argument("roots", type=FOLDER, nargs=-1, required=True)
@OUT
def merge_datasets(roots: tuple[Path, ...], out: Path) -> None:
    """Join datasets of one spec."""
    from m3di.data import merge

    _wrote(out, merge(roots, out).n_samples)


@cli.command("subset")
@ROOT
@OUT
@click.option("--split", "splits", multiple=True, help="Splits to keep. Repeatable.  [default: all]")
@click.option("--n", type=int, help="At most that many samples of each split.")
@click.option("--where", metavar="CONDITION", help="Such as 'image.object_shape == 3 and image.object_color < 0.5'.")
@click.option("--images", metavar="FORMAT", help="png, webp or qoi.  [default: as they are]")
def subset_dataset(
    root: Path, out: Path, splits: tuple[str, ...], n: int | None, where: str | None, images: str | None
) -> None:
    """Cut a dataset by split, count or condition."""
    from m3di.data import subset

    _wrote(out, subset(root, out, splits=splits, n=n, where=where, images=images).n_samples)


@cli.command("info")
@ROOT
def show_info(root: Path) -> None:
    """Print what a dataset is."""
    from m3di.data import info

    click.echo(info(root))


def _wrote(root: Path, n_samples: dict[str, int]) -> None:
    click.echo(f"{root}: {', '.join(f'{name} {n}' for name, n in n_samples.items())} samples")


cli.add_command(shapes)
cli.add_command(simulate)


def main() -> None:
    """Entry point: errors of ours are one message and an exit code."""
    try:
        cli(standalone_mode=False)
    except M3diError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        click.echo("Interrupted. Run the same command again to continue.", err=True)
        sys.exit(130)
