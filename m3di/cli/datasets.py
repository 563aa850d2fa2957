"""`m3di export`, `import`, `merge`, `subset`, `push` and `info`: work on existing datasets."""

from __future__ import annotations

from pathlib import Path

import click

from m3di.cli.command import command
from m3di.cli.completion import IMAGE_FORMATS, LAYOUTS, SPLITS
from m3di.cli.options import IMPORT, OUT, PLACE, ROOT, wrote
from m3di.cli.paths import Place
from m3di.cli.progress import progress_bar
from m3di.cli.telling import JSON, note, print_json, remark, say
from m3di.errors import without_credentials


@command(
    "export",
    examples=(
        "m3di export data/m3di --to upstream --out published",
        "m3di export data/m3di --to imagefolder --out folder",
    ),
)
@ROOT
@click.option(
    "--to", "layout", required=True, type=LAYOUTS, metavar="LAYOUT", help="Such as imagefolder; a wrong name lists all."
)
@click.option(
    "--out", type=Place(), metavar="FOLDER", required=True, help="A new or empty folder; for croissant the file."
)
@IMPORT
def export_dataset(root: str, layout: str, out: str, modules: tuple[str, ...]) -> None:
    """Write a dataset in another layout: the published one, Hugging Face ImageFolder, or croissant.json."""
    from m3di.data import export
    from m3di.system.plugins import import_modules

    import_modules(modules)
    with progress_bar("export") as count:
        export(root, layout, out, on_note=note, count=count)
    say(f"{out}: {root} as {layout}")


@command(
    "import",
    examples=("m3di import published.tar.gz data/published", "m3di import published data/published --shard-size 500"),
)
@click.argument("source", type=Place())
@ROOT
@click.option(
    "--shard-size", default=1000, show_default=True, help="Samples of a shard; an export of ours keeps its own."
)
def import_dataset(source: str, root: str, shard_size: int) -> None:
    """Turn the published layout (SOURCE, a folder, .tar.gz or .zip) into a dataset."""
    from m3di.data import import_published

    with progress_bar("import", "samples") as count:
        manifest = import_published(source, root, shard_size, count)
    wrote(root, manifest.n_samples)


@command("merge", examples=("m3di merge data/first data/second --out data/both",))
@click.argument("roots", metavar="[NAME=]FOLDER|URL...", nargs=-1, required=True, type=Place())
@OUT
def merge_datasets(roots: tuple[str, ...], out: str) -> None:
    """Join datasets of one spec, or of specs with the same factors and views.

    NAME=FOLDER calls the splits of a dataset NAME_train, NAME_val, ..., or NAME where only one of them has samples: so
    datasets of different processes keep apart.
    """
    from m3di.data import merge

    named = [_named(root) for root in roots]
    with progress_bar("merge", "samples") as count:
        manifest = merge([root for _, root in named], out, count, names=[name for name, _ in named])
    wrote(out, manifest.n_samples)


def _named(text: str) -> tuple[str | None, str]:
    """Read NAME=FOLDER; a folder that is there may have the sign in its name."""
    name, equals, root = text.partition("=")
    plain = bool(equals and root) and "/" not in name and ":" not in name and not Path(text).exists()
    return (name, root) if plain else (None, text)


@command(
    "subset",
    examples=(
        "m3di subset data/m3di --out data/small --n 100",
        """m3di subset data/m3di --out data/cows --where 'image.object_shape == "cow"' --split train --split val""",
        "m3di subset data/m3di --out data/webp --images webp",
    ),
)
@PLACE
@OUT
@click.option("--split", "splits", multiple=True, type=SPLITS, help="Splits to keep. Repeatable.  [default: all]")
@click.option("--n", type=int, help="At most that many samples of each split.")
@click.option(
    "--where", metavar="CONDITION", help="Such as 'image.object_shape == \"cow\" and image.object_color < 0.5'."
)
@click.option("--images", type=IMAGE_FORMATS, metavar="FORMAT", help="png, webp or qoi.  [default: as they are]")
def subset_dataset(
    root: str, out: str, splits: tuple[str, ...], n: int | None, where: str | None, images: str | None
) -> None:
    """Cut a dataset by split, count or condition."""
    from m3di.data import subset

    with progress_bar("subset", "samples") as count:
        manifest = subset(root, out, splits=splits, n=n, where=where, images=images, count=count)
    wrote(out, manifest.n_samples)


@command("info", examples=("m3di info data/m3di", "m3di info data/m3di --json"))
@PLACE
@JSON
def show_info(root: str, as_json: bool) -> None:
    """Describe a dataset."""
    from m3di.data import facts, info

    if as_json:
        print_json({"root": without_credentials(root), **facts(root)})
    else:
        click.echo(info(root))


@command("push", examples=("m3di push data/m3di s3://bucket/m3di", "m3di push data/m3di hf://datasets/OWNER/NAME"))
@ROOT
@click.argument("url")
def push_dataset(root: str, url: str) -> None:
    """Copy a dataset to a URL: s3://BUCKET/DATA, hf://datasets/OWNER/NAME, or any of fsspec.

    Each file is read back and compared; the manifest comes last. The same command again continues.
    """
    from m3di.data import push

    wrote(url, push(root, url, lambda name: remark(f"there: {name}")).n_samples)
