"""`m3di finalize`, and the options of `m3di render` for many machines."""

from __future__ import annotations

import click

from m3di.cli.command import command
from m3di.cli.paths import Place, UserPath
from m3di.cli.telling import say
from m3di.errors import without_credentials

MANY_OPTIONS = (
    click.option("--shards", metavar="I/N", help="Render the I-th of N parts only; see `m3di finalize`."),
    click.option("--ray", metavar="ADDRESS", help="Render on a Ray cluster: HOST:PORT, ray://..., auto or local."),
    click.option(
        "--staging",
        type=UserPath(),
        help="Folder for unfinished shards, where --out is a URL or with --shards or --ray.  [default: temporary]",
    ),
)


@command(examples=("m3di finalize s3://bucket/m3di",))
@click.argument("root", metavar="FOLDER|URL", type=Place())
def finalize(root: str) -> None:
    """Finish a dataset whose parts have been rendered: tables, card and manifest."""
    from m3di.data import open_folder
    from m3di.generate import finalize as finalize_dataset

    counts = finalize_dataset(open_folder(root)).n_samples
    told = ", ".join(f"{name} {n}" for name, n in counts.items())
    say(f"{without_credentials(root)}: {told} samples\nfinished")
