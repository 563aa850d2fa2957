"""The torch `Dataset` of a folder that `m3di render` wrote, or of the published layout."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, partial
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from m3di.data.format.decoding import decoding_of
from m3di.data.format.parquet import one_array
from m3di.data.format.tokens import Tokenizer
from m3di.data.load.chosen import check_known, check_one_of, is_ours, names_of, positions, split_called
from m3di.data.load.named_items import item_type
from m3di.data.load.pixel_cache import PixelCache, cache_path
from m3di.data.load.sources import ShardSource, open_source
from m3di.data.load.view_arrays import UnreadableSample, ViewArrays
from m3di.data.load.where import Filter, mask_of, selection_of
from m3di.data.storage.places import open_to_read
from m3di.errors import M3diError, UsageError, without_credentials

try:
    import torch
    from torch.utils.data import Dataset, default_collate

    from m3di.data.load.collation import Picked
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise M3diError(
        "loading a dataset in Python needs torch, which is not installed",
        next_step="pip install 'm3di[train]'",
    ) from error

Transform = Callable[[Any], Any]


class Multimodal3DIdent(Dataset[Any]):
    """Image/text pairs, or views of other modalities, with the value of every generative factor.

    An item is a dict, its keys named after the views of the spec:

    - `image`: uint8 tensor [3, height, width], sRGB; or what `transform` makes of it.
    - `text`: int64 tensor [length] of token ids; `pad_index` (0) fills the end. With `one_hot`, float32
      [length, vocabulary_size].
    - a view of your own modality: a tensor of what its `decode` gives.
    - `caption`: the (first) text as a string; `caption_VIEW` for each, where there are several.
    - `z_image`, `z_text`: raw value of each factor that the view sees: an int for categorical factors, a float for
      continuous ones. `spec.factors[name]` tells names, units and physical values.

    `dataset[index]` is an item; `dataset[[3, 1, 2]]`, a slice or a mask gives a whole batch: images uint8
    [B, 3, height, width] in channels-last memory, decoded into one buffer. A `BatchLoader`, and a DataLoader with
    `Batches` and `whole_batch`, use that, the fastest way. `dataset.table` has the rows, without any image.

    Args:
        root: Folder or URL (with fsspec) of a dataset, or a folder in the published layout.
        split: `train`, `val` (or `validation`), `test`, or another one that the dataset has.
        transform: Applied to each image tensor.
        target_transform: Applied to each dict of factors.
        views: Views to deliver, or one; all if None.
        factors: Factors (or one) to deliver in `z_VIEW`; all that a view sees (but seeds) if None.
        tokenizer: Replaces the dataset's own, for every text view.
        one_hot: Return texts as one-hot vectors.
        cache: Keep decoded images: `ram` in memory shared by all workers, `disk` in a file for later runs too.
        filter: Which samples: a condition on table columns (`'image.object_shape == "cow"'`, see `mask_of`; or an Arrow
            expression), or a function from the table to a mask [n].
        on_error: `raise`, or `skip`: a sample whose files cannot be read is left out of its batch (a single index gives
            the next readable sample, a batch is never empty), counted in `n_skipped` and warned about.
        as_named_tuple: Return items and batches as named tuples.

    Raises:
        M3diError: There is no dataset, or a file is missing or damaged.
        UsageError: The dataset has no such split, view, factor or column.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "train",
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        *,
        views: str | Sequence[str] | None = None,
        factors: str | Sequence[str] | None = None,
        tokenizer: Tokenizer | None = None,
        one_hot: bool = False,
        cache: Literal["ram", "disk"] | None = None,
        filter: Filter | None = None,  # noqa: A002
        on_error: Literal["raise", "skip"] = "raise",
        as_named_tuple: bool = False,
    ) -> None:
        self.root = root
        self.transform, self.target_transform = transform, target_transform
        self.one_hot, self.on_error, self.as_named_tuple, self._cache_kind = one_hot, on_error, as_named_tuple, cache
        check_one_of("cache", cache, (None, "ram", "disk"))
        check_one_of("on_error", on_error, ("raise", "skip"))
        self._source = open_source(open_to_read(root))
        self.split = split_called(split, self._source.n_samples, str(root))
        self.spec = self._source.spec.in_split(self.split)
        self.views = tuple(self.spec.observed) if views is None else names_of("views", views)
        self._wanted = None if factors is None else names_of("factors", factors)
        check_known("view", self.views, self.spec.observed, str(root))
        check_known("factor", self._wanted or (), self.spec.factors, str(root))
        self.fingerprint = self._source.fingerprint
        # A process that unpickles the dataset registers them.
        self._kinds = {name: self.spec.observed[name].view.kind for name in self.views}
        self._told = [name for name, kind in self._kinds.items() if kind.source == "told"]
        self._tokenizers = {name: tokenizer or self._source.tokenizer(name) for name in self._told}
        self._caches: dict[str, PixelCache] = {}
        self._skipped = torch.zeros(1, dtype=torch.int64)
        if on_error == "skip":
            self._skipped.share_memory_()  # type: ignore[no-untyped-call]
        table = self._load()
        self._rows = None if filter is None else np.flatnonzero(mask_of(filter, table, self.spec))
        self.selection = selection_of(self.split, self._rows)

    @property
    def manifest(self) -> Any:
        """The manifest of the dataset. The published layout has none: AttributeError."""
        return self._source.manifest  # type: ignore[attr-defined]

    @property
    def thread_safe(self) -> bool:
        """Whether several threads may take batches at once: not if it calls your functions."""
        read_by = (*self._tokenizers.values(), *self._kinds.values())
        return self.transform is None and self.target_transform is None and all(map(is_ours, read_by))

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the (first) text view."""
        if not self._tokenizers:
            raise UsageError("there is no text view to tokenize", where=str(self.root), got=", ".join(self.views))
        return next(iter(self._tokenizers.values()))

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids, padding and unknown word included."""
        return len(self.tokenizer.vocabulary)

    @property
    def modalities(self) -> dict[str, str]:
        """The modality of each delivered view: `image`, `text` or another."""
        return {name: kind.name for name, kind in self._kinds.items()}

    @property
    def vocabularies(self) -> dict[str, tuple[str, ...]]:
        """All tokens of each text view; the index is the id."""
        return {name: tokenizer.vocabulary for name, tokenizer in self._tokenizers.items()}

    @property
    def pad_index(self) -> int:
        """Token id of the padding."""
        return 0

    @property
    def factor_values(self) -> dict[str, dict[str, NDArray[Any]]]:
        """Raw values [n] of each factor (except seeds) of each view; reads no image."""
        rows = slice(None) if self._rows is None else self._rows
        return {view: {name: values[rows] for name, values in each.items()} for view, each in self._factors.items()}

    @property
    def n_skipped(self) -> int:
        """Number of unreadable samples that all workers have skipped so far."""
        return int(self._skipped.item())

    def __len__(self) -> int:
        return self._n if self._rows is None else len(self._rows)

    def __repr__(self) -> str:
        views = ", ".join(f"{name} ({modality})" for name, modality in self.modalities.items())
        some = "" if self._rows is None else f" of {self._n:,}"
        root = without_credentials(str(self.root))
        return f"Multimodal3DIdent({root!r}, split={self.split!r}): {len(self):,}{some} samples of {views}"

    @cached_property
    def table(self) -> pa.Table:
        """One row a sample: key, captions, latents, annotations, and the places of its files; reads no image."""
        table = self._source.table(self.split)
        return table if self._rows is None else table.take(pa.array(self._rows))

    def to_pandas(self) -> Any:
        """Return the table as a pandas DataFrame.

        Raises:
            M3diError: pandas is not installed.
        """
        try:
            return self.table.to_pandas()
        except ModuleNotFoundError as error:
            raise M3diError(
                "a DataFrame needs pandas, which is not installed", next_step="pip install pandas"
            ) from error

    def __getitem__(self, index: Any) -> Any:
        chosen = positions(index, len(self))
        if isinstance(chosen, int):
            return self._shaped(self._item(*self._first_readable(self._rows_from(chosen)), 0))
        return self._shaped(self._batch([self._row(each) for each in chosen]))

    def __getitems__(self, indices: Sequence[int]) -> Picked:
        chosen = [positions(index, len(self)) for index in indices]
        return Picked(partial(self._items, chosen), partial(self.__getitem__, chosen))

    def _items(self, indices: Sequence[Any]) -> list[Any]:
        rows, found = self._readable([self._row(index) for index in indices])
        return [self._shaped(self._item(row, found, number)) for number, row in enumerate(rows)]

    def _row(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)} in split {self.split!r}")
        index %= len(self)
        return index if self._rows is None else int(self._rows[index])

    def _rows_from(self, index: int) -> Iterator[int]:
        """Yield the row of an index; with `on_error="skip"` also all rows after it, in a circle."""
        yield self._row(index)
        if self.on_error == "skip":
            for after in range(1, len(self)):
                yield self._row((index + after) % len(self))

    def _item(self, row: int, found: dict[str, Any], number: int) -> dict[str, Any]:
        item: dict[str, Any] = {}
        for name, arrays in found.items():
            each = self._tensor(name, arrays)[number].clone(memory_format=torch.contiguous_format)
            item[name] = self.transform(each) if self.transform and name in self._pictures else each
        for name in self._told:
            caption = self._captions[name][row].as_py()
            item[name] = self._encoded(name, [caption])[0]
            item.setdefault("caption", caption)
            if len(self._captions) > 1:
                item[f"caption_{name}"] = caption
        for name, factors in self._factors.items():
            z = {factor: values[row].item() for factor, values in factors.items()}
            item[f"z_{name}"] = self.target_transform(z) if self.target_transform else z
        return item

    def _batch(self, rows: list[int]) -> dict[str, Any]:
        """Read many rows as a batch."""
        rows, found = self._readable(rows)
        batch: dict[str, Any] = {}
        for name, arrays in found.items():
            whole, change = self._tensor(name, arrays), self.transform if name in self._pictures else None
            batch[name] = default_collate([change(each) for each in whole]) if change else whole
        for name in self._told:
            texts = self._captions[name].take(pa.array(rows, pa.int64())).to_pylist()
            batch[name] = self._encoded(name, texts)
            batch.setdefault("caption", texts)
            if len(self._captions) > 1:
                batch[f"caption_{name}"] = texts
        for name, factors in self._factors.items():
            if self.target_transform:
                each = [{factor: values[row].item() for factor, values in factors.items()} for row in rows]
                batch[f"z_{name}"] = default_collate([self.target_transform(z) for z in each])
            else:
                batch[f"z_{name}"] = {factor: torch.from_numpy(values[rows]) for factor, values in factors.items()}
        return batch

    def _tensor(self, view: str, arrays: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(self._decodings[view].laid_out(arrays))

    def _encoded(self, view: str, texts: list[str]) -> torch.Tensor:
        tokenizer = self._tokenizers[view]
        ids = torch.tensor([tokenizer.encode(text) for text in texts], dtype=torch.int64)
        return torch.nn.functional.one_hot(ids, len(tokenizer.vocabulary)).float() if self.one_hot else ids

    def _shaped(self, item: dict[str, Any]) -> Any:
        return item_type(tuple(item))(*item.values()) if self.as_named_tuple else item

    def _readable(self, rows: list[int]) -> tuple[list[int], dict[str, NDArray[Any]]]:
        """Return the rows whose files can be read, with their arrays; with `on_error="raise"` these are all rows."""
        if self.on_error == "raise":
            return rows, self._arrays(rows) or {}
        each = [(row, found) for row in rows if (found := self._arrays([row])) is not None]
        if not each and rows:  # a batch cannot be empty
            each = [self._first_readable(self._row(index) for index in range(len(self)))]
        arrays = {name: np.concatenate([found[name] for _, found in each]) for name in self._decodings}
        return [row for row, _ in each], arrays

    def _first_readable(self, rows: Iterable[int]) -> tuple[int, dict[str, NDArray[Any]]]:
        for row in rows:
            found = self._arrays([row])
            if found is not None:
                return row, found
        raise M3diError("no image of the split can be read", where=str(self.root), next_step=self._look())

    def _arrays(self, rows: list[int]) -> dict[str, NDArray[Any]] | None:
        """Decode the files of each view that has some, [n, ...]; None if one is skipped."""
        try:
            return {name: self._arrays_of.batch(rows, name) for name in self._decodings}
        except UnreadableSample as error:
            if self.on_error == "raise":
                raise
            self._skipped += 1
            warnings.warn(f"skipped: {error}", stacklevel=2)
        return None

    def _look(self) -> str:
        if isinstance(self._source, ShardSource):
            return f"m3di verify {self.root}  says what is damaged"
        return "compare the file with where you got it from"

    def __getstate__(self) -> dict[str, Any]:
        # The process that unpickles it reads the table again: a spawned worker gets a few kB.
        left = ("_files", "_arrays_of", "_decodings", "_captions", "_factors", "_rows", "spec", "table")
        state = {name: value for name, value in self.__dict__.items() if name not in left}
        if self._rows is not None:
            chosen = np.zeros(self._n, dtype=bool)
            chosen[self._rows] = True
            state["chosen"] = np.packbits(chosen)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        chosen = state.pop("chosen", None)
        self.__dict__.update(state)
        self.spec = self._source.spec.in_split(self.split)
        self._load()
        self._rows = None if chosen is None else np.flatnonzero(np.unpackbits(chosen, count=self._n))

    def _load(self) -> pa.Table:
        """Read the table: Arrow and NumPy arrays, so that forked workers copy no page of it."""
        table = self._source.table(self.split)
        self._n = table.num_rows
        self._files = self._source.files(self.split, table)
        self._decodings = {name: decoding_of(kind) for name, kind in self._kinds.items() if name not in self._told}
        self._pictures = [name for name, kind in self._decodings.items() if kind.is_picture]
        keys, split = one_array(table["key"]), f"split {self.split!r}"
        self._arrays_of = ViewArrays(self._files, self._decodings, keys, split, self._look(), self._caches)
        self._captions = {name: one_array(table[f"{name}.caption"]) for name in self._told}
        self._factors = {
            view: {name: table[f"{view}.{name}"].to_numpy() for name in self._factors_of(view)} for view in self.views
        }
        if self._cache_kind is not None and self._n and not self._caches:
            for view in self._pictures:
                shape = self._arrays_of.shape(view, passes_over=self.on_error == "skip")
                path = None
                if self._cache_kind == "disk":
                    path = cache_path(self._source.pictures(self.split), self.split, view, self._n, shape)
                self._caches[view] = PixelCache(path, self._n, shape)
        return table

    def _factors_of(self, view: str) -> list[str]:
        seen = self.spec.observed[view].view.factors
        if self._wanted is not None:
            return [name for name in self._wanted if name in seen]
        return [name for name in seen if self.spec.factors[name].kind != "seed"]
