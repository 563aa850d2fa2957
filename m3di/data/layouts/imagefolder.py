"""Export to the layout of images and `metadata.jsonl` that `datasets.load_dataset(FOLDER)` reads.

Hugging Face guesses splits by words in the names of folders: `a_train` would be `train`, and `held_out` be left out. So
`README.md` says which folder is which split, as the card of a dataset does.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

import yaml

from m3di.data.format.assemble import described
from m3di.data.format.card import hub_split
from m3di.data.format.seal import CARD
from m3di.data.layouts.layout import Layout, images_of, left_out_note, register_layout
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
        folders = {split: hub_split(split) for split, n_samples in source.n_samples.items() if n_samples}
        with whole_folder(out) as folder:
            for split, name in folders.items():
                _write_split(source, views, split, folder / name)
            (folder / CARD).write_text(_card(source.spec.name, folders.values()), encoding="utf-8")
        notes = [note for note in (_guessed_note(folders.values()), left_out_note(source)) if note]
        return "; ".join(notes) or None


def _card(name: str, folders: Collection[str]) -> str:
    """`README.md`: its header tells Hugging Face which folder is which split."""
    files = [{"split": each, "path": f"{each}/**"} for each in folders]
    header = {"configs": [{"config_name": "default", "data_files": files}]}
    return f"""---
{yaml.safe_dump(header, sort_keys=False).strip()}
---

# {name}

Images, and in `SPLIT/metadata.jsonl` a line for each sample: its captions and all its latents. Written by
`m3di export --to imagefolder`.

```python
from datasets import load_dataset

splits = load_dataset("path/of/this/folder")
```
"""


def _guessed_note(folders: Collection[str]) -> str | None:
    """Tell who mixes or drops splits whose names are not those that Hugging Face guesses; None where all are."""
    own = [each for each in folders if each not in ("train", "validation", "test")]
    if not own:
        return None
    return (
        f"read it by load_dataset(FOLDER), which goes by its {CARD}; "
        f'load_dataset("imagefolder", data_dir=FOLDER) guesses splits by names, and mixes or drops {", ".join(own)}'
    )


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
