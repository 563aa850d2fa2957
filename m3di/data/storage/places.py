"""Folders of a dataset: on this machine, or at any URL that fsspec knows."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import stat
import uuid
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from m3di.data.storage.errors import CANNOT_READ, CANNOT_WRITE, reporting
from m3di.data.storage.remote import RemoteFolder
from m3di.errors import UsageError
from m3di.system.files import PARTIAL, sync_file

MAX_OPEN = 32
BLOCK = 8 << 20


class OpenFile:
    """A plain file that is open for as long as this object lives.

    Raises:
        OSError: It is not there, cannot be read, or is a pipe, a device or a folder.
    """

    def __init__(self, path: Path) -> None:
        check_plain_file(path)
        self.descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        weakref.finalize(self, os.close, self.descriptor)


def check_plain_file(path: Path) -> None:
    """Raise OSError unless this is a plain file: to open a pipe waits for a writer, and a device never ends."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("this is no plain file")


class LocalFolder:
    """Files of a folder. Ranges are read by position: threads and forks may share open files; pickles open again."""

    shows_growing_files = True

    def __init__(self, root: Path, may_link: bool = True) -> None:
        self.root = root
        self.may_link = may_link  # whether a file that is put here may stay one with its original
        self._open: dict[str, OpenFile] = {}  # the last one used is at the end

    def __str__(self) -> str:
        return str(self.root)

    def path(self, name: str) -> str:
        """Return the place of a file."""
        return str(self.root / name)

    def exists(self, name: str) -> bool:
        """Whether the file exists."""
        return (self.root / name).is_file()

    def size(self, name: str) -> int:
        """Return the number of bytes of a file."""
        return (self.root / name).stat().st_size

    def sizes(self) -> dict[str, int]:
        """Return name and bytes of every file directly in the folder; empty if there is no folder."""
        with reporting(CANNOT_READ, str(self)):
            if not self.root.is_dir():
                return {}
            found = {}
            with os.scandir(self.root) as entries:
                for entry in entries:
                    with contextlib.suppress(FileNotFoundError):  # another run has just renamed or removed it
                        if entry.is_file():
                            found[entry.name] = entry.stat().st_size
            return found

    def stamps(self, folder: str) -> dict[str, str]:
        """Return for every file in a subfolder what changes when it is written, moved or replaced."""
        with reporting(CANNOT_READ, self.path(folder)), os.scandir(self.root / folder) as entries:
            found = {entry.name: entry.stat() for entry in entries}
        return {
            name: f"{each.st_size} {each.st_mtime_ns} {each.st_ctime_ns} {each.st_ino}" for name, each in found.items()
        }

    def read(self, name: str) -> bytes:
        """Read a whole file."""
        check_plain_file(self.root / name)
        return (self.root / name).read_bytes()

    def read_range(self, name: str, offset: int, size: int) -> bytes:
        """Read bytes `offset` to `offset + size - 1` of a file, or fewer if it ends before."""
        # Take it out and put it back: no thread sees a file that another one closes. Each is one step of a plain dict;
        # `popitem` of an OrderedDict is not: it raised a KeyError among threads.
        file = self._open.pop(name, None) or OpenFile(self.root / name)
        self._open[name] = file
        if len(self._open) > MAX_OPEN:
            for oldest in list(self._open)[:-MAX_OPEN]:
                self._open.pop(oldest, None)
        # Ask for no more than there is: memory for `size` bytes is allocated before anything is read.
        return os.pread(file.descriptor, max(0, min(size, os.fstat(file.descriptor).st_size - offset)), offset)

    def create(self, name: str, content: bytes) -> None:
        """Write a small file unless the name is taken; the first of several writers wins."""
        with reporting(CANNOT_WRITE, str(self)):
            self.root.mkdir(parents=True, exist_ok=True)
            partial = self.root / unique(name)
            try:
                partial.write_bytes(content)
                sync_file(partial)
                os.link(partial, self.root / name)
            except FileExistsError:
                pass
            finally:
                partial.unlink(missing_ok=True)

    def put(self, path: Path, name: str) -> None:
        """Copy a local file to here; on the same file system as a hard link, if it may be one."""
        target = self.root / name
        self._forget(name)
        with reporting(CANNOT_WRITE, str(self)):
            try:
                if not self.may_link:
                    raise OSError(errno.ENOTSUP, "no link is wanted")
                os.link(path, target)
            except OSError as error:
                if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
                    raise
                with path.open("rb") as source, target.open("wb") as stream:
                    shutil.copyfileobj(source, stream, BLOCK)
                sync_file(target)

    def rename(self, name: str, final: str) -> None:
        """Rename a file; replace a file that has the name already."""
        self._forget(name, final)
        with reporting(CANNOT_WRITE, str(self)):
            (self.root / name).replace(self.root / final)
            (self.root / name).unlink(missing_ok=True)  # both were links to the same bytes: nothing was replaced

    def remove(self, names: Iterable[str]) -> None:
        """Remove files; ignore missing ones."""
        with reporting(CANNOT_WRITE, str(self)):
            for name in names:
                self._forget(name)
                (self.root / name).unlink(missing_ok=True)

    def _forget(self, *names: str) -> None:
        """Close files that are about to change: an open one shows the old bytes."""
        for name in names:
            self._open.pop(name, None)

    def close(self) -> None:
        """Close open files; the next read opens them again."""
        self._open.clear()

    def __reduce__(self) -> tuple[Any, ...]:
        return LocalFolder, (self.root, self.may_link)


