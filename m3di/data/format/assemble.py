"""Assemble a dataset from finished samples: their files go into shards, their rows into tables."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from m3di.data.format.entries import SplitEntry
from m3di.data.format.manifest import Manifest, Plan
from m3di.data.format.seal import file_entry, seal
from m3di.data.format.shards import ShardWriter, read_shard, sample_key, shard_name
from m3di.system.files import write_atomically

PLACE = ("key", "shard")
Contents = Mapping[str, bytes]
Count = Callable[[int, int], None]
"""Told how many are done, of how many."""


def assemble(
    root: Path,
    plan: Plan,
    tables: Mapping[str, pa.Table],
    contents: Mapping[str, Iterable[Contents]],
    devices: Iterable[str] = (),
    *,
    created: str,
) -> Manifest:
    """Write a dataset.

    Args:
        root: An empty folder, see `whole_folder`.
        plan: The plan of the dataset.
        tables: For each split its rows; key, shard and offsets are replaced.
        contents: For each split the files of each row, by extension.
        devices: GPUs that have rendered the images.
        created: Day of its manifest.
    """
    splits = {}
    for split, n in plan.n_samples.items():
        names = list(_write_shards(root, plan, split, n, iter(contents.get(split, ()))))
        table = root / f"{split}.parquet"
        write_atomically(table, _placed(root, plan, tables[split], names))
        shards = tuple(file_entry(root / name, n_inside) for name, n_inside in names)
        splits[split] = SplitEntry(n_samples=n, shards=shards, table=file_entry(table, n))
    return seal(root, plan, splits, devices, created=created)


def counted(
    contents: Mapping[str, Iterable[Contents]], n_samples: Mapping[str, int], count: Count | None
) -> dict[str, Iterator[Contents]]:
    """Count the files of each sample as they are taken, over all splits."""
    n_done, n_total = 0, sum(n_samples.values())

    def each_of(split: str) -> Iterator[Contents]:
        nonlocal n_done
        for each in contents[split]:
            n_done += 1
            if count is not None:
                count(n_done, n_total)
            yield each

    return {split: each_of(split) for split in contents}


def sample_json(row: Mapping[str, Any]) -> bytes:
    """`KEY.json` of a sample: its columns `VIEW.NAME`, nested."""
    nested: dict[str, dict[str, Any]] = {}
    for column, value in row.items():
        view, _, name = column.partition(".")
        nested.setdefault(view, {})[name] = value
    return nested_json(nested)


def nested_json(nested: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Write the bytes of `KEY.json`, for renders and imports alike."""
    return json.dumps(nested, ensure_ascii=False).encode()


def described(table: pa.Table) -> pa.Table:
    """Drop key, shard and offsets from a table; the rest describes the sample."""
    bases = [name.removesuffix("_offset") for name in table.column_names if name.endswith("_offset")]
    pairs = [base for base in bases if f"{base}_size" in table.column_names]
    apart = {*PLACE, *(f"{base}_{part}" for base in pairs for part in ("offset", "size"))}
    return table.select([name for name in table.column_names if name not in apart])


def _write_shards(
    root: Path, plan: Plan, split: str, n: int, contents: Iterator[Contents]
) -> Iterator[tuple[str, int]]:
    for start in range(0, n, plan.shard_size):
        name = shard_name(split, start // plan.shard_size)
        stop = min(n, start + plan.shard_size)
        writer = ShardWriter(root / name, tuple(plan.extensions.values()))
        try:
            for index in range(start, stop):
                writer.add(sample_key(index), next(contents))
            writer.finish()
        finally:
            writer.close()
        yield name, stop - start


def _placed(root: Path, plan: Plan, table: pa.Table, names: list[tuple[str, int]]) -> bytes:
    """Write a table with the new places of the files of each row."""
    rows = [(name, sample) for name, _ in names for sample in read_shard(root / name)]
    place: dict[str, Any] = {
        "key": pa.array([sample.key for _, sample in rows], pa.string()),
        "shard": pa.array([name for name, _ in rows], pa.string()),
    }
    for extension in plan.extensions.values():
        for part in ("offset", "size"):
            numbers = [getattr(sample.members[extension], part) for _, sample in rows]
            place[f"{extension}_{part}"] = pa.array(numbers, pa.int64())
    stated = described(table)
    buffer = io.BytesIO()
    whole = pa.table({**place, **{name: stated[name] for name in stated.column_names}})
    pq.write_table(whole.replace_schema_metadata(None), buffer, compression="zstd")
    return buffer.getvalue()
