"""Keep decoded images in memory that all workers share, or in a file."""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
import tempfile
import uuid
import weakref
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m3di.errors import DiskError, M3diError

VERSION = 2
"""Of the file, and of how images become pixels: what another version wrote is not read."""
_NO_ALLOCATION = {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.ENODEV}


class PixelCache:
    """Images of one shape by index, filled on use. Forked, spawned and later processes share them.

    Layout: a checksum uint32 for each image (0: missing), padded to a full page; then the images, uint8
    [n, height, width, 3]. A process compares the checksum when it takes an image for the first time: after a power
    loss, or while another process writes, the checksum may be there before the pixels.

    Args:
        path: File that keeps the images for later runs; None keeps them in memory as long as this object lives.
        n: Number of images.
        shape: Height and width.

    Raises:
        M3diError: The file cannot be made, or there is no room for it.
    """

    def __init__(self, path: Path | None, n: int, shape: tuple[int, int]) -> None:
        self.path, self.n, self.shape = path, n, shape
        self._first = -(-4 * n // mmap.PAGESIZE) * mmap.PAGESIZE
        self.n_bytes = self._first + n * shape[0] * shape[1] * 3
        self._open()

    def _open(self) -> None:
        self._name = f"m3di-{uuid.uuid4().hex}"
        self._map(_in_memory(self._name, self.n_bytes) if self.path is None else _file(self.path, self.n_bytes))

    def _map(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._close = weakref.finalize(self, os.close, descriptor)
        mapped = mmap.mmap(descriptor, self.n_bytes)
        self._sums: NDArray[np.uint32] = np.frombuffer(mapped, np.uint32, self.n)
        self.pixels: NDArray[np.uint8] = np.frombuffer(mapped, np.uint8, offset=self._first).reshape(
            self.n, *self.shape, 3
        )
        self._checked = np.zeros(self.n, dtype=bool)

    @property
    def is_filled(self) -> NDArray[np.bool_]:
        """Which images are there, bool [n]; their checksums are compared on use."""
        return self._sums != 0

    def get(self, indices: Sequence[int]) -> NDArray[np.uint8] | None:
        """Return images uint8 [len(indices), height, width, 3]; None unless all are there and sound."""
        if self._checked[indices].all() or all(self._is_sound(index) for index in indices):
            return np.take(self.pixels, indices, axis=0)
        return None

    def _is_sound(self, index: int) -> bool:
        if self._checked[index]:
            return True
        if self._sums[index] == 0 or self._sums[index] != _checksum(self.pixels[index]):
            return False
        self._checked[index] = True
        return True

    def put(self, index: int, pixels: NDArray[np.uint8]) -> None:
        """Keep an image."""
        self.pixels[index] = pixels
        self._sums[index] = _checksum(pixels)

    def __getstate__(self) -> dict[str, Any]:
        state = {"path": self.path, "n": self.n, "shape": self.shape, "n_bytes": self.n_bytes, "_first": self._first}
        return state | {"name": self._name, "link": f"/proc/{os.getpid()}/fd/{self._descriptor}"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        name, link = state.pop("name"), state.pop("link")
        self.__dict__.update(state)
        descriptor = _memory_of(link, name) if self.path is None else None
        if descriptor is None:
            self._open()  # memory that is gone, or a file
        else:
            self._name = name
            self._map(descriptor)


def _checksum(pixels: NDArray[np.uint8]) -> int:
    return zlib.crc32(np.ascontiguousarray(pixels).data) or 1


def _in_memory(name: str, n_bytes: int) -> int:
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create(name, os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as stream:
            descriptor = os.dup(stream.fileno())
    os.ftruncate(descriptor, n_bytes)
    return descriptor


def _memory_of(link: str, name: str) -> int | None:
    """Return the memory of another process by its unique name; None if the link leads elsewhere by now."""
    try:
        # The process may be gone and its number reused: do not even open a stranger's file.
        if name not in str(Path(link).readlink()):
            return None
        descriptor = os.open(link, os.O_RDWR | os.O_CLOEXEC)
        if name in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
            return descriptor
        os.close(descriptor)
    except OSError:
        pass
    return None


def _file(path: Path, n_bytes: int) -> int:
    """Make the file and reserve its space: a full disk would kill the process at a later write."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
    except OSError as error:
        raise DiskError(
            "the cache of decoded images cannot be written",
            where=str(path),
            got=error.strerror,
            expected="a folder where you may create files",
            next_step="set M3DI_CACHE to such a folder, or cache='ram' or None",
        ) from error
    try:
        if os.fstat(descriptor).st_blocks * 512 < n_bytes:
            _allocate(descriptor, n_bytes)
        os.ftruncate(descriptor, n_bytes)
    except OSError as error:
        path.unlink(missing_ok=True)  # what is there has no room
        os.close(descriptor)
        raise DiskError(
            "there is no room for the cache of decoded images",
            where=str(path),
            got=error.strerror,
            expected=f"{n_bytes:,} bytes",
            next_step="cache=None, or set M3DI_CACHE to a folder with more room",
        ) from error
    return descriptor


def _allocate(descriptor: int, n_bytes: int) -> None:
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(descriptor, 0, n_bytes)
    except OSError as error:
        if error.errno not in _NO_ALLOCATION:
            raise


def cache_path(identity: str, split: str, view: str, n: int, shape: tuple[int, int]) -> Path:
    """Return the cache file of a split's images, below M3DI_CACHE or the user's cache folder.

    Args:
        identity: Equal for equal images.
        split: The split.
        view: The view.
        n: Number of images.
        shape: Height and width.

    Raises:
        M3diError: There is no such folder.
    """
    key = hashlib.sha256(f"{VERSION} {identity} {n} {shape}".encode()).hexdigest()[:16]
    return cache_folder() / f"{key}-{split}-{view}.rgb"


def cache_folder() -> Path:
    """Return the folder of decoded images: M3DI_CACHE, or the user's cache folder.

    Raises:
        M3diError: There is no such folder.
    """
    base = os.environ.get("M3DI_CACHE") or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "m3di")  # noqa: PTH118
    try:
        return Path(base).expanduser().absolute()
    except RuntimeError as error:  # the user has no home
        raise M3diError(
            "there is no folder for the cache of decoded images",
            where=f"M3DI_CACHE {base}",
            got=error,
            next_step="set M3DI_CACHE to a folder, or cache='ram' or None",
        ) from error
