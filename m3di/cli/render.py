"""`m3di render`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from m3di.cli.command import command
from m3di.cli.from_fields import RENDER, options_of
from m3di.cli.options import SCENE, tell_notes, with_options
from m3di.cli.parts import MANY_OPTIONS
from m3di.cli.progress import run_display, watched_bar
from m3di.errors import without_credentials


@command()
@options_of(RENDER, "n_train", "n_val", "n_test", "n_of")
@click.option("--out", help="Folder or URL (s3://...) of the dataset.  [default: data/NAME]")
@options_of(RENDER, *SCENE, "shard_size", "passes")
@with_options(*MANY_OPTIONS)
@click.option("--dry-run", "is_dry", is_flag=True, help="Render a few images, write nothing, say what it will take.")
def render(out: str | None, is_dry: bool, **options: Any) -> None:
    """Render a dataset; run it again to continue an interrupted run."""
    from m3di.generate import Machines, RenderOptions, dry_run
    from m3di.generate import render as render_dataset

    machines = Machines(**{name: options.pop(name) for name in ("shards", "ray", "staging")})
    given = {name: value for name, value in options.items() if value is not None}
    root = out or str(Path("data") / Path(given.get("spec", RenderOptions.spec)).stem)
    wanted = RenderOptions(out=root, **given)
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
