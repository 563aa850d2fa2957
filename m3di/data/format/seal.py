"""Finish writing a dataset: sample picture, card and Croissant file, then the manifest, which seals it."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from PIL import Image

from m3di.data.format.card import PICTURE, dataset_card
from m3di.data.format.croissant import CROISSANT, croissant
from m3di.data.format.entries import FileEntry, SplitEntry
from m3di.data.format.images import ImageError, decode
from m3di.data.format.manifest import Manifest, Plan, write_manifest
from m3di.data.format.parquet import read_parquet_schema
from m3di.data.format.shards import read_shard, sha256_of
from m3di.errors import DataError
from m3di.system.files import write_atomically

CARD = "README.md"
N_PICTURED = 8


def seal(
    root: Path, plan: Plan, splits: Mapping[str, SplitEntry], devices: Iterable[str] = (), *, created: str
) -> Manifest:
    """Write all files except shards and tables, which are there already; the manifest comes last.

    Args:
        root: Folder of the dataset.
        plan: The plan of the dataset.
        splits: Its shards and tables.
        devices: GPUs that have rendered it.
        created: Day of its manifest.
    """
    gpus = tuple(sorted(set(devices)))
    manifest = Manifest(**plan.model_dump(), splits=dict(splits), devices=gpus, created=created)
    sealed = write_documents(root, manifest).sealed()
    write_manifest(root, sealed)
    return sealed


def write_documents(root: Path, manifest: Manifest, keep: Collection[str] = ()) -> Manifest:
    """Write card, Croissant file and sample picture of a dataset whose shards and tables are there.

    Args:
        root: Folder of the dataset.
        manifest: Its manifest.
        keep: Documents that stay as they are, in the folder and in the manifest.

    Returns:
        The manifest with the new documents; it is not written.
    """
    schemas = {name: read_parquet_schema(root / entry.table.file) for name, entry in manifest.splits.items()}
    contents = {CARD: dataset_card(manifest).encode(), CROISSANT: croissant(manifest, schemas)}
    picture = sample_picture(root, manifest)
    if picture is not None:
        contents[PICTURE] = picture
    entries = {entry.file: entry for entry in manifest.documents if entry.file in keep}
    for name, content in contents.items():
        if name not in entries:
            write_atomically(root / name, content)
            entries[name] = FileEntry(file=name, n_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    return manifest.model_copy(update={"documents": tuple(entries[name] for name in contents)})


def file_entry(path: Path, n_samples: int) -> FileEntry:
    """Make the manifest entry of a shard or table on disk."""
    return FileEntry(file=path.name, n_bytes=path.stat().st_size, sha256=sha256_of(path), n_samples=n_samples)


def _image(shard: Path, name: str, raw: bytes) -> Image.Image:
    try:
        return Image.fromarray(decode(raw, name.rpartition(".")[2]))
    except ImageError as error:
        raise DataError(
            "an image of the dataset cannot be read",
            where=f"{shard}, {name}",
            got=error,
            next_step="m3di verify says what is damaged in the dataset that it comes from",
        ) from error


def sample_picture(root: Path, manifest: Manifest) -> bytes | None:
    """Draw the first samples side by side as a PNG, one row a view; None if there are no images."""
    views = [manifest.extensions[name] for name in manifest.parsed_spec.rendered]
    shards = [shard for entry in manifest.splits.values() for shard in entry.shards]
    if not views or not shards:
        return None
    path = root / shards[0].file
    samples = list(read_shard(path))[:N_PICTURED]
    rows = []
    with path.open("rb") as stream:
        for view in views:
            row = []
            for sample in samples:
                stream.seek(sample.members[view].offset)
                raw = stream.read(sample.members[view].size)
                row.append(_image(path, f"{sample.key}.{view}", raw))
            rows.append(row)
    width, height = rows[0][0].size
    sheet = Image.new("RGB", (width * len(samples), height * len(rows)))
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            sheet.paste(image, (x * width, y * height))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()
