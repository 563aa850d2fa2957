"""The published layout in an archive: .tar, .tar.gz, .tar.bz2, .tar.xz or .zip, read to its end."""

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

from m3di.errors import M3diError

WANTED = re.compile(
    r"(?:(?:train|val|validation|test)/)?"
    r"(?:images/[0-9]+\.png|text/text_raw\.txt|latents_(?:image|text)\.csv|m3di\.parquet)|m3di\.json"
)
COMPRESSED: dict[bytes, Callable[[Path], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError)
Member = tuple[str, IO[bytes] | None]  # its name, and its content unless it is a folder


def unpack(archive: Path, into: Path) -> None:
    """Write the files of the published layout that an archive holds.

    Raises:
        M3diError: It is no archive, or damaged, or a path is absolute or leads out of it, or a member is a link or a
            device, or is encrypted.
    """
    try:
        for name, stream in _zipped(archive) if zipfile.is_zipfile(archive) else _tarred(archive):
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
        raise M3diError(
            "the archive cannot be read", where=str(archive), got=error, next_step="unpack it, and import the folder"
        ) from error
    except _DAMAGE as error:
        raise M3diError(
            "the archive cannot be read: it is damaged, or not whole",
            where=str(archive),
            got=error,
            expected="a .tar, .tar.gz, .tar.bz2, .tar.xz or .zip",
            next_step="get it once more from where it was published, and compare its checksum",
        ) from error


def _tarred(archive: Path) -> Iterator[Member]:
    with archive.open("rb") as stream:
        head = stream.read(6)
    opened = next((way for magic, way in COMPRESSED.items() if head.startswith(magic)), None)
    with (
        opened(archive) if opened else archive.open("rb") as stream,
        tarfile.open(fileobj=stream, mode="r|") as tar,
    ):
        for member in tar:
            if not (member.isfile() or member.isdir()):
                raise _refused(archive, member.name, "a link or a device")
            yield member.name, tar.extractfile(member)
        # To the end: there gzip has the checksum of everything. And tarfile takes a damaged header for the end.
        rest: Any = tar.fileobj
        while block := rest.read(1 << 20):
            if block.strip(b"\0"):
                raise tarfile.ReadError("what follows its end is no end: a header in it is damaged")


def _zipped(archive: Path) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as packed:
        for member in packed.infolist():
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind and not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
                raise _refused(archive, member.filename, "a link or a device")
            if member.is_dir():
                yield member.filename, None
                continue
            with packed.open(member) as stream:
                yield member.filename, stream


def _refused(archive: Path, name: str, what: str) -> M3diError:
    return M3diError(
        f"the archive holds {what}: it is refused",
        where=str(archive),
        got=repr(name),
        expected="plain files of the published layout",
        next_step="get the archive from where it was published",
    )
