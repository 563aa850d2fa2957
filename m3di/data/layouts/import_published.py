"""Import the published layout of Multimodal3DIdent, from a folder or an archive."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from m3di._version import __version__
from m3di.data.format.assemble import Contents, Count, assemble, counted, described, sample_json
from m3di.data.format.citation import today
from m3di.data.format.entries import TextEntry
from m3di.data.format.images import ImageError, ImageSizeError, decode
from m3di.data.format.manifest import Manifest, Plan, plan_of
from m3di.data.layouts import published
from m3di.data.layouts.archives import unpack
from m3di.data.layouts.published import image_name
from m3di.data.load.sources import PublishedSource
from m3di.data.storage.places import LocalFolder, local_path
from m3di.data.unfinished.whole_folder import whole_folder
from m3di.errors import DataError, M3diError
from m3di.latents import LATENTS, plain_spec

_IMAGE = re.compile(r"[0-9]+\.png")


def import_published(
    source: str | os.PathLike[str],
    root: str | os.PathLike[str],
    shard_size: int = 1000,
    count: Count | None = None,
) -> Manifest:
    """Turn the published layout into our format; images, captions and raw latents stay as they are.

    Args:
        source: A folder with `train/`, `val/` (or `validation/`), `test/` or the files of one split, or an archive of
            it, see `unpack`.
        root: A new or empty folder.
        shard_size: Samples of a shard; an export of ours keeps its own.
        count: Told how many samples are written, of how many.

    Raises:
        M3diError: The source is not in the published layout, counts or ranges are wrong, or the archive holds a path
            or a kind of file that it should not.
        UsageError: A place is a URL.
    """
    source, root = local_path(source), local_path(root)
    if not source.is_dir() and not source.is_file():
        raise DataError("there is nothing to import", where=str(source), next_step="check the path")
    with whole_folder(root) as folder:
        if source.is_dir():
            return _import_folder(source, folder, shard_size, count)
        unpacked = folder / "unpacked"
        unpacked.mkdir()
        unpack(source, unpacked)
        inside = _top(unpacked)
        if not published.split_folders(LocalFolder(inside)):
            raise _no_layout(source)
        manifest = _import_folder(inside, folder, shard_size, count)
        shutil.rmtree(unpacked)
        return manifest


def _top(folder: Path) -> Path:
    """Find the folder of the splits: the given one, or the only folder in it, and so on."""
    while not published.split_folders(LocalFolder(folder)):
        inside = list(folder.iterdir())
        if len(inside) != 1 or not inside[0].is_dir():
            break
        folder = inside[0]
    return folder


def _import_folder(source: Path, root: Path, shard_size: int, count: Count | None) -> Manifest:
    folder = LocalFolder(source)
    splits = published.split_folders(folder)
    if not splits:
        raise _no_layout(source)
    opened = PublishedSource(folder, splits)
    tables = {split: opened.table(split) for split in splits}
    for split, prefix in splits.items():
        # Do not count files of the file system, such as `._0.png`.
        images = source / prefix / "images"
        n_images = sum(1 for path in images.iterdir() if _IMAGE.fullmatch(path.name)) if images.is_dir() else 0
        n = tables[split].num_rows
        if n_images != n:
            raise DataError(
                f"the number of images of split {split!r} is not that of its captions",
                where=str(images),
                got=n_images,
                expected=f"{n}, called {image_name(0, n)} to {image_name(n - 1, n)}",
            )
    plan = _plan(opened, tables, shard_size)
    empty = described(next(iter(tables.values()))).slice(0, 0)
    contents = {split: _contents(opened, split, table, plan) for split, table in tables.items()}
    stated = {split: tables.get(split, empty) for split in plan.n_samples}
    noted = opened.plan
    devices, created = (noted.devices, noted.created) if noted is not None else ((), "")
    return assemble(root, plan, stated, counted(contents, plan.n_samples, count), devices, created=created or today())


def _no_layout(source: Path) -> M3diError:
    return DataError(
        "this is not the published layout",
        where=str(source),
        expected="train/latents_image.csv, train/latents_text.csv, train/images/, train/text/text_raw.txt",
    )


def _plan(source: PublishedSource, tables: dict[str, pa.Table], shard_size: int) -> Plan:
    names = dict.fromkeys(("train", "val", "test") if source.plan is None else source.plan.n_samples)
    n_samples = {split: tables[split].num_rows if split in tables else 0 for split in names}
    if source.plan is not None and source.plan.n_samples == n_samples:
        # What an earlier version exported also names files that the layout lacks, such as masks.
        parts = {part: each for part, each in source.plan.extensions.items() if part in ("image", "text", LATENTS)}
        extensions = {**parts, "image": "png"}
        return plan_of(source.plan).model_copy(update={"extensions": extensions})
    if source.plan is not None:
        raise DataError(
            "the export is not whole",
            where=str(source.folder),
            got=n_samples,
            expected=str(source.plan.n_samples),
            next_step=f"delete {published.PLAN} to import what there is",
        )
    first = next(split for split in tables if tables[split].num_rows)
    tokenizer = source.tokenizer("text")
    return Plan(
        spec=plain_spec(source.spec),
        seed=0,
        n_samples=n_samples,
        shard_size=shard_size,
        extensions={"image": "png", "text": "txt", "latents": "json"},
        render={"size_px": _image(source, first, tables[first], 0)[1][0], "m3di": __version__},
        text={"text": TextEntry(vocabulary=tokenizer.vocabulary, length=tokenizer.length)},
        source="imported",
    )


def _image(
    source: PublishedSource, split: str, table: pa.Table, row: int, size_px: int | None = None
) -> tuple[bytes, tuple[int, ...]]:
    """Read an image file; return it with its height and width."""
    files = source.files(split, table)
    try:
        raw = files.read(row, "image")
        return raw, decode(raw, "png", size_px).shape[:2]
    except ImageSizeError as error:
        raise DataError(
            f"image {row} of split {split!r} has another size", where=files.where(row, "image"), got=error
        ) from error
    except (OSError, ImageError) as error:
        raise DataError(
            f"image {row} of split {split!r} cannot be read",
            where=files.where(row, "image"),
            got=error,
            expected=f"{table.num_rows} images, from {image_name(0, table.num_rows)} on",
        ) from error


def _contents(source: PublishedSource, split: str, table: pa.Table, plan: Plan) -> Iterator[Contents]:
    stated = described(table)
    latents = [name for name in stated.column_names if "." in name and not name.endswith(".caption")]
    rows = stated.select(latents)
    captions = table["text.caption"].to_pylist()
    size = plan.render["size_px"]
    for row in range(table.num_rows):
        raw, _ = _image(source, split, table, row, size)
        values = {name: rows[name][row].as_py() for name in latents}
        yield {
            plan.extensions["image"]: raw,
            plan.extensions["text"]: captions[row].encode(),
            plan.extensions["latents"]: sample_json(values),
        }
