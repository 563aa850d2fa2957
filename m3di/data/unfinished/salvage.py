"""Salvage the sound images of a damaged shard."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from m3di.data.format.entries import FileEntry
from m3di.data.format.images import ImageError, check_png, decode
from m3di.data.format.manifest import Manifest
from m3di.data.format.parquet import read_parquet
from m3di.data.format.shards import ByteRange, read_shard
from m3di.data.unfinished.journal import JournalEntry
from m3di.errors import M3diError
from m3di.latents import LATENTS

JOURNAL_IMAGE = "png"  # the image itself among the files of a journal entry; the others are its passes


@dataclass(frozen=True)
class SampleFiles:
    """Places of a sample's files in its shard, and the annotations of its images."""

    key: str
    members: Mapping[str, ByteRange]
    annotations: Mapping[str, dict[str, int | float]]


def sound_images(
    root: Path, manifest: Manifest, shard: FileEntry, table: Path | None, annotations: Sequence[str]
) -> Iterator[JournalEntry]:
    """Yield the images of a damaged shard that are as they were rendered.

    Captions and latents follow from the spec and are ignored. Some changes of a `normal` pass go unnoticed, and
    without the table all changes of annotations: the caller compares the hash of the rebuilt shard.

    Args:
        root: Folder of the dataset.
        manifest: Its manifest.
        shard: The shard, as the manifest has it.
        table: The table of its split if it is sound: it has the places of the files even if headers of the shard are
            damaged. None uses the headers.
        annotations: Names of the annotations.
    """
    path = root / shard.file
    if not path.is_file():
        return
    views = {view: _files_of(manifest, view) for view in manifest.parsed_spec.rendered}
    with path.open("rb") as stream:

        def content(member: ByteRange) -> bytes:
            stream.seek(member.offset)
            return stream.read(member.size)

        if table is None:
            places = _by_headers(path, manifest, content, list(views), annotations)
        else:
            places = _by_table(table, manifest, shard.file, list(views), annotations)
        for place in places:
            for view, extensions in views.items():
                files = {name: content(place.members[extension]) for name, extension in extensions.items()}
                if _is_image(files[JOURNAL_IMAGE], manifest.render["size_px"]) and all(
                    _is_sound(raw, extensions[name]) for name, raw in files.items()
                ):
                    yield JournalEntry(place.key, view, place.annotations[view], files)


def _files_of(manifest: Manifest, view: str) -> dict[str, str]:
    """Return the extension of each file of an image, by its name in the journal."""
    passes = {name.removeprefix(f"{view}."): name for name in manifest.extensions if name.startswith(f"{view}.")}
    return {JOURNAL_IMAGE: manifest.extensions[view]} | {
        name: manifest.extensions[entry] for name, entry in passes.items()
    }


def _by_table(
    table: Path, manifest: Manifest, shard: str, views: Sequence[str], annotations: Sequence[str]
) -> Iterator[SampleFiles]:
    rows = read_parquet(table)
    for row in rows.filter(pc.equal(rows["shard"], shard)).to_pylist():  # type: ignore[attr-defined]
        members = {
            extension: ByteRange(row[f"{extension}_offset"], row[f"{extension}_size"])
            for extension in manifest.extensions.values()
        }
        yield SampleFiles(
            row["key"], members, {view: {name: row[f"{view}.{name}"] for name in annotations} for view in views}
        )


def _by_headers(
    path: Path,
    manifest: Manifest,
    content: Callable[[ByteRange], bytes],
    views: Sequence[str],
    annotations: Sequence[str],
) -> Iterator[SampleFiles]:
    try:
        for sample in read_shard(path):
            if set(sample.members) == set(manifest.extensions.values()):
                try:
                    stated: dict[str, Any] = json.loads(content(sample.members[manifest.extensions[LATENTS]]))
                    noted = {view: {name: stated[view][name] for name in annotations} for view in views}
                except (ValueError, KeyError, TypeError, RecursionError):
                    continue
                yield SampleFiles(sample.key, sample.members, noted)
    except M3diError:  # from here on the headers are unreadable
        return


def _is_image(raw: bytes, size_px: int) -> bool:
    try:
        decode(raw, "png", size_px)
    except ImageError:
        return False
    return True


def _is_sound(raw: bytes, extension: str) -> bool:
    """Whether the checksums inside a file hold."""
    try:
        if extension.endswith("npz"):
            return zipfile.ZipFile(io.BytesIO(raw)).testzip() is None
        check_png(raw)
    except (ImageError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return False
    return True
