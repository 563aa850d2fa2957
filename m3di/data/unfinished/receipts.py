"""Receipts of shards, kept until the dataset is finished: rows of the table, size and checksum.

To finish a dataset, m3di reads the receipts, some hundred bytes a sample, and not the shards.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from m3di.data.format.entries import FileEntry
from m3di.data.format.parquet import read_parquet_in
from m3di.data.storage.places import Folder
from m3di.errors import DataError
from m3di.system.files import PARTIAL

_ENTRY = b"m3di_shard"
_PART = b"m3di_part"
_DEVICES = b"m3di_devices"


@dataclass(frozen=True)
class Receipt:
    """A finished shard.

    Attributes:
        entry: Its name, size, checksum and number of samples.
        rows: Its rows of the table of its split.
        part: The part that it was rendered in, such as `2/8`; empty for none.
        devices: GPUs that have rendered it.
    """

    entry: FileEntry
    rows: pa.Table
    part: str = ""
    devices: tuple[str, ...] = ()

    def to_bytes(self) -> bytes:
        """Write a Parquet file."""
        noted = {_ENTRY: self.entry.model_dump_json().encode(), _PART: self.part.encode()}
        if self.devices:
            noted[_DEVICES] = json.dumps(self.devices).encode()
        buffer = io.BytesIO()
        pq.write_table(self.rows.replace_schema_metadata(noted), buffer, compression="zstd")
        return buffer.getvalue()


def receipt_name(shard: str) -> str:
    """Return the file name of the receipt of a shard; its ending marks it as removable at the end."""
    return f"{shard}.rows{PARTIAL}"


def read_receipt(folder: Folder, shard: str) -> Receipt:
    """Read the receipt of a shard.

    Raises:
        M3diError: It is damaged.
    """
    name = receipt_name(shard)
    try:
        rows = read_parquet_in(folder, name)
        noted: dict[bytes, Any] = rows.schema.metadata or {}
        entry = FileEntry.model_validate_json(noted[_ENTRY])
        devices = tuple(json.loads(noted.get(_DEVICES, b"[]")))
    except (pa.ArrowException, ValueError, KeyError) as error:
        raise DataError(
            "the receipt of a shard is damaged",
            where=folder.path(name),
            got=error,
            next_step="delete it: the shard itself is then read instead",
        ) from error
    return Receipt(entry, rows.replace_schema_metadata(None), noted[_PART].decode(), devices)
