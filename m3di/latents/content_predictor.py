"""Predicts factors from samples of the content block: the estimate behind bounds that have no closed form."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from m3di.latents.conditions import given_factors
from m3di.latents.sampling import Samples
from m3di.latents.spec import Spec

MAX_CELLS = 2000  # more joint values of categorical content than this are treated like numbers
N_NEIGHBOURS = 32
VOTERS = (N_NEIGHBOURS, 4 * N_NEIGHBOURS, 16 * N_NEIGHBOURS)  # few are near; of many, the most frequent label is sure
N_BINS = (4, 16)  # of each number, to vote among still more
N_AT_ONCE = 2048  # samples whose neighbours are in memory together


def related_content(spec: Spec, content: frozenset[str], name: str) -> frozenset[str]:
    """The content factors that can tell of a factor: all others share no cause with it or with any of these.

    Where the number of a frame tells, all can.
    """
    if spec.is_chain and any(spec.moves(each) for each in spec.ancestors([name])):
        return content
    blocks = [spec.ancestors([each]) for each in content] + [given_factors(spec)]
    reached = spec.ancestors([name])
    before = -1
    while len(reached) > before:
        before = len(reached)
        reached = reached.union(*(each for each in blocks if not reached.isdisjoint(each)))
    return content & reached


class ContentPredictor:
    """Predicts by the samples of the first half with equal or near content, and is scored on the second half.

    Args:
        spec: The spec.
        content: Names of the content factors.
        drawn: Samples of it.
    """

    def __init__(self, spec: Spec, content: frozenset[str], drawn: Samples) -> None:
        self.spec, self.content, self.half = spec, content, drawn.n // 2
        self.raw: dict[str, NDArray[Any]] = {}
        for name in sorted(content):
            view = next(
                each
                for each, observed in spec.observed.items()
                if name in observed.view.factors and observed.view.factors[name].role == "content"
            )
            self.raw[name] = drawn.views[view][name]
        length = spec.sequence.length if spec.is_chain and spec.sequence is not None else 1
        self.sequences = np.arange(drawn.n) // length  # what is drawn together errs together
        self._neighbours = cache(self._find_neighbours)

    def score(self, name: str, raw: NDArray[Any], metric: str) -> tuple[float, float]:
        """An estimate of the best score from content, and its standard error.

        Args:
            name: The factor.
            raw: Its values in a view, of all samples.
            metric: `r2` or `accuracy`.
        """
        names = tuple(sorted(related_content(self.spec, self.content, name)))
        if metric == "accuracy":
            values, index = np.unique(raw, return_inverse=True)
            right = self._right(names, index, len(values))
            return float(right.mean()), self._error(right - right.mean(), self.half)
        target = raw[self.half :].astype(np.float64)
        mean, count = self._mean(names, raw.astype(np.float64))
        # A mean of k values errs itself, by a k-th of their variance: so the residual is (k + 1) / k of the least.
        residual, total = (target - mean) ** 2 * count / (count + 1.0), (target - target.mean()) ** 2
        variance = max(float(total.mean()), 1e-300)
        ratio = float(residual.mean()) / variance
        return max(0.0, 1.0 - ratio), self._error((residual - ratio * total) / variance, self.half)

    def error_of_share(self, raw: NDArray[Any]) -> float:
        """Standard error of the share of the most frequent value."""
        values, counts = np.unique(raw, return_counts=True)
        right = (raw == values[counts.argmax()]).astype(np.float64)
        return self._error(right - right.mean(), 0)

    def _error(self, deviations: NDArray[np.float64], first: int) -> float:
        """Standard error of a mean, by the deviations of its samples."""
        together = np.bincount(self.sequences[first:] - self.sequences[first], weights=deviations)
        return float(np.sqrt(np.sum(together**2)) / len(deviations))

    def _mean(self, names: tuple[str, ...], raw: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any] | int]:
        """The mean of the first half near each sample of the second, and of how many samples it is."""
        cells = self._cells(names)
        if cells is None:
            near = self._neighbours(names)
            return raw[near].mean(axis=1), near.shape[1]
        count = np.bincount(cells[: self.half], minlength=cells.max() + 1)
        total = np.bincount(cells[: self.half], weights=raw[: self.half], minlength=cells.max() + 1)
        means = np.where(count > 0, total / np.maximum(count, 1), raw[: self.half].mean())
        own = np.where(count > 0, count, self.half)[cells[self.half :]]
        return means[cells[self.half :]], own

    def _right(self, names: tuple[str, ...], index: NDArray[np.int64], n_labels: int) -> NDArray[np.float64]:
        """Whether the label of each sample of the second half is predicted.

        Of several ways to vote, one part of them is scored by that which is best on the other: none is chosen by the
        samples that it is scored on.
        """
        near = [self._votes_of_neighbours(names, index, n_labels)] if self._cells(names) is None else []
        cells = [self._cells(some, n_bins) for some in _parts(names) for n_bins in N_BINS]
        ways = np.concatenate(
            [*near, *(self._votes_of_cells(each, index, n_labels) for each in cells if each is not None)]
        )
        right = (ways == index[self.half :]).astype(np.float64)
        middle = right.shape[1] // 2
        first, second = right[:, :middle], right[:, middle:]
        return np.concatenate([first[second.mean(axis=1).argmax()], second[first.mean(axis=1).argmax()]])

    def _votes_of_cells(self, cells: NDArray[np.int64], index: NDArray[np.int64], n_labels: int) -> NDArray[np.int64]:
        table = np.zeros((cells.max() + 1, n_labels), dtype=np.int64)
        np.add.at(table, (cells[: self.half], index[: self.half]), 1)
        return np.asarray(table.argmax(axis=1)[cells[self.half :]])[None]

    def _votes_of_neighbours(
        self, names: tuple[str, ...], index: NDArray[np.int64], n_labels: int
    ) -> NDArray[np.int64]:
        """The most frequent labels of few and of many neighbours: [ways, samples]."""
        sizes = sorted({min(each, self.half) for each in VOTERS})
        found = []
        for near in self._near(names, sizes[-1]):
            rows = np.arange(len(near))[:, None] * n_labels
            counts = np.zeros(len(near) * n_labels, dtype=np.int64)
            votes = []
            for first, last in zip([0, *sizes], sizes, strict=False):
                counts += np.bincount((rows + index[near[:, first:last]]).ravel(), minlength=len(counts))
                votes.append(counts.reshape(-1, n_labels).argmax(axis=1))
            found.append(np.stack(votes))
        return np.concatenate(found, axis=1)

    def _find_neighbours(self, names: tuple[str, ...]) -> NDArray[np.int64]:
        return np.concatenate(list(self._near(names, N_NEIGHBOURS)))

    def _near(self, names: tuple[str, ...], k: int) -> Iterator[NDArray[np.int64]]:
        """The nearest samples of the first half to those of the second, nearest first: [samples, k] at a time."""
        points = self._points(names)
        tree = cKDTree(points[: self.half])
        for start in range(self.half, len(points), N_AT_ONCE):
            yield np.asarray(tree.query(points[start : start + N_AT_ONCE], k=k, workers=1)[1], dtype=np.int64)

    def _points(self, names: tuple[str, ...]) -> NDArray[np.float64]:
        """Content as points: [samples, content factors]."""
        columns = []
        for name in names:
            factor, raw = self.spec.factors[name], self.raw[name]
            columns.append(factor.to_unit(raw) if np.isfinite(factor.bounds).all() else raw / raw.std())
        return np.stack(columns, axis=1)

    def _cells(self, names: tuple[str, ...], n_bins: int = 0) -> NDArray[np.int64] | None:
        """The number of each sample's joint value of content; None where that has very many values.

        Args:
            names: Of content factors.
            n_bins: Bins of a number, about equally likely; with 0, a number has very many values.
        """
        cells, n_cells = np.zeros(len(self.sequences), dtype=np.int64), 1
        for name in names:
            factor, values = self.spec.factors[name], self.raw[name]
            is_label = factor.type == "categorical"
            n = factor.n if is_label else n_bins
            n_cells *= n
            if not 0 < n_cells <= MAX_CELLS:
                return None
            cells = cells * n + (values if is_label else _binned(values, n))
        return cells


def _binned(values: NDArray[np.float64], n: int) -> NDArray[np.int64]:
    """The bin of each value: 0 to n - 1."""
    return np.searchsorted(np.quantile(values, np.arange(1, n) / n), values, side="right")


def _parts(names: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Sets of content to predict from: all, all but one, and one."""
    but_one = [tuple(each for each in names if each != left_out) for left_out in names]
    return list(dict.fromkeys([names, *but_one, *((name,) for name in names)]))
