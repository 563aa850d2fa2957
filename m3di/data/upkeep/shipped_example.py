"""The dataset that comes with m3di: where it lies, and a copy of it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from m3di.data.format.manifest import Manifest, read_manifest
from m3di.data.storage.places import local_path
from m3di.data.unfinished.whole_folder import whole_folder

EXAMPLE = Path(__file__).parents[1] / "example_dataset"
"""Made by `make example`: 600 + 150 + 150 pairs of the spec `m3di` at 64 px, lossless WebP, seed 0."""


def copy_example(out: str | os.PathLike[str]) -> Manifest:
    """Copy the dataset that comes with m3di, so that every command can work on it.

    Args:
        out: A new or empty folder.

    Raises:
        M3diError: `out` is not empty, or the disk refuses.
        UsageError: `out` is a URL.
    """
    with whole_folder(local_path(out)) as folder:
        for path in EXAMPLE.iterdir():
            shutil.copyfile(path, folder / path.name)
    return read_manifest(EXAMPLE)
