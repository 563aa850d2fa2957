"""Export our datasets to layouts of other projects."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from m3di.data.format.assemble import Count
from m3di.data.format.manifest import read_manifest
from m3di.data.layouts.layout import LAYOUTS
from m3di.data.load.sources import ShardFiles, ShardSource
from m3di.data.storage.places import LocalFolder, local_path

if TYPE_CHECKING:
    import pyarrow as pa


def export(
    root: str | os.PathLike[str],
    to: str,
    out: str | os.PathLike[str],
    on_note: Callable[[str], object] = warnings.warn,
    count: Count | None = None,
) -> None:
    """Write a dataset in another layout.

    Args:
        root: The dataset.
        to: Name of a layout, see `LAYOUTS`.
        out: A new or empty folder; for `croissant` the file.
        on_note: Called with what readers of the layout cannot handle (for `upstream`, words of val or test that train
            does not have), and with the files that it lacks.
        count: Told how many images are written, of how many.

    Raises:
        M3diError: There is no dataset, `out` holds something, or the layout has no place for this dataset.
        UsageError: There is no such layout, or a place is a URL.
    """
    layout, folder = LAYOUTS.find(to)(), local_path(root)
    source = CountedSource(LocalFolder(folder), read_manifest(folder), count)
    note = layout.write(source, local_path(out))
    if note is not None:
        on_note(note)


@dataclass
class CountedSource(ShardSource):
    """A dataset that tells how many images of it were read."""

    count: Count | None = None
    n_read: int = 0

    def files(self, split: str, table: pa.Table) -> ShardFiles:
        """Return the image files of a split."""
        return _CountedFiles(self, table)

    def note_image(self) -> None:
        """Count an image."""
        self.n_read += 1
        if self.count is not None:
            self.count(self.n_read, sum(self.n_samples.values()) * len(self.spec.rendered))


class _CountedFiles(ShardFiles):
    def __init__(self, source: CountedSource, table: pa.Table) -> None:
        super().__init__(source.folder, source.manifest, table)
        self._source = source

    def read_image(self, row: int, view: str, extension: str) -> bytes:
        raw = super().read_image(row, view, extension)
        self._source.note_image()
        return raw
