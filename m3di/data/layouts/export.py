"""Export our datasets to layouts of other projects."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable

from m3di.data.format.manifest import read_manifest
from m3di.data.layouts.layout import LAYOUTS
from m3di.data.load.sources import ShardSource
from m3di.data.storage.places import LocalFolder, local_path


def export(
    root: str | os.PathLike[str],
    to: str,
    out: str | os.PathLike[str],
    on_note: Callable[[str], object] = warnings.warn,
) -> None:
    """Write a dataset in another layout.

    Args:
        root: The dataset.
        to: Name of a layout, see `LAYOUTS`.
        out: A new or empty folder; for `croissant` the file.
        on_note: Called with what readers of the layout cannot handle: for `upstream`, words of val or test that train
            does not have.

    Raises:
        M3diError: There is no dataset, `out` holds something, or the layout has no place for this dataset.
        UsageError: There is no such layout, or a place is a URL.
    """
    layout, folder = LAYOUTS.find(to)(), local_path(root)
    note = layout.write(ShardSource(LocalFolder(folder), read_manifest(folder)), local_path(out))
    if note is not None:
        on_note(note)
