"""Unpack the published layout from an archive (.tar, .tar.gz, .tar.bz2, .tar.xz, .zip), read to its end."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from m3di.data.format.shards import EXTENDED
from m3di.errors import DataError, M3diError

WANTED = re.compile(
    r"(?:(?:train|val|validation|test)/)?"
    r"(?:images/[0-9]+\.png|text/text_raw\.txt|latents_(?:image|text)\.csv|m3di\.parquet)|m3di\.json"
)
MAX_MEMBER = 1 << 30
"""Bytes of a file in an archive: captions of ten million samples."""
MAX_RATIO, ALWAYS = 100, 64 << 20
"""An archive may hold so many times its own size; and these bytes, however small it is."""
COMPRESSED: dict[bytes, Callable[[Path], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
MAX_ATTRIBUTES = 1 << 20
_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError)
ArchiveMember = tuple[str, IO[bytes] | None]  # its name, and its content unless it is a folder


def unpack(archive: Path, into: Path) -> None:
    """Write the files of the published layout that an archive holds.

    Raises:
        M3diError: It is no archive, or damaged, or a path is absolute or leads out of it, or a member is a link, a
            device or sparse, or is encrypted, or it holds far more than its own size.
    """
    try:
        limit = Limit(archive)
        for name, stream in (_zipped if zipfile.is_zipfile(archive) else _tarred)(archive, limit):
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
                raise _refused(archive, name, "a path that leads out of the archive")
            if stream is None or not any(WANTED.fullmatch("/".join(path.parts[n:])) for n in range(len(path.parts))):
                continue
            target = into.joinpath(*path.parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as out:
                shutil.copyfileobj(stream, out)
    except (NotImplementedError, RuntimeError) as error:  # what zipfile says of other methods, and of passwords
        raise DataError(
            "the archive cannot be read", where=str(archive), got=error, next_step="unpack it, and import the folder"
        ) from error
    except _DAMAGE as error:
        raise DataError(
            "the archive cannot be read: it is damaged, or not whole",
            where=str(archive),
            got=error,
            expected="a .tar, .tar.gz, .tar.bz2, .tar.xz or .zip",
            next_step="download it again from where it was published, and compare its checksum",
        ) from error


class Limit:
    """How much an archive may still hold; a small file can unpack to more than any disk.

    Args:
        archive: The archive.
    """

    def __init__(self, archive: Path) -> None:
        self.archive = archive
        self.most = max(ALWAYS, MAX_RATIO * archive.stat().st_size)
        self.n_bytes = 0

    def member(self, name: str, n_bytes: int) -> None:
        """Count a member before it is read.

        Raises:
            M3diError: It is too large.
        """
        if n_bytes > MAX_MEMBER:
            raise self._too_much(f"{name!r}: {n_bytes:,} bytes", f"at most {MAX_MEMBER:,} bytes a file")
        self.take(n_bytes)

    def take(self, n_bytes: int) -> None:
        """Count unpacked bytes.

        Raises:
            M3diError: There is too much of it.
        """
        self.n_bytes += n_bytes
        if self.n_bytes > self.most:
            size = self.archive.stat().st_size
            raise self._too_much(f"{self.n_bytes:,} bytes or more", f"at most {self.most:,} of an archive of {size:,}")

    def _too_much(self, got: str, expected: str) -> M3diError:
        return DataError(
            "the archive holds far too much: it is refused",
            where=str(self.archive),
            got=got,
            expected=expected,
            next_step="get it from where it was published; or unpack it yourself, and import the folder",
        )


class _Limited:
    """A stream that raises past the limit."""

    def __init__(self, stream: Any, limit: Limit) -> None:
        self._stream, self._limit = stream, limit

    def read(self, n: int = -1) -> bytes:
        block: bytes = self._stream.read(n)
        self._limit.take(len(block))
        return block


def _tarred(archive: Path, limit: Limit) -> Iterator[ArchiveMember]:
    with archive.open("rb") as stream:
        head = stream.read(6)
    opened = next((way for magic, way in COMPRESSED.items() if head.startswith(magic)), None)
    with (
        opened(archive) if opened else archive.open("rb") as stream,
        tarfile.open(fileobj=_Limited(stream, limit), mode="r|", tarinfo=_Info) as tar,  # type: ignore[call-overload]
    ):
        for member in tar:
            if not (member.isreg() or member.isdir()) or member.issparse():
                raise _refused(archive, member.name, "a link, a device or a sparse file")
            if member.size > MAX_MEMBER:
                limit.member(member.name, member.size)
            tar.members.clear()  # else tarfile keeps all headers in memory
            yield member.name, tar.extractfile(member)
        # Read to the end: gzip has its checksum there, and tarfile takes a damaged header for the end.
        rest: Any = tar.fileobj
        while block := rest.read(1 << 20):
            if block.strip(b"\0"):
                raise tarfile.ReadError("what follows its end is no end: a header in it is damaged")


class _Info(tarfile.TarInfo):
    """A header whose long names and attributes, which tarfile reads whole, are short."""

    # The one step between header and contents in every version: newer ones do not come through `frombuf`.
    def _proc_member(self, archive: tarfile.TarFile) -> Any:
        if self.type in EXTENDED and not 0 <= self.size <= MAX_ATTRIBUTES:
            raise tarfile.ReadError(f"a header of {self.size:,} bytes")
        return super()._proc_member(archive)  # type: ignore[misc]


def _zipped(archive: Path, limit: Limit) -> Iterator[ArchiveMember]:
    with zipfile.ZipFile(archive) as packed:
        for member in packed.infolist():
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind and not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
                raise _refused(archive, member.filename, "a link or a device")
            limit.member(member.filename, member.file_size)
            if member.is_dir():
                yield member.filename, None
                continue
            with packed.open(member) as stream:
                yield member.filename, stream


def _refused(archive: Path, name: str, what: str) -> M3diError:
    return DataError(
        f"the archive holds {what}: it is refused",
        where=str(archive),
        got=repr(name),
        expected="plain files of the published layout",
        next_step="get the archive from where it was published",
    )
