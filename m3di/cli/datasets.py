"""`m3di export`, `import`, `merge`, `subset`, `push` and `info`: work on existing datasets."""

from __future__ import annotations

from pathlib import Path

import click

from m3di.cli.command import SEVERAL, command
from m3di.cli.options import IMPORT, OUT, PLACE, ROOT, wrote


@command("export")
@ROOT
@click.option("--to", "layout", required=True, metavar="LAYOUT", help="Such as imagefolder; a wrong name lists all.")
@click.option("--out", metavar="FOLDER", required=True, help="A new or empty folder; for croissant the file.")
@IMPORT
def export_dataset(root: str, layout: str, out: str, modules: tuple[str, ...]) -> None:
    """Write a dataset in another layout: the published one, Hugging Face ImageFolder, or croissant.json."""
    from m3di.data import export
    from m3di.system.plugins import import_modules

    import_modules(modules)
    export(root, layout, out, on_note=lambda note: click.echo(f"note: {note}", err=True))
    click.echo(f"{out}: {root} as {layout}")


@command("import")
@click.argument("source")
@ROOT
@click.option(
    "--shard-size", default=1000, show_default=True, help="Samples of a shard; an export of ours keeps its own."
)
def import_dataset(source: str, root: str, shard_size: int) -> None:
    """Turn the published layout (SOURCE, a folder, .tar.gz or .zip) into a dataset."""
    from m3di.data import import_published

    wrote(root, import_published(source, root, shard_size).n_samples)


@command("merge")
@click.argument("roots", metavar="[NAME=]FOLDER|URL...", nargs=-1, required=True)
@OUT
def merge_datasets(roots: tuple[str, ...], out: str) -> None:
    """Join datasets of one spec, or of specs with the same factors and views.

    NAME=FOLDER calls the splits of a dataset NAME_train, NAME_val, ..., or NAME where only one of them has samples: so
    datasets of different processes keep apart.
    """
    from m3di.data import merge

    named = [_named(root) for root in roots]
    wrote(out, merge([root for _, root in named], out, names=[name for name, _ in named]).n_samples)


def _named(text: str) -> tuple[str | None, str]:
    """Read NAME=FOLDER; a folder that is there may have the sign in its name."""
    name, equals, root = text.partition("=")
    plain = bool(equals and root) and "/" not in name and ":" not in name and not Path(text).exists()
    return (name, root) if plain else (None, text)


@command("subset")
@PLACE
@OUT
@click.option("--split", "splits", multiple=True, type=SEVERAL, help="Splits to keep. Repeatable.  [default: all]")
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

    wrote(out, subset(root, out, splits=splits, n=n, where=where, images=images).n_samples)


@command("info")
@PLACE
def show_info(root: str) -> None:
    """Describe a dataset."""
    from m3di.data import info

    click.echo(info(root))


@command("push")
@ROOT
@click.argument("url")
def push_dataset(root: str, url: str) -> None:
    """Copy a dataset to a URL: s3://BUCKET/DATA, hf://datasets/OWNER/NAME, or any of fsspec.

    Each file is read back and compared; the manifest comes last. The same command again continues.
    """
    from m3di.data import push

    wrote(url, push(root, url, lambda name: click.echo(f"there: {name}", err=True)).n_samples)
