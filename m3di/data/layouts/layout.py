"""Layouts by name, which other programs read.

A layout of m3di is one file of this folder: a subclass of `Layout` under `@register_layout(NAME)`, which `m3di export
--to NAME` finds. Register your own by the same call in your own module (`m3di export --import MODULE`), or by an entry
point of the group `m3di.layouts`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from m3di.data.load.sources import ShardSource
from m3di.latents import LATENTS
from m3di.system.registry import Registry


class Layout:
    """A way to lay out a dataset."""

    def write(self, source: ShardSource, out: Path) -> str | None:
        """Write a dataset.

        Args:
            source: The dataset: its `spec`, `manifest`, `n_samples` of each split, `table(split)`, and `images_of` it.
            out: Where to; `m3di.data.whole_folder(out)` gives a folder that appears whole or not at all.

        Returns:
            What readers of the layout cannot handle, and which files of the dataset it lacks, if anything.

        Raises:
            M3diError: `out` holds something, or the layout has no place for this dataset.
        """
        raise NotImplementedError


LAYOUTS = Registry[type[Layout]](
    "layout",
    Layout,
    group="m3di.layouts",
    package="m3di.data.layouts",
    otherwise="register your own with m3di.data.register_layout; on the command line --import its module",
)
register_layout = LAYOUTS.register


def images_of(source: ShardSource, split: str, table: Any, view: str) -> Iterator[bytes]:
    """Yield the images of a split as PNG; those that are PNG keep their bytes."""
    files = source.files(split, table)
    for row in range(table.num_rows):
        yield files.read_image(row, view, "png")


def left_out_note(source: ShardSource) -> str | None:
    """Tell which files a layout of views and latents lacks, such as `image.mask`; None if there are none."""
    beside = [part for part in source.manifest.extensions if part not in (*source.spec.observed, LATENTS)]
    return f"{', '.join(beside)} are not in this layout: they stay in the shards" if beside else None
