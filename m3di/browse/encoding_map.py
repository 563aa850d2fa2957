"""Encodings beside the rows that they are of: a map in two dimensions, and the nearest rows in each view's space."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m3di.browse.gathered import Gathered
from m3di.errors import UsageError

Count = Callable[[int, int], None]
N_NEAREST = 12
SPLITS = ("val", "test")  # in the order of `EncodedView`: what probes are fitted on, and what is scored


@dataclass(frozen=True)
class EncodingMap:
    """Encodings of some rows.

    Attributes:
        views: Encodings of each view, float32 [n, D].
        rows: Number of the row that each is of, int64 [n].
        of: Of which splits they are.
        by: By what they were made.
        n_whole: How many there are in all, where these are some of them; None where they are all.
    """

    views: Mapping[str, NDArray[np.float32]]
    rows: NDArray[np.int64]
    of: str = ""
    by: str = ""
    n_whole: int | None = None
    _unit: dict[str, NDArray[np.float32]] = field(default_factory=dict, repr=False)

    @property
    def note(self) -> str:
        """Of how many samples and which splits they are, and by what they were made."""
        n = f"{len(self.rows):,}"
        return (
            f"{n} samples of {self.of}, {self.by}"
            if self.n_whole is None
            else (f"{n} of {self.n_whole:,} encodings of {self.of}, {self.by}")
        )

    def places(self, view: str) -> NDArray[np.float32]:
        """The two directions in which the encodings of a view differ most (PCA), each scaled by the wider one to -1 to
        1, float32 [n, 2].
        """
        centred = self.views[view] - self.views[view].mean(axis=0)
        _, _, axes = np.linalg.svd(centred.T @ centred)
        places = centred @ axes[:2].T
        if places.shape[1] < 2:
            places = np.column_stack([places, np.zeros(len(places))])
        return (places / max(float(np.abs(places).max()), 1e-12)).astype(np.float32)

    def nearest(self, view: str, row: int, n: int = N_NEAREST) -> list[dict[str, Any]]:
        """The rows whose encodings point most nearly the same way, the nearest first, with the cosine.

        Raises:
            LookupError: The row has no encoding.
        """
        own = np.flatnonzero(self.rows == row)
        if not len(own):
            raise LookupError(f"row {row} has no encoding")
        if view not in self._unit:
            lengths = np.linalg.norm(self.views[view], axis=1, keepdims=True)
            self._unit[view] = self.views[view] / np.maximum(lengths, 1e-12)
        cosine = self._unit[view] @ self._unit[view][own[0]]
        order = [each for each in np.argsort(-cosine, kind="stable")[: n + 1] if each != own[0]][:n]
        return [{"row": int(self.rows[each]), "cosine": round(float(cosine[each]), 4)} for each in order]

    def only(self, chosen: NDArray[np.int64]) -> EncodingMap:
        """The encodings of some rows, which are numbered by their places among them."""
        kept = np.isin(self.rows, chosen)
        views = {view: each[kept] for view, each in self.views.items()}
        rows, n = np.searchsorted(chosen, self.rows[kept]), len(self.rows) if self.n_whole is None else self.n_whole
        return EncodingMap(views, rows, self.of, self.by, None if kept.all() and self.n_whole is None else n)


def read_encodings(path: Path, gathered: Gathered) -> EncodingMap:
    """The encodings of the first dataset in an .npz, see docs/evaluation.md.

    Raises:
        M3diError: The file is damaged, or does not fit the dataset.
        UsageError: The dataset lacks one of the splits.
    """
    from m3di.evaluate import ProbeData, read_npz

    blocks = {each.split: each for each in gathered.blocks if each.dataset == 0}
    missing = [split for split in SPLITS if split not in blocks]
    if missing:
        raise UsageError(
            f"the dataset has no split {missing[0]!r}", where=gathered.roots[0], got=", ".join(blocks),
            expected="val and test, which encodings are of", next_step="leave --encodings out; or say --run RUN",
        )  # fmt: skip
    encoded = read_npz(path, ProbeData(gathered.roots[0]))
    encoded.check()
    views = {view: np.concatenate(both).astype(np.float32) for view, both in encoded.encodings.items()}
    rows = [np.arange(blocks[split].table.num_rows) + blocks[split].first for split in SPLITS]
    return EncodingMap(views, np.concatenate(rows).astype(np.int64), "val and test", f"from {path.name}")


def held_out_rows(gathered: Gathered) -> NDArray[np.int64]:
    """Rows of the first dataset that no run was trained on; all of its rows where there are none."""
    own = [each for each in gathered.blocks if each.dataset == 0]
    chosen = [each for each in own if each.split != "train"] or own
    return np.concatenate([np.arange(each.table.num_rows) + each.first for each in chosen])


def encode_rows(
    checkpoint: Path, gathered: Gathered, rows: NDArray[np.int64], count: Count | None = None
) -> EncodingMap:
    """Encode rows of the first dataset.

    Args:
        checkpoint: That of a run.
        gathered: The datasets.
        rows: Numbers of rows, increasing; those of other datasets are passed over.
        count: Told how many samples are done, of how many.

    Raises:
        M3diError: The checkpoint is damaged, or the run cannot read the dataset.
    """
    from m3di.data import Multimodal3DIdent
    from m3di.evaluate import encode_samples

    run = checkpoint.parent.parent

    own = [each for each in gathered.blocks if each.dataset == 0]
    chosen = [rows[(rows >= each.first) & (rows < each.first + each.table.num_rows)] for each in own]
    asked = [(each, some) for each, some in zip(own, chosen, strict=True) if len(some)]
    samples = [
        (Multimodal3DIdent(gathered.roots[0], split=each.split), (some - each.first).tolist()) for each, some in asked
    ]
    parts = encode_samples(run, samples, checkpoint=checkpoint, progress=count)
    views = {view: np.concatenate([part[view] for part in parts]).astype(np.float32) for view in parts[0]}
    encoded = np.concatenate([some for _, some in asked])
    splits = _listed([each.split for each, _ in asked])
    return EncodingMap(views, encoded, splits, f"encoded by {run.name}, {checkpoint.name}")


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
