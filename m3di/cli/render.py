"""`m3di render`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from m3di.cli.asking import YES, ask_to_begin, is_asked
from m3di.cli.command import command
from m3di.cli.from_fields import RENDER, options_of
from m3di.cli.options import SCENE, tell_notes, with_options
from m3di.cli.parts import MANY_OPTIONS
from m3di.cli.paths import Place
from m3di.cli.progress import run_display, watched_bar
from m3di.cli.telling import JSON, print_json, say
from m3di.errors import UsageError, without_credentials

if TYPE_CHECKING:
    from m3di.generate import Estimate, Machines, RenderOptions

QUICK_QUALITIES = ("draft", "standard")
SLOW = 20
"""As many times as an image of `standard` does one of another quality take; see benchmarks/RESULTS.md."""
MEASURED_FROM, MEASURED_FROM_ON_GPU = 360, 3600
"""From so many images on it is measured how long they take: of 224 px and `standard` for a worker; for all GPUs."""


@command(
    examples=(
        "m3di render --n 100 --size 64 --out data/small",
        "m3di render --n 1000 --dry-run",
        "m3di render --spec m3di --do object_xpos=right --n 100 --out data/right",
        "m3di render --gpu --n 10000 --seed 1 --yes",
    )
)
@options_of(RENDER, "n_train", "n_val", "n_test", "n_of")
@click.option("--out", type=Place(), help="Folder or URL (s3://...) of the dataset.  [default: data/NAME]")
@options_of(RENDER, *SCENE, "shard_size", "passes")
@with_options(*MANY_OPTIONS)
@click.option("--dry-run", "is_dry", is_flag=True, help="Render a few images, write nothing, say what it will take.")
@YES
@JSON
def render(out: str | None, is_dry: bool, yes: bool, as_json: bool, **options: Any) -> None:
    """Render a dataset; run it again to continue an interrupted run.

    On a terminal, what takes more than an hour begins after a question.
    """
    from m3di.generate import Machines, RenderOptions
    from m3di.generate import render as render_dataset

    if as_json and not is_dry:
        raise UsageError("--json describes a plan", where="--json", expected="--dry-run", next_step="add --dry-run")
    machines = Machines(**{name: options.pop(name) for name in ("shards", "ray", "staging")})
    given = {name: value for name, value in options.items() if value is not None}
    root = out or str(Path("data") / Path(given.get("spec", RenderOptions.spec)).stem)
    wanted = RenderOptions(out=root, **given)
    tell_notes(wanted.load_spec())
    if is_dry:
        _show(_measured("dry run", wanted, machines), as_json)
        return
    if is_asked() and not yes and not machines.ray:
        _ask(wanted, machines)
    with run_display("render") as (count, watch):
        manifest = render_dataset(wanted, count, watch, machines=machines)
    place = without_credentials(root)
    if manifest is None:
        say(f"part {machines.shards} of {place} is done; when all parts are:  m3di finalize {place}")
        return
    counts = ", ".join(f"{name} {n}" for name, n in manifest.n_samples.items())
    say(f"{place}: {counts} samples\nload it:  m3di.Multimodal3DIdent({place!r})")


def _measured(label: str, options: RenderOptions, machines: Machines) -> Estimate:
    from m3di.generate import dry_run

    with watched_bar(label) as (count, watch):
        return dry_run(options, watch, count, machines=machines)


def _show(planned: Estimate, as_json: bool) -> None:
    if as_json:
        found = {**asdict(planned), "n_bytes": planned.n_bytes, "hours": planned.hours}
        print_json({**found, "title": without_credentials(planned.title)})
    else:
        click.echo(without_credentials(str(planned)))


def is_worth_measuring(n_images: int, options: RenderOptions) -> bool:
    """Whether so many images may take an hour: else nothing is measured, and nobody is asked."""
    if options.gpu:
        return n_images > MEASURED_FROM_ON_GPU
    from m3di.render import default_n_workers

    slow = 1 if options.quality in QUICK_QUALITIES else SLOW
    weight = max(1.0, (options.size_px / 224) ** 2) * slow
    return n_images * weight > MEASURED_FROM * (options.n_workers or default_n_workers())


def _ask(options: RenderOptions, machines: Machines) -> None:
    from m3di.generate import images_left

    n_images = images_left(options, machines)
    if not is_worth_measuring(n_images, options):
        return
    seconds = _measured("measuring", options, machines).hours * 3600
    what = f"To render {n_images:,} images takes"
    ask_to_begin(seconds, what, yes=False, declined="nothing was begun; fewer are rendered with  m3di render --n 100")
