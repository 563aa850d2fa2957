"""Datasets of ours in layouts that others use."""

from __future__ import annotations

import io
import json
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from m3di.data.format.assemble import described
from m3di.data.format.croissant import CROISSANT, croissant
from m3di.data.format.manifest import Manifest, plan_of, read_manifest, to_json
from m3di.data.layouts import published
from m3di.data.layouts.published import CAPTIONS, PLAN, TABLE, image_name, published_csv
from m3di.data.layouts.published_words import unknown_words_note
from m3di.data.load.sources import ShardSource
from m3di.data.storage.places import LocalFolder, local_path
from m3di.data.unfinished.whole_folder import whole_folder
from m3di.errors import M3diError, UsageError, did_you_mean
from m3di.system.files import write_atomically


def export(
    root: str | os.PathLike[str],
    to: str,
    out: str | os.PathLike[str],
    on_note: Callable[[str], object] = warnings.warn,
) -> None:
    """Write a dataset in another layout.

    Args:
        root: The dataset.
        to: `upstream`: the published layout of Multimodal3DIdent. `imagefolder`: Hugging Face ImageFolder with
            `metadata.jsonl`. `croissant`: `croissant.json` alone.
        out: A new or empty folder; for `croissant` the file.
        on_note: Called where readers of the layout will stumble: for `upstream`, where val or test have words that
            train does not have, with how many samples it takes.

    Raises:
        M3diError: There is no dataset, `out` holds something, or the layout has no place for this dataset.
        UsageError: There is no such layout, or a place is a URL.
    """
    if to not in LAYOUTS:
        raise UsageError(
            f"no layout is called {to!r}",
            where="--to",
            expected=", ".join(LAYOUTS),
            next_step=did_you_mean(to, LAYOUTS),
        )
    source, target = local_path(root), local_path(out)
    note = LAYOUTS[to](source, read_manifest(source), target)
    if note is not None:
        on_note(note)


def _upstream(root: Path, manifest: Manifest, out: Path) -> str | None:
    spec = manifest.parsed_spec
    if not published.has_place(spec):
        raise M3diError(
            "the published layout has no place for this dataset",
            where=str(root),
            got=f"views {', '.join(spec.observed)} of spec {spec.name!r}",
            expected="one image and one text with the factors of the spec `m3di`",
            next_step="m3di export --to imagefolder takes any dataset",
        )
    texts: dict[str, list[str]] = {}
    source = ShardSource(LocalFolder(root), manifest)
    with whole_folder(out) as folder:
        for split, entry in manifest.splits.items():
            if entry.n_samples:
                texts[split] = _write_published(source, manifest, split, folder / split)
        write_atomically(folder / PLAN, to_json(plan_of(manifest)))
    return unknown_words_note(manifest, "text", texts)


def _write_published(source: ShardSource, manifest: Manifest, split: str, folder: Path) -> list[str]:
    """Write the folder of a split; its captions."""
    n_samples = manifest.splits[split].n_samples
    (folder / "images").mkdir(parents=True)
    (folder / "text").mkdir()
    table = source.table(split)
    for name, content in published_csv(manifest.parsed_spec, table).items():
        (folder / name).write_bytes(content)
    texts: list[str] = table["text.caption"].to_pylist()
    (folder / CAPTIONS).write_bytes("\n".join(texts).encode())
    for row, raw in enumerate(_images(source, split, table, "image")):
        (folder / image_name(row, n_samples)).write_bytes(raw)
    # Not part of the published layout: what the CSV files have no columns for.
    buffer = io.BytesIO()
    pq.write_table(described(table).add_column(0, "key", table["key"]), buffer, compression="zstd")
    (folder / TABLE).write_bytes(buffer.getvalue())
    return texts


def _images(source: ShardSource, split: str, table: Any, view: str) -> Iterator[bytes]:
    """The images of a split as PNG: the very bytes, where they are PNG."""
    files = source.files(split, table)
    for row in range(table.num_rows):
        yield files.read_image(row, view, "png")


def _imagefolder(root: Path, manifest: Manifest, out: Path) -> None:
    views, others = list(manifest.parsed_spec.rendered), manifest.parsed_spec.made
    if not views:
        raise M3diError("the dataset has no images", where=str(root), next_step="read its tables as they are")
    if others:
        raise M3diError(
            "an ImageFolder has no place for files that are no images",
            where=str(root),
            got=", ".join(f"{view} ({each.modality})" for view, each in others.items()),
            expected="views of images and texts",
            next_step="read the shards as they are: they are WebDataset",
        )
    source = ShardSource(LocalFolder(root), manifest)
    with whole_folder(out) as folder:
        for split, entry in manifest.splits.items():
            if entry.n_samples:
                _write_imagefolder(source, views, split, folder / {"val": "validation"}.get(split, split))


def _write_imagefolder(source: ShardSource, views: list[str], split: str, folder: Path) -> None:
    """Write the folder of a split."""
    folder.mkdir(parents=True)
    table = source.table(split)
    rows = described(table).to_pylist()
    names = {view: "file_name" if len(views) == 1 else f"{view}_file_name" for view in views}
    for view, column in names.items():
        for row, raw in enumerate(_images(source, split, table, view)):
            name = f"{table['key'][row].as_py()}{'' if len(views) == 1 else f'.{view}'}.png"
            (folder / name).write_bytes(raw)
            rows[row] = {**rows[row], column: name}
    lines = [json.dumps({**{name: row[name] for name in names.values()}, **row}, ensure_ascii=False) for row in rows]
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _croissant(root: Path, manifest: Manifest, out: Path) -> None:
    source = ShardSource(LocalFolder(root), manifest)
    schemas = {name: source.schema(name) for name in manifest.splits}
    path = out / CROISSANT if out.is_dir() else out
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, croissant(manifest, schemas))


LAYOUTS: dict[str, Callable[[Path, Manifest, Path], str | None]] = {
    "upstream": _upstream,
    "imagefolder": _imagefolder,
    "croissant": _croissant,
}
