"""The rows of all splits of one dataset or of several, numbered through: row 0 is the first one of the first split."""

from __future__ import annotations

import bisect
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from m3di.browse.same_samples import Twins, find_twins
from m3di.data import Files, Source, open_source, open_to_read
from m3di.errors import UsageError, without_credentials
from m3di.latents import Factor, Spec
from m3di.latents.factor import WHENCE

MAX_EXACT = 1 << 53  # beyond it a number of JavaScript is not exact
MAX_SHOWN = 200  # characters of a value in a message


@dataclass(frozen=True)
class Block:
    """A split of a dataset.

    Attributes:
        dataset: Number of the dataset.
        split: Name of the split.
        first: Number of its first row among all.
        table: Its rows.
        files: Its image files, by row of `table`.
    """

    dataset: int
    split: str
    first: int
    table: pa.Table
    files: Files


@dataclass(frozen=True)
class Gathered:
    """Datasets of the same factors, with their rows.

    Attributes:
        roots: Where each dataset lies, as it was given.
        sources: The datasets.
        blocks: Their splits that hold samples, in the order of the rows.
    """

    roots: tuple[str, ...]
    sources: tuple[Source, ...]
    blocks: tuple[Block, ...]

    @property
    def spec(self) -> Spec:
        """The spec of the first dataset: factors and names of views are those of all datasets."""
        return self.sources[0].spec

    @cached_property
    def n_rows(self) -> int:
        """Rows of all splits of all datasets."""
        return sum(block.table.num_rows for block in self.blocks)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """What to call each dataset: the last part of its place; where two are alike, with a number."""
        last = [root.rstrip("/").rpartition("/")[2] or root for root in map(without_credentials, self.roots)]
        return tuple(f"{name} ({number})" if last.count(name) > 1 else name for number, name in enumerate(last, 1))

    @cached_property
    def twins(self) -> Twins:
        """Which rows are one sample."""
        return find_twins([(self.sources[each.dataset], each.split, each.table) for each in self.blocks])

    @cached_property
    def column_names(self) -> tuple[str, ...]:
        """Columns that every split has, in the order of the first."""
        others = [set(block.table.column_names) for block in self.blocks[1:]]
        return tuple(name for name in self.blocks[0].table.column_names if all(name in each for each in others))

    @cached_property
    def file_columns(self) -> frozenset[str]:
        """Columns that say where files lie in the shards, and nothing of a sample."""
        names = {name for block in self.blocks for name in block.table.column_names}
        stems = {name.removesuffix("_offset") for name in names if f"{name.removesuffix('_offset')}_size" in names}
        ranges = {f"{stem}{end}" for stem in stems for end in ("_offset", "_size") if f"{stem}_offset" in names}
        return frozenset(ranges | {"shard"})

    def column(self, name: str) -> pa.ChunkedArray:
        """A column, [n_rows]."""
        return pa.chunked_array([chunk for block in self.blocks for chunk in block.table[name].chunks])

    def numbers(self, name: str) -> NDArray[Any]:
        """A column of numbers, [n_rows]: integers in as few bytes as hold them, else float64 (nothing is not a number).

        `dataset` and `split` number the dataset and the split of each row.
        """
        if name in ("dataset", "split"):
            splits = self.split_names
            codes = [block.dataset if name == "dataset" else splits.index(block.split) for block in self.blocks]
            return np.repeat(np.array(codes, np.uint8), [block.table.num_rows for block in self.blocks])
        values = self.column(name).to_numpy()
        return _narrow(values) if values.dtype.kind in "iu" else values.astype(np.float64)

    @cached_property
    def split_names(self) -> tuple[str, ...]:
        """Names of all splits."""
        return tuple(dict.fromkeys(block.split for block in self.blocks))

    def place(self, row: int) -> tuple[Block, int]:
        """The split that a row is of, and its number there.

        Raises:
            IndexError: There is no such row.
        """
        if not 0 <= row < self.n_rows:
            raise IndexError(f"row {row} of {self.n_rows}")
        block = self.blocks[bisect.bisect([each.first for each in self.blocks], row) - 1]
        return block, row - block.first

    def rows(self, chosen: Sequence[int]) -> list[dict[str, Any]]:
        """All that the tables say of some rows, but where their files lie; and the rows that are the same sample.

        Raises:
            IndexError: There is no such row.
        """
        return [self._row(row) for row in chosen]

    def _row(self, row: int) -> dict[str, Any]:
        block, own = self.place(row)
        shown = [name for name in block.table.column_names if name not in self.file_columns]
        found = {name: _exact(block.table[name][own].as_py()) for name in shown}
        return {"dataset": block.dataset, "split": block.split, "row": row, "twins": self.twins.of(row), **found}

    def contains(self, text: str) -> NDArray[np.bool_]:
        """Of which rows a caption contains a text, bool [n_rows]; small and capital letters are alike."""
        found = np.zeros(self.n_rows, dtype=bool)
        for view in self.spec.told:
            if f"{view}.caption" in self.column_names:
                captions = self.column(f"{view}.caption")
                matches = pc.match_substring(captions, text, ignore_case=True)  # type: ignore[attr-defined]
                found |= pc.fill_null(matches, False).to_numpy()
        return found


