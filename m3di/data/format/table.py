"""`SPLIT.parquet`: one row a sample, with where its files lie, its captions and every latent."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from m3di.data.format.shards import ShardSample
from m3di.errors import DiskError, M3diError, UsageError
from m3di.latents import Samples, captions
from m3di.system.files import open_partial, partial_of, publish, write_atomically

ROW_GROUP = 1 << 17  # rows; what is in memory while a table is written, and what a reader has to read at least


def latent_columns(samples: Samples) -> dict[str, Any]:
    """Return raw and physical latents as flat columns `VIEW.FACTOR`."""
    return {f"{view}.{name}": values for view, columns in samples.columns().items() for name, values in columns.items()}


def shard_rows(
    samples: Samples,
    texts: Mapping[str, Sequence[str]],
    shard: str,
    found: Sequence[ShardSample],
    annotations: Mapping[str, NDArray[Any]],
) -> pa.Table:
    """Make the rows of a shard for the table of its split.

    Args:
        samples: The samples of the shard.
        texts: Captions of each text view.
        shard: File name of the shard.
        found: The samples as found in the shard, with the places of their files.
        annotations: Further columns, see `read_annotations`.
    """
    columns: dict[str, Any] = {"key": [row.key for row in found], "shard": [shard] * len(found)}
    for extension in found[0].members if found else ():
        columns[f"{extension}_offset"] = np.array([row.members[extension].offset for row in found], dtype=np.int64)
        columns[f"{extension}_size"] = np.array([row.members[extension].size for row in found], dtype=np.int64)
    columns |= {f"{view}.caption": each for view, each in texts.items()}
    return pa.table({**columns, **latent_columns(samples), **annotations})


class TableWriter:
    """Writes the table of a split shard by shard, so that no more than a row group is in memory.

    The bytes depend only on the rows, not on the sizes of the added tables.

    Args:
        path: The Parquet file; `finish` gives it this name.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.partial = partial_of(path)
        self._stream = open_partial(self.partial)
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []

    def add(self, rows: pa.Table) -> None:
        """Append rows."""
        self._waiting.append(rows)
        while sum(table.num_rows for table in self._waiting) >= ROW_GROUP:
            self._write(ROW_GROUP)

    def _write(self, n: int) -> None:
        waiting = pa.concat_tables(self._waiting)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._stream, waiting.schema, compression="zstd")
        self._writer.write_table(waiting.slice(0, n).combine_chunks(), row_group_size=ROW_GROUP)
        self._waiting = [waiting.slice(n)]

    def finish(self) -> None:
        """Write the remaining rows, flush the file to the disk and rename it."""
        self._write(ROW_GROUP)
        if self._writer is not None:
            self._writer.close()
        self._stream.close()
        publish(self.partial, self.path)

    def close(self) -> None:
        """Close the file, finished or not."""
        self._stream.close()


def write_samples(path: Path, samples: Samples) -> None:
    """Write captions, raw and physical latents of samples as Parquet or CSV, by the ending of the file's name.

    Raises:
        UsageError: Another ending.
        M3diError: The file cannot be written.
    """
    if path.suffix not in (".parquet", ".csv"):
        raise UsageError("unknown table format", where=str(path), got=path.suffix, expected=".parquet or .csv")
    texts = {f"{view}.caption": captions(samples, view) for view in samples.spec.told}
    table = pa.table({"index": list(samples.indices), **texts, **latent_columns(samples)})
    buffer = io.BytesIO()
    if path.suffix == ".csv":
        pacsv.write_csv(table, buffer)  # type: ignore[attr-defined]
    else:
        pq.write_table(table, buffer, compression="zstd")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, buffer.getvalue())
    except OSError as error:
        raise DiskError("the table cannot be written", where=str(path), got=error.strerror or error) from None


def read_annotations(
    root: Path,
    shards: Sequence[tuple[str, Sequence[ShardSample]]],
    extension: str,
    views: Sequence[str],
    kinds: Mapping[str, type],
) -> dict[str, NDArray[Any]]:
    """Read the annotations of rendered images from the shards: columns `VIEW.ANNOTATION`.

    Args:
        root: Folder of the dataset.
        shards: File name and samples of each shard, in order.
        extension: Extension of the file of a sample that holds it, as JSON.
        views: The image views.
        kinds: Name and type of each annotation.

    Raises:
        M3diError: A sample lacks one.
    """
    rows = list(_json_of(root, shards, extension))
    columns: dict[str, NDArray[Any]] = {}
    for view in views:
        for name, kind in kinds.items():
            for place, content in rows:
                if name not in content[view]:
                    raise M3diError(
                        "a sample lacks an annotation",
                        where=place,
                        got=f"no {name!r}",
                        next_step="delete the shard, then run the same `m3di render` command: it is rendered again",
                    )
            columns[f"{view}.{name}"] = np.array([content[view][name] for _, content in rows], dtype=kind)
    return columns


def _json_of(
    root: Path, shards: Sequence[tuple[str, Sequence[ShardSample]]], extension: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the place (for messages) and the content of the JSON file of each sample."""
    for shard, samples in shards:
        with (root / shard).open("rb") as stream:
            for sample in samples:
                member = sample.members[extension]
                stream.seek(member.offset)
                yield f"{root / shard}, {sample.key}.{extension}", json.loads(stream.read(member.size))
