"""Where the files of a dataset lie: a folder of this machine, or any URL that fsspec knows."""

from __future__ import annotations

import os
import weakref
from collections import OrderedDict
from pathlib import Path
from typing import Any

from m3di.errors import M3diError, UsageError

MAX_OPEN = 32


class OpenFile:
    """A file that is open for as long as somebody holds this object."""

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        weakref.finalize(self, os.close, self.descriptor)


class LocalFolder:
    """Files of a folder. Ranges are read by position: threads and forks may share what is open; pickles open anew."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._open: OrderedDict[str, OpenFile] = OrderedDict()

    def __str__(self) -> str:
        return str(self.root)

    def path(self, name: str) -> str:
        """Where a file lies."""
        return str(self.root / name)

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        return (self.root / name).is_file()

    def read(self, name: str) -> bytes:
        """A whole file."""
        return (self.root / name).read_bytes()

    def read_range(self, name: str, offset: int, size: int) -> bytes:
        """Bytes `offset` to `offset + size - 1` of a file, or fewer where it ends before."""
        # Out and in again: the last one used is at the end, and no thread sees a file that another one closes.
        file = self._open.pop(name, None) or OpenFile(self.root / name)
        self._open[name] = file
        if len(self._open) > MAX_OPEN:
            self._open.popitem(last=False)
        return os.pread(file.descriptor, size, offset)

    def close(self) -> None:
        """Close what is open; the next read opens it again."""
        self._open.clear()

    def __reduce__(self) -> tuple[Any, ...]:
        return LocalFolder, (self.root,)


class RemoteFolder:
    """Files below a URL, read through fsspec."""

    def __init__(self, url: str) -> None:
        try:
            import fsspec
        except ModuleNotFoundError as error:
            raise M3diError(
                "reading from a URL needs fsspec, which is not installed", where=url, next_step="pip install fsspec"
            ) from error
        self.url = url.rstrip("/")
        try:
            self._files, self._base = fsspec.core.url_to_fs(self.url)
        except (ValueError, ImportError) as error:
            raise UsageError(
                "fsspec cannot read this URL",
                where=url,
                got=error,
                next_step="install the package that fsspec names, or copy the dataset to this machine",
            ) from error

    def __str__(self) -> str:
        return self.url

    def path(self, name: str) -> str:
        """Where a file lies."""
        return f"{self.url}/{name}"

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        return bool(self._files.isfile(f"{self._base}/{name}"))

    def read(self, name: str) -> bytes:
        """A whole file."""
        return bytes(self._files.cat_file(f"{self._base}/{name}"))

    def read_range(self, name: str, offset: int, size: int) -> bytes:
        """Bytes `offset` to `offset + size - 1` of a file, or fewer where it ends before."""
        return bytes(self._files.cat_file(f"{self._base}/{name}", start=offset, end=offset + size))

    def close(self) -> None:
        """Nothing stays open."""

    def __reduce__(self) -> tuple[Any, ...]:
        return RemoteFolder, (self.url,)


Folder = LocalFolder | RemoteFolder


def open_folder(root: str | os.PathLike[str]) -> Folder:
    """The folder at a path or URL.

    Raises:
        M3diError: It is a URL and fsspec is not installed.
        UsageError: fsspec does not know this kind of URL.
    """
    text = os.fspath(root)
    return RemoteFolder(text) if "://" in text else LocalFolder(Path(text))
