"""The torch `Dataset` of a folder that `m3di render` wrote."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from m3di.data.manifest import Manifest, read_manifest
from m3di.data.table import read_table
from m3di.data.tokens import Tokenizer
from m3di.errors import M3diError, UsageError, near_match

try:
    import torch
    from torch.utils.data import Dataset
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise M3diError(
        "loading a dataset in Python needs torch, which is not installed",
        next_step="pip install 'm3di[train]'",
    ) from error

Transform = Callable[[Any], Any]


@dataclass(frozen=True)
class _Columns:
    """The table of a split, as arrays: quick to index, and shared with forked workers."""

    shard: list[str]
    offset: dict[str, NDArray[Any]]
    size: dict[str, NDArray[Any]]
    captions: dict[str, list[str]]
    factors: dict[str, dict[str, NDArray[Any]]]


class Multimodal3DIdent(Dataset[dict[str, Any]]):
    """Image/text pairs with the value of every generative factor.

    An item is a dict, its keys named after the views of the spec:

    - `image`: uint8 tensor [3, height, width], sRGB; or what `transform` makes of it.
    - `text`: int64 tensor [length] of token ids; `pad_index` (0) fills the end.
    - `caption`: the (first) text as a string; `caption_VIEW` for each, where there are several.
    - `z_image`, `z_text`: raw value of each factor that the view sees: an int for categorical factors, a float for
      continuous ones. `spec.factors[name]` tells names, units and physical values.

    Args:
        root: Folder of the dataset.
        split: `train`, `val` or `test`.
        transform: Applied to each image tensor.
        target_transform: Applied to each dict of factors.

    Raises:
        M3diError: There is no dataset, or a file is missing or damaged.
        UsageError: The dataset has no such split.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "train",
        transform: Transform | None = None,
        target_transform: Transform | None = None,
    ) -> None:
        self.root = Path(root)
        self.split = split
        self.transform = transform
        self.target_transform = target_transform
        self.manifest: Manifest = read_manifest(self.root)
        if split not in self.manifest.splits:
            near = near_match(split, self.manifest.splits)
            raise UsageError(
                f"the dataset has no split {split!r}",
                where=str(self.root),
                expected=", ".join(self.manifest.splits),
                next_step=f"did you mean {near!r}?" if near else None,
            )
        self.spec = self.manifest.parsed_spec
        self.fingerprint = self.manifest.fingerprint
        self._columns = self._load_columns()

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the (first) text view."""
        return next(iter(self.manifest.text.values())).tokenizer

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids, padding and unknown word included."""
        return len(self.tokenizer.vocabulary)

    @property
    def pad_index(self) -> int:
        """Token id of the padding."""
        return 0

    def __len__(self) -> int:
        return self.manifest.splits[self.split].n_samples

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)} in split {self.split!r}")
        index = range(len(self))[index]
        columns = self._columns
        item: dict[str, Any] = {}
        for name in self.spec.views_of("image"):
            pixels = torch.from_numpy(self._pixels(index, name)).permute(2, 0, 1).contiguous()
            item[name] = self.transform(pixels) if self.transform else pixels
        for name, texts in columns.captions.items():
            item[name] = torch.tensor(self._tokenizers[name].encode(texts[index]), dtype=torch.int64)
            item.setdefault("caption", texts[index])
            if len(columns.captions) > 1:
                item[f"caption_{name}"] = texts[index]
        for name, factors in columns.factors.items():
            z = {factor: values[index].item() for factor, values in factors.items()}
            item[f"z_{name}"] = self.target_transform(z) if self.target_transform else z
        return item

    def __getstate__(self) -> dict[str, Any]:
        # The table is read again where the pickle lands: a spawned worker gets a few kB.
        return {name: value for name, value in self.__dict__.items() if name != "_columns"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._columns = self._load_columns()

    def _pixels(self, index: int, view: str) -> NDArray[np.uint8]:
        """Pixels of one image, uint8 [height, width, 3]: one byte range is read, nothing else."""
        extension = self.manifest.extensions[view]
        shard = self.root / self._columns.shard[index]
        offset, size = int(self._columns.offset[extension][index]), int(self._columns.size[extension][index])
        try:
            with shard.open("rb") as stream:
                stream.seek(offset)
                image = Image.open(io.BytesIO(stream.read(size)))
            return np.array(image.convert("RGB"))
        except (OSError, SyntaxError, UnidentifiedImageError) as error:
            raise M3diError(
                f"sample {index} of split {self.split!r} cannot be read",
                where=f"{shard}, byte {offset}",
                got=error,
                expected=f"a PNG of {size} bytes",
                next_step=f"m3di verify {self.root}",
            ) from error

    def _load_columns(self) -> _Columns:
        manifest = self.manifest
        path = self.root / manifest.splits[self.split].table.file
        images = [manifest.extensions[name] for name in self.spec.views_of("image")]
        self._tokenizers = {name: entry.tokenizer for name, entry in manifest.text.items()}
        factors = {
            name: [factor for factor in observed.view.factors if self.spec.factors[factor].kind != "seed"]
            for name, observed in self.spec.observed.items()
        }
        wanted = [
            "shard",
            *(f"{extension}_{part}" for extension in images for part in ("offset", "size")),
            *(f"{name}.caption" for name in manifest.text),
            *(f"{view}.{name}" for view, names in factors.items() for name in names),
        ]
        try:
            table = read_table(path, wanted)
        except (OSError, pa.ArrowInvalid) as error:
            raise M3diError(
                f"the table of split {self.split!r} cannot be read",
                where=str(path),
                got=error,
                next_step=f"m3di verify {self.root}",
            ) from error
        return _Columns(
            shard=table["shard"].to_pylist(),
            offset={extension: table[f"{extension}_offset"].to_numpy() for extension in images},
            size={extension: table[f"{extension}_size"].to_numpy() for extension in images},
            captions={name: table[f"{name}.caption"].to_pylist() for name in manifest.text},
            factors={
                view: {name: table[f"{view}.{name}"].to_numpy() for name in names} for view, names in factors.items()
            },
        )
