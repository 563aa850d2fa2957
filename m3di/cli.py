"""The command line: parse, call, print."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from m3di import __version__
from m3di.cli_evaluate import compare, evaluate, report
from m3di.cli_many import MANY_OPTIONS, finalize
from m3di.cli_places import UserPath
from m3di.cli_shapes import shapes
from m3di.cli_simulate import simulate
from m3di.cli_train import train
from m3di.errors import M3diError, UsageError, printable, without_credentials
from m3di.interruption import exit_code_of, interrupt_behind, sigterm_interrupts
from m3di.progress import run_display, watched_bar

if TYPE_CHECKING:
    from m3di.latents import Spec

FOLDER = UserPath()


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
        help="Intervene: a value, a mechanism such as uniform, or a mapping such as '{strength: 0.5}'. Repeatable.",
    ),
    click.option("--seed", default=0, show_default=True, help="Seed of all noise streams."),
)


def gpu_numbers(context: click.Context, option: click.Parameter, value: str | None) -> tuple[int, ...]:
    """`0,2` as numbers."""
    parts = [part.strip() for part in (value or "").split(",") if part.strip()]
    if not all(part.isdecimal() for part in parts) or (value is not None and not parts):
        raise UsageError(
            "--gpu-devices takes numbers", where="--gpu-devices", got=value, expected="numbers, such as 0 or 0,2"
        )
    return tuple(map(int, parts))


SCENE_OPTIONS = (
    *SPEC_OPTIONS,
    click.option("--size", "size_px", default=224, show_default=True, help="Side of the images in pixels."),
    click.option(
        "--workers", "n_workers", type=int, help="Worker processes.  [default: one a core; up to eight a GPU]"
    ),
    click.option("--gpu", is_flag=True, help="Render on every GPU of the best back end with one."),
    click.option("--gpu-devices", metavar="NUMBERS", callback=gpu_numbers, help="Only on these GPUs, such as 0,2."),
    click.option(
        "--gpu-backend",
        type=click.Choice(["optix", "cuda", "hip", "oneapi", "metal"], case_sensitive=False),
        help="How to reach the GPUs.  [default: the first of these that has one]",
    ),
    click.option(
        "--worker-memory",
        "worker_memory_gb",
        type=float,
        default=4.0,
        show_default=True,
        help="Replace a worker that holds more memory, in GB.",
    ),
    click.option(
        "--image-timeout",
        "image_timeout_s",
        type=float,
        default=600.0,
        show_default=True,
        help="An image that takes longer has failed, in seconds.",
    ),
)


def quality_option(default: str) -> Callable[..., Any]:
    """`--quality`, with the names of the presets."""
    names = click.Choice(["draft", "fixed", "standard", "paper"])
    return click.option("--quality", type=names, default=default, show_default=True, help="How images are sampled.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="m3di")
@click.option(
    "--plugin",
    "plugins",
    multiple=True,
    metavar="FILE|DATASET",
    help="Run a Python file that registers mechanisms, or those that a dataset came with. Repeatable.",
)
def cli(plugins: tuple[str, ...]) -> None:
    """Multimodal datasets whose every generative factor is known."""
    for name in plugins:
        run_plugins_of(name)


def run_plugins_of(name: str) -> None:
    """Run a plugin file, or the plugins that came with a dataset: the user has asked for it.

    Raises:
        UsageError: It is neither, or fails.
    """
    from m3di.data import MANIFEST, read_manifest
    from m3di.latents import read_plugin, run_plugin

    if not (Path(name) / MANIFEST).is_file():
        read_plugin(Path(name))
        return
    plugins = read_manifest(Path(name)).parsed_spec.plugins
    if not plugins:
        raise UsageError(
            "the dataset came with no plugin", where=f"--plugin {name}", got="a spec without `plugins`",
            expected="a dataset with plugins, or a .py file", next_step="leave --plugin out",
        )  # fmt: skip
    for file, text in plugins.items():
        run_plugin(text, file)


def tell_notes(spec: Spec) -> None:
    """Print what is sound in a spec and may yet be no intention."""
    from m3di.latents import notes

    for note in notes(spec):
        click.echo(f"note: {note}", err=True)


@cli.command()
@click.option("--n", "n_train", type=int, help="Training samples.  [default: what the spec says]")
@click.option("--n-val", type=int, help="Validation samples.  [default: 8 % of --n]")
@click.option("--n-test", type=int, help="Test samples.  [default: 8 % of --n]")
@click.option("--out", help="Folder or URL (s3://...) of the dataset.  [default: data/NAME]")
@with_options(*SCENE_OPTIONS)
@quality_option("standard")
@click.option("--shard-size", default=1000, show_default=True, help="Samples of a shard.")
@click.option("--passes", default="", help="Further files beside each image: some of mask,depth,normal.")
@with_options(*MANY_OPTIONS)
@click.option("--dry-run", "is_dry", is_flag=True, help="Render a few images, write nothing, say what it will take.")
def render(out: str | None, spec: str, passes: str, is_dry: bool, **options: Any) -> None:
    """Render a dataset; run it again to continue an interrupted run."""
    from m3di.generate import Machines, RenderOptions, dry_run_anywhere, render_anywhere

    root = out or str(Path("data") / Path(spec).stem)
    names = tuple(dict.fromkeys(name.strip() for name in passes.split(",") if name.strip()))
    machines = Machines(**{name: options.pop(name) for name in ("shards", "ray", "staging")})
    wanted = RenderOptions(out=Path(root), spec=spec, passes=names, **options)
    tell_notes(wanted.load_spec())
    if is_dry:
        with watched_bar("dry run") as (_, watch):
            planned = dry_run_anywhere(root, wanted, machines, watch)
        click.echo(planned)
        return
    with run_display("render") as (count, watch):
        manifest = render_anywhere(root, wanted, machines, count, watch)
    place = without_credentials(root)
    if manifest is None:
        click.echo(f"part {machines.shards} of {place} is done; when all parts are:  m3di finalize {place}")
        return
    counts = ", ".join(f"{name} {n}" for name, n in manifest.n_samples.items())
    click.echo(f"{place}: {counts} samples\nload it:  m3di.Multimodal3DIdent({place!r})")


@cli.command()
@click.option("--n", default=12, show_default=True, help="Samples to show.")
@click.option("--out", type=FOLDER, default=Path("preview.png"), show_default=True, help="The PNG to write.")
@with_options(*SCENE_OPTIONS)
@quality_option("draft")
@click.option("--columns", "n_columns", default=4, show_default=True, help="Samples in a row.")
@click.option("--latents/--no-latents", default=True, show_default=True, help="Write the latents below each sample.")
@click.option("--group-by", metavar="FACTOR", help="Put samples together by the values of a factor, or VIEW.FACTOR.")
def preview(out: Path, n: int, n_columns: int, latents: bool, group_by: str | None, **options: Any) -> None:
    """Render a contact sheet of a spec: images with captions and latents."""
    from m3di.generate import RenderOptions
    from m3di.generate import preview as render_preview
    from m3di.latents import sample
    from m3di.report import check_layout, missing_characters, save_contact_sheet

    wanted = RenderOptions(out=out, **options)
    wanted.check()
    spec = wanted.load_spec()
    check_layout(sample(spec, "train", 1, seed=wanted.seed), n_columns, group_by)
    tell_notes(spec)
    with watched_bar("preview") as (count, watch):
        shown = render_preview(wanted, n, count, watch)
    layout = {"n_columns": n_columns, "latents": latents, "group_by": group_by}
    save_contact_sheet(out, shown.samples, shown.images, shown.captions, **layout)
    missing = missing_characters(text for texts in shown.captions.values() for text in texts)
    if missing:
        click.echo(f"note: no font here has these characters, and boxes stand for them: {missing}", err=True)
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
    tell_notes(loaded)


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


@specs.command("schema")
@click.option("--out", type=FOLDER, help="The file to write.  [default: print it]")
def schema_of_specs(out: Path | None) -> None:
    """JSON Schema of spec files, for completion and checks in an editor."""
    from m3di.latents import spec_schema

    _printed(json.dumps(spec_schema(), indent=1, ensure_ascii=False) + "\n", out)


@specs.command("reference")
@click.option("--out", type=FOLDER, help="The file to write.  [default: print it]")
def reference_of_specs(out: Path | None) -> None:
    """Every key, mechanism and factor of spec files, as Markdown."""
    from m3di.latents import reference_page

    _printed(reference_page(), out)


def _printed(text: str, out: Path | None) -> None:
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise M3diError(
            "the file cannot be written", where=str(out), got=error.strerror or error,
            expected="a file in a folder where you may create files", next_step="choose another --out",
        ) from None  # fmt: skip
    click.echo(f"{out}: written")


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


PLACE = click.argument("root", metavar="FOLDER|URL")


@cli.command()
@PLACE
@click.option("--quick", is_flag=True, help="Structure only: sizes, members, rows; no hashes, images or latents.")
@click.option("--repair", is_flag=True, help="Render anew what is bad, and remove what does not belong there.")
@click.option("--workers", "n_workers", type=int, help="Worker processes of --repair.  [default: as `m3di render`]")
def verify(root: str, quick: bool, repair: bool, n_workers: int | None) -> None:
    """Check every file and every sample of a dataset."""
    from m3di.data import Problem, left_out
    from m3di.data import verify as verify_dataset

    if repair:
        from m3di.data import LocalFolder, open_folder
        from m3di.repair import repair as repair_dataset

        folder = open_folder(root)
        if not isinstance(folder, LocalFolder):
            raise UsageError(
                "a dataset at a URL cannot be repaired there",
                where=root,
                next_step="copy it to a folder of this machine, repair that, and put it there again",
            )
        with watched_bar("repair") as (count, watch):
            bad = repair_dataset(folder.root, n_workers, count, watch)
        made, removed = ([name for name in bad if (folder.root / name).exists() is there] for there in (True, False))
        done = [f"{what}: {', '.join(names)}" for what, names in (("made anew", made), ("removed", removed)) if names]
        click.echo(f"{root}: {'; '.join(done) or 'nothing to repair'}")
        return
    notes: list[Problem] = []
    manifest = verify_dataset(root, quick=quick, on_note=notes.append)
    root = without_credentials(root)
    for note in notes:
        click.echo(f"note: {note}")
    checked = "have the right structure" if quick else "are as they were made"
    n_files = len(manifest.files) - len(notes)
    click.echo(f"{root}: all {n_files} {'other ' * bool(notes)}files {checked}")
    skipped = {} if quick else left_out(manifest)
    if skipped:
        listed = "".join(f"\n  {place}: {why}" for place, why in skipped.items())
        step = f"\nto check these too, once you have read its plugin:  m3di --plugin {root} verify {root}"
        click.echo(f"left out, not derived anew:{listed}{step if manifest.parsed_spec.plugins else ''}")


ROOT = click.argument("root", metavar="FOLDER")
OUT = click.option("--out", metavar="FOLDER", required=True, help="A new or empty folder.")


@cli.command("export")
@ROOT
@click.option("--to", "layout", required=True, metavar="LAYOUT", help="upstream, imagefolder or croissant.")
@click.option("--out", metavar="FOLDER", required=True, help="A new or empty folder; for croissant the file.")
def export_dataset(root: str, layout: str, out: str) -> None:
    """Write a dataset in another layout: the published one, Hugging Face ImageFolder, or croissant.json."""
    from m3di.data import export

    export(root, layout, out, on_note=lambda note: click.echo(f"note: {note}", err=True))
    click.echo(f"{out}: {root} as {layout}")


@cli.command("import")
@click.argument("source")
@ROOT
@click.option(
    "--shard-size", default=1000, show_default=True, help="Samples of a shard; an export of ours keeps its own."
)
def import_dataset(source: str, root: str, shard_size: int) -> None:
    """Turn the published layout (SOURCE, a folder, .tar.gz or .zip) into a dataset."""
    from m3di.data import import_published

    _wrote(root, import_published(source, root, shard_size).n_samples)


@cli.command("merge")
@click.argument("roots", metavar="FOLDER|URL...", nargs=-1, required=True)
@OUT
def merge_datasets(roots: tuple[str, ...], out: str) -> None:
    """Join datasets of one spec."""
    from m3di.data import merge

    _wrote(out, merge(roots, out).n_samples)


@cli.command("subset")
@PLACE
@OUT
@click.option("--split", "splits", multiple=True, help="Splits to keep. Repeatable.  [default: all]")
@click.option("--n", type=int, help="At most that many samples of each split.")
@click.option(
    "--where", metavar="CONDITION", help="Such as 'image.object_shape == \"cow\" and image.object_color < 0.5'."
)
@click.option("--images", metavar="FORMAT", help="png, webp or qoi.  [default: as they are]")
def subset_dataset(
    root: str, out: str, splits: tuple[str, ...], n: int | None, where: str | None, images: str | None
) -> None:
    """Cut a dataset by split, count or condition."""
    from m3di.data import subset

    _wrote(out, subset(root, out, splits=splits, n=n, where=where, images=images).n_samples)


@cli.command("info")
@PLACE
def show_info(root: str) -> None:
    """Print what a dataset is."""
    from m3di.data import info

    click.echo(info(root))


def _wrote(root: str, n_samples: dict[str, int]) -> None:
    counts = ", ".join(f"{name} {n}" for name, n in n_samples.items())
    click.echo(f"{without_credentials(root)}: {counts} samples")


cli.add_command(evaluate)
cli.add_command(compare)
cli.add_command(report)
cli.add_command(shapes)
cli.add_command(simulate)
cli.add_command(finalize)
cli.add_command(train)


def main() -> None:
    """Entry point: errors of ours are one message and an exit code."""
    try:
        with sigterm_interrupts():
            cli(standalone_mode=False)
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
        if interrupt is None and not isinstance(error, click.Abort):
            raise
        click.echo("Interrupted. Run the same command again to continue; what is finished is kept.", err=True)
        sys.exit(exit_code_of(interrupt))