Folder = LocalFolder | RemoteFolder


def is_url(root: str | os.PathLike[str]) -> bool:
    """Whether a place is a URL, not a folder of this machine."""
    text = os.fspath(root)
    return "://" in text and not text.startswith(("file://", "local://"))


def open_folder(root: str | os.PathLike[str]) -> Folder:
    """Open the folder at a path or URL; `file:///PATH` is the folder PATH.

    Raises:
        M3diError: It is a URL and fsspec is not installed.
        UsageError: fsspec does not know this kind of URL, or lacks the package for it.
    """
    return RemoteFolder(os.fspath(root)) if is_url(root) else LocalFolder(local_path(root))


def open_to_read(root: str | os.PathLike[str]) -> Folder:
    """Open the folder at a path or URL, fixed: it stays the same if the process changes its folder, or if a link on
    the way changes; raises as `open_folder` does.
    """
    folder = open_folder(root)
    return LocalFolder(folder.root.resolve()) if isinstance(folder, LocalFolder) else folder


def home(path: str | os.PathLike[str]) -> Path:
    """Expand a leading `~` of a path to the user's folder."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - that of pathlib raises where there is no such user


def local_path(place: str | os.PathLike[str]) -> Path:
    """Return a path of this machine: expand a leading `~`, and read `file:///PATH` as PATH.

    Raises:
        UsageError: It is the URL of another place.
    """
    if is_url(place):
        raise UsageError(
            "this works on folders of this machine, not on a URL",
            where=os.fspath(place),
            next_step="copy from there before, or to there afterwards",
        )
    text = os.fspath(place)
    return home(text.partition("://")[2] or text)


def unique(name: str) -> str:
    """Make a unique name for an unfinished file, for one of several writers."""
    return f"{name}.{uuid.uuid4().hex[:12]}{PARTIAL}"


def original_of(name: str) -> str | None:
    """Return the name that `unique` made this one of; None if it did not."""
    found = re.fullmatch(rf"(.+)\.[0-9a-f]{{12}}{re.escape(PARTIAL)}", name)
    return found[1] if found else None


def digest(folder: Folder, name: str) -> tuple[int, str]:
    """Return number of bytes and SHA-256 of a file, read piece by piece."""
    found, n_bytes = hashlib.sha256(), folder.size(name)
    with reporting(CANNOT_READ, folder.path(name)):
        for offset in range(0, n_bytes, BLOCK):
            found.update(folder.read_range(name, offset, min(BLOCK, n_bytes - offset)))
    return n_bytes, found.hexdigest()
