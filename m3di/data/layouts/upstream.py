"""Export to the published layout; `m3di.data.layouts.import_published` reads it back."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow.parquet as pq

from m3di.data.format.assemble import described
from m3di.data.format.manifest import to_json
from m3di.data.layouts.exported_plan import exported_plan_of
from m3di.data.layouts.layout import Layout, images_of, left_out_note, register_layout
from m3di.data.layouts.published import CAPTIONS, PLAN, TABLE, image_name
from m3di.data.layouts.published_latents import no_place, published_csv, untold_note
from m3di.data.layouts.published_words import unknown_words_note
from m3di.data.load.sources import ShardSource
from m3di.data.unfinished.whole_folder import whole_folder
from m3di.errors import M3diError
from m3di.system.files import write_atomically


@register_layout("upstream")
class Upstream(Layout):
    """The published layout of Multimodal3DIdent: for datasets with one image and one text of the spec `m3di`."""

    def write(self, source: ShardSource, out: Path) -> str | None:
        """Write a dataset, see `Layout`."""
        spec = source.spec
        unfit = no_place(spec)
        if unfit is not None:
            raise M3diError(
                "the published layout has no place for this dataset",
                where=str(source.folder),
                got=unfit.got,
                expected=unfit.expected,
                next_step="m3di export --to imagefolder takes any dataset of images and texts"
                if spec.rendered and not spec.made
                else "read the shards as they are: they are WebDataset",
            )
        texts: dict[str, list[str]] = {}
        with whole_folder(out) as folder:
            for split, n_samples in source.n_samples.items():
                if n_samples:
                    texts[split] = _write_split(source, split, folder / split)
            write_atomically(folder / PLAN, to_json(exported_plan_of(source.manifest)))
        notes = (unknown_words_note(source.manifest, "text", texts), untold_note(spec), left_out_note(source))
        return "; ".join(note for note in notes if note) or None


def _write_split(source: ShardSource, split: str, folder: Path) -> list[str]:
    """Write the folder of a split; its captions."""
    n_samples = source.n_samples[split]
    (folder / "images").mkdir(parents=True)
    (folder / "text").mkdir()
    table = source.table(split)
    for name, content in published_csv(source.spec, table).items():
        (folder / name).write_bytes(content)
    texts: list[str] = table["text.caption"].to_pylist()
    (folder / CAPTIONS).write_bytes("\n".join(texts).encode())
    for row, raw in enumerate(images_of(source, split, table, "image")):
        (folder / image_name(row, n_samples)).write_bytes(raw)
    # Not part of the published layout: what the CSV files have no columns for.
    buffer = io.BytesIO()
    pq.write_table(described(table).add_column(0, "key", table["key"]), buffer, compression="zstd")
    (folder / TABLE).write_bytes(buffer.getvalue())
    return texts
