"""Export to the layout that `datasets.load_dataset("imagefolder")` reads."""

from __future__ import annotations

import json
from pathlib import Path

from m3di.data.format.assemble import described
from m3di.data.layouts.layout import Layout, images_of, register_layout
from m3di.data.load.sources import ShardSource
from m3di.data.unfinished.whole_folder import whole_folder
from m3di.errors import M3diError


@register_layout("imagefolder")
class ImageFolder(Layout):
    """Hugging Face ImageFolder with `metadata.jsonl`: for any dataset with images."""

    def write(self, source: ShardSource, out: Path) -> str | None:
        """Write a dataset, see `Layout`."""
        views, others = list(source.spec.rendered), source.spec.made
        if not views:
            raise M3diError("there are no images", where=str(source.folder), next_step="read the tables as they are")
        if others:
            raise M3diError(
                "an ImageFolder has no place for files that are no images",
                where=str(source.folder),
                got=", ".join(f"{view} ({each.modality})" for view, each in others.items()),
                expected="views of images and texts",
                next_step="read the shards as they are: they are WebDataset",
            )
        with whole_folder(out) as folder:
            for split, n_samples in source.n_samples.items():
                if n_samples:
                    _write_split(source, views, split, folder / {"val": "validation"}.get(split, split))
        return None


def _write_split(source: ShardSource, views: list[str], split: str, folder: Path) -> None:
    """Write the folder of a split."""
    folder.mkdir(parents=True)
    table = source.table(split)
    rows = described(table).to_pylist()
    names = {view: "file_name" if len(views) == 1 else f"{view}_file_name" for view in views}
    for view, column in names.items():
        for row, raw in enumerate(images_of(source, split, table, view)):
            name = f"{table['key'][row].as_py()}{'' if len(views) == 1 else f'.{view}'}.png"
            (folder / name).write_bytes(raw)
            rows[row] = {**rows[row], column: name}
    lines = [json.dumps({**{name: row[name] for name in names.values()}, **row}, ensure_ascii=False) for row in rows]
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
