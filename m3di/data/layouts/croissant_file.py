"""Export the description of a dataset in the vocabulary of MLCommons."""

from __future__ import annotations

from pathlib import Path

from m3di.data.format.croissant import CROISSANT, croissant
from m3di.data.layouts.layout import Layout, register_layout
from m3di.data.load.sources import ShardSource
from m3di.system.files import write_atomically


@register_layout("croissant")
class CroissantFile(Layout):
    """`croissant.json` alone, as it lies beside every dataset; `out` is the file, or its folder."""

    def write(self, source: ShardSource, out: Path) -> str | None:
        """Write a dataset, see `Layout`."""
        schemas = {name: source.schema(name) for name in source.manifest.splits}
        path = out / CROISSANT if out.is_dir() else out
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, croissant(source.manifest, schemas))
        return None
