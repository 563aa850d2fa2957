"""The one reader of Parquet, and of CSV through Arrow: what Arrow's threads read from is never owned by Python.

A thread of Arrow may hold what it read from until the process ends. If that is an object of Python, letting go of it
then needs an interpreter that is no longer there, and the process aborts (status 134), whatever it had done before.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from m3di.data.storage.places import Folder, LocalFolder, check_plain_file

UNREADABLE = (OSError, pa.ArrowException, UnicodeDecodeError)
"""What reading a file that is missing or damaged raises."""


def read_parquet(source: Path | bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """A table, or some of its columns.

    Args:
        source: The file, or its bytes.
        columns: Names of the columns; all if None.

    Raises:
        OSError, pyarrow.ArrowException: It cannot be read, see `UNREADABLE`.
    """
    # Without a word on partitioning, a folder called `name=value` on the way would become a column.
    wanted = None if columns is None else list(columns)
    return pq.read_table(_readable(source), columns=wanted, partitioning=None)


def read_parquet_in(folder: Folder, name: str) -> pa.Table:
    """A table in a folder, wherever it lies; errors as of `read_parquet`, and those of the storage."""
    return read_parquet(source_in(folder, name))


def source_in(folder: Folder, name: str) -> Path | bytes:
    """What `read_parquet` takes for a file in a folder: its path, or from elsewhere its bytes."""
    return folder.root / name if isinstance(folder, LocalFolder) else folder.read(name)


def read_parquet_metadata(source: Path | bytes) -> pq.FileMetaData:
    """Counts and sizes of a file, before anything of its rows is read; errors as of `read_parquet`."""
    return pq.read_metadata(_readable(source))


def read_parquet_schema(path: Path) -> pa.Schema:
    """Names and types of the columns of a file, and its metadata."""
    return pq.read_schema(path.absolute())


def read_csv(content: bytes) -> pa.Table:
    """The table in the bytes of a CSV file with a header."""
    return pacsv.read_csv(_readable(content))  # type: ignore[attr-defined]


def _readable(source: Path | bytes) -> Path | pa.BufferReader:
    if isinstance(source, Path):
        check_plain_file(source)
        return source.absolute()  # one that begins with a folder called `NAME:` would be a URL to Arrow
    stream = pa.BufferOutputStream()  # a copy in memory of Arrow's own
    stream.write(source)
    return pa.BufferReader(stream.getvalue())


def one_array(column: pa.ChunkedArray) -> pa.Array:
    """A column in one piece."""
    whole = column.combine_chunks()
    return pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole
