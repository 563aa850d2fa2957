"""What m3di keeps between runs, where, and how much of it; room on the disks."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from m3di.data import cache_folder
from m3di.errors import M3diError
from m3di.generate import default_staging
from m3di.latents import shape_folder
from m3di.render import kernel_folder


@dataclass(frozen=True)
class KeptFolder:
    """A folder that m3di keeps between runs.

    Attributes:
        name: What is in it.
        path: Where it is, or would be; None where there is no place for it.
        n_bytes: How much is in it.
        n_files: How many files.
        variable: Environment variable that moves it.
        note: What removing it costs.
    """

    name: str
    path: str | None
    n_bytes: int
    n_files: int
    variable: str
    note: str


@dataclass(frozen=True)
class Room:
    """Room on a disk.

    Attributes:
        name: What lies there.
        path: A folder of it.
        n_free: Free bytes.
    """

    name: str
    path: str
    n_free: int


def kept_folders() -> tuple[KeptFolder, ...]:
    """List the folders with their sizes."""
    shapes = shape_folder()
    return (
        _kept("decoded images", _cache_folder(), "M3DI_CACHE", "remove it as you like: images are decoded again"),
        _kept("your own shapes", shapes, "M3DI_DATA_HOME", "keep it: specs and repairs need your meshes"),
        _kept("GPU kernels", kernel_folder(), "TMPDIR", "remove it as you like: they are compiled again"),
        _kept("unfinished shards", default_staging(), "TMPDIR", "remove it when no run is to go on"),
    )


def rooms() -> tuple[Room, ...]:
    """List the disks of the current folder, of temporary files and of the cache."""
    places = {"current folder": Path.cwd(), "temporary files": Path(tempfile.gettempdir())}
    cache = _cache_folder()
    if cache is not None:
        places["cache"] = cache
    found = {name: next(each for each in (path, *path.parents) if each.exists()) for name, path in places.items()}
    return tuple(Room(name, str(path), shutil.disk_usage(path).free) for name, path in found.items())


def _cache_folder() -> Path | None:
    try:
        return cache_folder()
    except M3diError:  # the user has no home
        return None


def _kept(name: str, path: Path | None, variable: str, note: str) -> KeptFolder:
    n_bytes, n_files = _sizes(path) if path is not None else (0, 0)
    return KeptFolder(name, None if path is None else str(path), n_bytes, n_files, variable, note)


def _sizes(folder: Path) -> tuple[int, int]:
    """Bytes and files below a folder; what cannot be read counts as nothing."""
    n_bytes = n_files = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                n_bytes += os.lstat(os.path.join(place, name)).st_size  # noqa: PTH118 - a cache has many files
            except OSError:  # gone meanwhile
                continue
            n_files += 1
    return n_bytes, n_files