def _narrow(values: NDArray[Any]) -> NDArray[Any]:
    """Integers in the smallest type that holds them all; as float64 where it would need eight bytes."""
    low, high = (int(values.min()), int(values.max())) if len(values) else (0, 0)
    for kind in (np.uint8, np.int16, np.uint16, np.int32, np.uint32):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return values.astype(kind)
    return values.astype(np.float64)


def _exact(value: Any) -> Any:
    """A value for JSON: integers that JavaScript would round are texts, and so are numbers that JSON lacks."""
    if isinstance(value, int) and abs(value) > MAX_EXACT:
        return str(value)
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value


def gather_rows(roots: Sequence[str | os.PathLike[str]]) -> Gathered:
    """Open datasets, and read the tables of all their splits.

    Args:
        roots: Folders or URLs, of m3di's format or the published layout.

    Raises:
        M3diError: There is no dataset, or a table is damaged.
        UsageError: The datasets have other factors or views than the first one, or no samples.
    """
    sources = tuple(open_source(open_to_read(root)) for root in roots)
    for root, source in zip(roots[1:], sources[1:], strict=True):
        _check_comparable(str(roots[0]), sources[0].spec, str(root), source.spec)
    blocks = tuple(_blocks(sources))
    if not blocks:
        raise UsageError(
            "there are no samples to look at", where=str(roots[0]), next_step="m3di info tells what is there"
        )
    return Gathered(tuple(map(str, roots)), sources, blocks)


def _blocks(sources: Sequence[Source]) -> Iterator[Block]:
    first = 0
    for number, source in enumerate(sources):
        for split, n in source.n_samples.items():
            if n:
                table = source.table(split)
                yield Block(number, split, first, table, source.files(split, table))
                first += table.num_rows


def _check_comparable(first: str, spec: Spec, other: str, others: Spec) -> None:
    """Raise unless equal numbers mean the same in two datasets: views, and factors but for their mechanisms."""
    for what, one, two in (
        ("views", set(spec.observed), set(others.observed)),
        ("factors", set(spec.factors), set(others.factors)),
    ):
        if one != two:
            raise UsageError(
                f"the datasets have other {what}, so that they cannot be shown beside each other",
                where=f"{first} and {other}", got=", ".join(sorted(one ^ two)) + " in one of them only",
                expected="datasets of the same views and factors, such as one with --do beside one without",
                next_step="look at each of them by itself",
            )  # fmt: skip
    for name, observed in spec.observed.items():
        modality, another = observed.view.modality, others.observed[name].view.modality
        if modality != another:
            raise UsageError(
                f"the view {name} is of two modalities in the two datasets",
                where=f"{first} and {other}", got=f"{modality} | {another}", expected="views of one modality",
                next_step="look at each of them by itself",
            )  # fmt: skip
    for name, factor in spec.factors.items():
        differing = _meaning_apart(factor, others.factors[name])
        if differing:
            raise UsageError(
                f"the values of {name} mean other things in the two datasets",
                where=f"{first} and {other}", got="; ".join(differing),
                expected="a factor that differs in nothing but its mechanism",
                next_step="look at each of them by itself",
            )  # fmt: skip


def _meaning_apart(one: Factor, other: Factor) -> list[str]:
    """What is another one in two factors but their mechanisms, each as `key: this | other`."""
    both = [each.model_dump(exclude={*WHENCE}, by_alias=True) for each in (one, other)]
    return [
        f"{key}: {_shown(both[0][key])} | {_shown(both[1][key])}" for key in both[0] if both[0][key] != both[1][key]
    ]


def _shown(value: Any) -> str:
    """A value of a factor for a message."""
    values = list(value) if isinstance(value, tuple) else [value]
    text = ", ".join("none" if each is None else str(each) for each in values)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."
