"""Journal of an unfinished shard: its finished images, in the order in which they came.

    train-00000.tar.images.partial
    +-----------------------------------------------------------------------------+--------------------+
    | CRC-32, 8 hex digits, space, JSON: {"key", "view", "annotation", "files"}, \\n | files, one by one  | ...
    +-----------------------------------------------------------------------------+--------------------+
    `files` gives the bytes of each file; the CRC-32 is that of everything behind it.

Each image is appended and flushed to the disk at once. If a crash cuts the last one off, its checksum fails, and it is
removed when the file is opened again; so a run continues with all images but those that were in flight.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from m3di.system.files import PARTIAL, sync_folder

IMAGES = f".images{PARTIAL}"


@dataclass(frozen=True)
class JournalEntry:
    """A finished image: its annotation, and its files by name."""

    key: str
    view: str
    annotation: dict[str, int | float]
    files: dict[str, bytes]


def journal_path(shard: Path) -> Path:
    """Return the path of the journal of an unfinished shard."""
    return shard.with_name(shard.name + IMAGES)


class ImageJournal:
    """The finished images of one shard, those of an interrupted run included.

    Args:
        shard: Final path of the shard.
    """

    def __init__(self, shard: Path) -> None:
        self.path = journal_path(shard)
        # Refuse a stranger's link or pipe: writes would land elsewhere, and reads might never end.
        if self.path.is_symlink() or self.path.is_fifo():
            self.path.unlink()
        if not self.path.exists():
            self.path.touch()
            sync_folder(self.path.parent)
        self._reader: IO[bytes] = self.path.open("rb")
        # Not buffered: closing the file must not try again to write what did not fit on the disk.
        self._writer = self.path.open("ab", buffering=0)
        self._places: dict[tuple[str, str], int] = {}
        self._end = 0
        for start, end, entry in _entries(self._reader):
            self._places[entry.key, entry.view] = start
            self._end = end
        self._writer.truncate(self._end)

    def __contains__(self, place: tuple[str, str]) -> bool:
        return place in self._places

    def __len__(self) -> int:
        return len(self._places)

    def append(self, entry: JournalEntry) -> None:
        """Keep an image: once this returns, neither a crash nor a power loss costs it.

        Raises:
            OSError: It could not be written; close the journal then, and open it again.
        """
        content = memoryview(_to_bytes(entry))
        start, written = self._end, 0
        while written < len(content):
            written += self._writer.write(content[written:])
        os.fsync(self._writer.fileno())
        self._places[entry.key, entry.view] = start
        self._end += written

    def read(self, key: str, view: str) -> JournalEntry:
        """Read the image of a view of a sample."""
        self._reader.seek(self._places[key, view])
        found = _read_entry(self._reader)
        if found is None:  # checked when it was opened: the disk itself has changed it
            raise OSError(f"{self.path} has changed while it was open")
        return found

    def close(self) -> None:
        """Close the file; it stays for the next run."""
        self._reader.close()
        self._writer.close()

    def remove(self) -> None:
        """Close and delete the file: its shard is finished."""
        self.close()
        self.path.unlink()


def finished_images(shard: Path) -> set[tuple[str, str]]:
    """Return key and view of each image in the journal of an unfinished shard, without changing it."""
    path = journal_path(shard)
    if not path.is_file():
        return set()
    with path.open("rb") as stream:
        return {(entry.key, entry.view) for _, _, entry in _entries(stream)}


def _to_bytes(entry: JournalEntry) -> bytes:
    head: dict[str, Any] = {
        "key": entry.key,
        "view": entry.view,
        "annotation": entry.annotation,
        "files": {name: len(content) for name, content in entry.files.items()},
    }
    body = b"".join([json.dumps(head).encode(), b"\n", *entry.files.values()])
    return b"%08x %b" % (zlib.crc32(body), body)


def _entries(stream: IO[bytes]) -> Iterator[tuple[int, int, JournalEntry]]:
    """Yield first and last byte, and content, of each whole entry from the start of the file."""
    stream.seek(0)
    start = 0
    while (entry := _read_entry(stream)) is not None:
        end = stream.tell()
        yield start, end, entry
        start = end


def _read_entry(stream: IO[bytes]) -> JournalEntry | None:
    """Read the entry that starts here; None at the end of the file, or if it is damaged."""
    checksum, line = stream.read(9), stream.readline()
    try:
        head: Mapping[str, Any] = json.loads(line)
        sizes: dict[str, int] = head["files"]
        contents = {name: stream.read(size) for name, size in sizes.items()}
        crc = int(checksum, 16)
    except (ValueError, TypeError, KeyError):
        return None
    if crc != zlib.crc32(b"".join([line, *contents.values()])):
        return None
    return JournalEntry(head["key"], head["view"], head["annotation"], contents)
