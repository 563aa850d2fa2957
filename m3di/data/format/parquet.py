"""Read Parquet, and CSV through Arrow: the memory that Arrow's threads read is never owned by Python.

A thread of Arrow may hold that memory until the process ends. If a Python object owns it, its release needs an
interpreter that is gone by then, and the process aborts (status 134) after all its work.
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
    """Read a table, or some of its columns.

    Args:
        source: The file, or its bytes.
        columns: Names of the columns; all if None.

    Raises:
        OSError, pyarrow.ArrowException: It cannot be read, see `UNREADABLE`.
    """
    # Without `partitioning=None`, a folder called `name=value` on the way would become a column.
    wanted = None if columns is None else list(columns)
    return pq.read_table(_readable(source), columns=wanted, partitioning=None)


def read_parquet_in(folder: Folder, name: str) -> pa.Table:
    """Read a table in a folder or at a URL; raises as `read_parquet` does, and errors of the storage."""
    return read_parquet(source_in(folder, name))


def source_in(folder: Folder, name: str) -> Path | bytes:
    """Return what `read_parquet` takes: the path of a local file, the bytes of a remote one."""
    return folder.root / name if isinstance(folder, LocalFolder) else folder.read(name)


def read_parquet_metadata(source: Path | bytes) -> pq.FileMetaData:
    """Read the counts and sizes of a file, without its rows; raises as `read_parquet` does."""
    return pq.read_metadata(_readable(source))


def read_parquet_schema(path: Path) -> pa.Schema:
    """Read names and types of the columns of a file, and its metadata."""
    return pq.read_schema(path.absolute())


def read_csv(content: bytes) -> pa.Table:
    """Read the bytes of a CSV file with a header."""
    return pacsv.read_csv(_readable(content))  # type: ignore[attr-defined]


def _readable(source: Path | bytes) -> Path | pa.BufferReader:
    if isinstance(source, Path):
        check_plain_file(source)
        return source.absolute()  # one that begins with a folder called `NAME:` would be a URL to Arrow
    stream = pa.BufferOutputStream()  # a copy in memory of Arrow's own
    stream.write(source)
    return pa.BufferReader(stream.getvalue())


def one_array(column: pa.ChunkedArray) -> pa.Array:
    """Join a column into one array."""
    whole = column.combine_chunks()
    return pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole
