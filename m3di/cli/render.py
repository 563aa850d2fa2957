"""`m3di render`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from m3di.cli.options import SCENE_OPTIONS, quality_option, tell_notes, with_options
from m3di.cli.parts import MANY_OPTIONS
from m3di.cli.progress import run_display, watched_bar
from m3di.errors import without_credentials


@click.command()
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
    from m3di.generate import Machines, RenderOptions, dry_run
    from m3di.generate import render as render_dataset

    root = out or str(Path("data") / Path(spec).stem)
    names = tuple(dict.fromkeys(name.strip() for name in passes.split(",") if name.strip()))
    machines = Machines(**{name: options.pop(name) for name in ("shards", "ray", "staging")})
    wanted = RenderOptions(out=root, spec=spec, passes=names, **options)
    tell_notes(wanted.load_spec())
    if is_dry:
        with watched_bar("dry run") as (_, watch):
            planned = dry_run(wanted, watch, machines=machines)
        click.echo(without_credentials(str(planned)))
        return
    with run_display("render") as (count, watch):
        manifest = render_dataset(wanted, count, watch, machines=machines)
    place = without_credentials(root)
    if manifest is None:
        click.echo(f"part {machines.shards} of {place} is done; when all parts are:  m3di finalize {place}")
        return
    counts = ", ".join(f"{name} {n}" for name, n in manifest.n_samples.items())
    click.echo(f"{place}: {counts} samples\nload it:  m3di.Multimodal3DIdent({place!r})")
