"""Decoded images kept in memory that all workers share, or in a file."""

from __future__ import annotations

import mmap
import os
import tempfile
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m3di.errors import M3diError


class PixelCache:
    """Images of one shape by index, filled as they come. Forked, spawned and later processes share what is there.

    Layout: one byte for each image that says whether it is there, up to a full page; then the images,
    uint8 [n, height, width, 3].

    Args:
        path: File that keeps the images for later runs; None keeps them in memory as long as this object lives.
        n: Number of images.
        shape: Height and width.
    """

    def __init__(self, path: Path | None, n: int, shape: tuple[int, int]) -> None:
        self.n, self.shape = n, shape
        first = -(-n // mmap.PAGESIZE) * mmap.PAGESIZE
        self.n_bytes = first + n * shape[0] * shape[1] * 3
        descriptor = _in_memory() if path is None else _file(path)
        self._close = weakref.finalize(self, os.close, descriptor)
        self.path = f"/proc/{os.getpid()}/fd/{descriptor}" if path is None else str(path)
        _reserve(descriptor, self.n_bytes, self.path, in_memory=path is None)
        self._map(descriptor, first)

    def _map(self, descriptor: int, first: int) -> None:
        mapped = mmap.mmap(descriptor, self.n_bytes)
        self.there: NDArray[np.uint8] = np.frombuffer(mapped, np.uint8, self.n)
        self.pixels: NDArray[np.uint8] = np.frombuffer(mapped, np.uint8, offset=first).reshape(self.n, *self.shape, 3)

    def put(self, index: int, pixels: NDArray[np.uint8]) -> None:
        """Keep an image."""
        self.pixels[index] = pixels
        self.there[index] = 1  # after the pixels: another process may look at any time

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "n": self.n, "shape": self.shape, "n_bytes": self.n_bytes}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        descriptor = os.open(self.path, os.O_RDWR)
        self._close = weakref.finalize(self, os.close, descriptor)
        self._map(descriptor, -(-self.n // mmap.PAGESIZE) * mmap.PAGESIZE)


def _in_memory() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("m3di", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as stream:
        return os.dup(stream.fileno())


def _file(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)


def _reserve(descriptor: int, n_bytes: int, where: str, *, in_memory: bool) -> None:
    """Give the file its size; on a disk also the space, since a full one would kill the process at a later write."""
    if os.fstat(descriptor).st_size == n_bytes:
        return
    try:
        os.ftruncate(descriptor, 0)
        os.ftruncate(descriptor, n_bytes)
        if not in_memory and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, n_bytes)
    except OSError as error:
        raise M3diError(
            "there is no room for the cache of decoded images",
            where=where,
            got=error.strerror,
            expected=f"{n_bytes:,} bytes",
            next_step="cache=None, or set M3DI_CACHE to a folder with more room",
        ) from error


def cache_path(fingerprint: str, split: str, view: str) -> Path:
    """File of the cache of a split's images: below M3DI_CACHE, or the user's cache folder."""
    base = os.environ.get("M3DI_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "m3di"
    return Path(base) / f"{fingerprint[:16]}-{split}-{view}.rgb"
