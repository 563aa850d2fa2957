"""WebDataset shards: plain tar files, one run of members a sample, the same bytes for the same samples.

    train-00000.tar
    +----------------------+------------------+----------------------+----------+----------------------+-----------+
    | header 000000000.png | pixels, padded   | header 000000000.txt | caption  | header 000000000.json| latents   | ...
    | 512 bytes            | to 512 bytes     | 512 bytes            | + zeros  | 512 bytes            | + zeros   |
    +----------------------+------------------+----------------------+----------+----------------------+-----------+
    ... then two or more blocks of zeros up to a multiple of 10,240 bytes.

A shard is built as `NAME.tar.partial`, fsynced, then renamed: a file with the final name is complete.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from m3di.errors import DataError
from m3di.system.files import open_partial, partial_of, publish

BLOCK = tarfile.BLOCKSIZE
EXTENDED = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, b"X")
"""Types of headers that say more of the next member: tarfile reads them whole."""


def shard_name(split: str, number: int) -> str:
    """Return the file name of a shard."""
    return f"{split}-{number:05d}.tar"


def sample_key(index: int) -> str:
    """Return the key of sample `index` of a split."""
    return f"{index:09d}"


@dataclass(frozen=True)
class ByteRange:
    """Place of a file in its shard: first byte and number of bytes."""

    offset: int
    size: int


@dataclass(frozen=True)
class ShardSample:
    """A sample as found in a shard: its key, and its files by extension."""

    key: str
    members: dict[str, ByteRange]


class ShardWriter:
    """Writes the samples of one shard in order; `finish` gives it its final name.

    Args:
        path: Final path of the shard. A partial file that an interrupted run left beside it is overwritten.
        extensions: Extensions of the files of each sample, in their order.
    """

    def __init__(self, path: Path, extensions: tuple[str, ...]) -> None:
        self.path = path
        self.extensions = extensions
        self.partial = partial_of(path)
        self._stream: IO[bytes] = open_partial(self.partial)
        self._tar = tarfile.TarFile(fileobj=self._stream, mode="w", format=tarfile.USTAR_FORMAT)

    def add(self, key: str, contents: Mapping[str, bytes]) -> None:
        """Append the files of one sample."""
        for extension in self.extensions:
            info = tarfile.TarInfo(f"{key}.{extension}")  # time, owner and mode are fixed by TarInfo's defaults
            info.size = len(contents[extension])
            self._tar.addfile(info, io.BytesIO(contents[extension]))

    def finish(self) -> None:
        """Close the archive, put it on disk and rename it."""
        self._tar.close()  # writes the end of the archive; the stream stays open
        self._stream.close()
        publish(self.partial, self.path)

    def close(self) -> None:
        """Close the file; an unfinished one keeps its temporary name."""
        with contextlib.suppress(OSError):  # what did not fit on the disk
            self._stream.close()


class _PlainInfo(tarfile.TarInfo):
    """A header of a plain archive; refuses long names and attributes before they are read."""

    # The one step between header and contents in every version: newer ones do not come through `frombuf`.
    def _proc_member(self, archive: tarfile.TarFile) -> Any:
        if self.type not in tarfile.SUPPORTED_TYPES or self.type in EXTENDED or self.size < 0:
            raise tarfile.ReadError("no header of a plain member")
        return super()._proc_member(archive)  # type: ignore[misc]


def read_shard(path: Path) -> Iterator[ShardSample]:
    """Yield the samples of a finished shard, in order.

    Raises:
        M3diError: The file is no readable tar archive.
    """
    key = ""
    members: dict[str, ByteRange] = {}
    n_bytes = path.stat().st_size
    try:
        with tarfile.open(path, "r:", tarinfo=_PlainInfo) as tar:
            for info in tar:
                name, _, extension = info.name.partition(".")
                if name != key and members:
                    yield ShardSample(key, members)
                    members = {}
                # A sparse member or a link stores other bytes than it states.
                if not info.isreg() or info.issparse() or info.offset_data + info.size > n_bytes:
                    raise tarfile.ReadError(f"{info.name!r} is no plain member that lies within the shard")
                key = name
                members[extension] = ByteRange(info.offset_data, info.size)
    except tarfile.TarError as error:
        raise DataError("the shard is no readable tar archive", where=str(path), got=error) from error
    if members:
        yield ShardSample(key, members)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        digest = hashlib.sha256()
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
