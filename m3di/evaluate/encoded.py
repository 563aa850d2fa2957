"""Encodings with the factors to probe them for: the input of every metric, from any source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m3di.errors import M3diError

Floats = NDArray[np.float64]
MIN_FIT, MIN_TEST = 10, 2
FACTUAL = "factual"
"""What samples of test are called of the dataset that a run was trained on."""


@dataclass(frozen=True)
class FactorValues:
    """A factor, with its value for every sample.

    Attributes:
        view: Its view.
        name: Its name.
        role: Its role in that view; empty if no spec says.
        kind: Kind of the value (hue, angle, position, label, scalar).
        fit: [N] values for fitting probes: float64 is a number, int64 a label.
        test: [M] values for scoring.
        angle: [N] and [M] in radians, for a hue or an angle; else None.
        bound: Score of the best prediction from content alone; not a number if it is not known.
        scored: All values that are scored, where `test` is one fold of them; None if `test` is all.
    """

    view: str
    name: str
    role: str
    kind: str
    fit: NDArray[Any]
    test: NDArray[Any]
    angle: tuple[Floats, Floats] | None = None
    bound: float = float("nan")
    scored: NDArray[Any] | None = None

    @property
    def full_name(self) -> str:
        """`VIEW.FACTOR`."""
        return f"{self.view}.{self.name}"

    @property
    def chance(self) -> float:
        """Score of the best constant prediction of the test: R2 0, or the share of the most frequent label there.

        Of both, the constant is that of the test: the label that is most frequent in the fit may not be in it at all.
        """
        if self.is_number:
            return 0.0
        scored = self.test if self.scored is None else self.scored
        return float(np.unique(scored, return_counts=True)[1].max() / len(scored))

    @property
    def is_number(self) -> bool:
        """Whether it is a number, not a label."""
        return self.fit.dtype.kind == "f"


@dataclass(frozen=True)
class Encoded:
    """Encodings and factors of one run on one dataset.

    Attributes:
        run: Name of the run.
        data: Kind of the samples: `factual`, or an intervention.
        encodings: For each view, those of the fit [N, D] and of the test [M, D].
        factors: For each view, the factors that its encoding is probed for.
        pairs: Views whose encodings belong together, sample by sample.
        similarity: Similarity of the training loss, by which pairs are retrieved.
        attributes: Columns of the result that are the same in every row (`encoding_size`, `seed`, ...).
        all_factors: As `factors`, where these are a choice: what content is does not depend on it.
        samples: What is known of which samples they are: fingerprint and split of those of the test, fingerprint of
            those of the fit. An empty text is not known.
    """

    run: str
    encodings: Mapping[str, tuple[Floats, Floats]]
    factors: Mapping[str, tuple[FactorValues, ...]]
    data: str = FACTUAL
    pairs: tuple[tuple[str, str], ...] = ()
    similarity: str = "cosine"
    attributes: Mapping[str, Any] = field(default_factory=dict)
    all_factors: Mapping[str, tuple[FactorValues, ...]] | None = None
    samples: tuple[str, str, str] = ("", "", "")

    def check(self) -> None:
        """Check that the encodings can be probed.

        Raises:
            M3diError: Shapes or lengths do not fit, a number is not finite, or there are too few samples.
        """
        for view, both in self.encodings.items():
            for part, encoding in zip(("fit", "test"), both, strict=True):
                _check_encoding(encoding, f"encodings of {view!r}, {part}, of {self.run}")
            if both[0].shape[1] != both[1].shape[1]:
                raise M3diError(
                    "encodings of the fit and of the test have different sizes",
                    where=f"view {view!r} of {self.run}",
                    got=f"{both[0].shape[1]} and {both[1].shape[1]}",
                )
        lengths = {view: tuple(map(len, both)) for view, both in self.encodings.items()}
        for view, factors in [*self.factors.items(), *(self.all_factors or {}).items()]:
            lengths |= {f"{each.full_name} (a factor)": (len(each.fit), len(each.test)) for each in factors}
            for each in factors:
                if each.is_number and not (np.isfinite(each.fit).all() and np.isfinite(each.test).all()):
                    raise M3diError("a factor has values that are not finite", where=f"{each.full_name} of {view}")
        if len(set(lengths.values())) > 1:
            told = "; ".join(f"{name}: {fit} and {test}" for name, (fit, test) in lengths.items())
            raise M3diError(
                "encodings and factors have different numbers of samples",
                where=self.run,
                got=f"{told} (fit and test)",
                expected="one row for each sample of the split, in the order of the dataset",
            )
        n_fit, n_test = next(iter(lengths.values()))
        if n_fit < MIN_FIT or n_test < MIN_TEST:
            raise M3diError(
                "there are too few samples for probes",
                where=self.run,
                got=f"{n_fit} to fit, {n_test} to score",
                expected=f"{MIN_FIT} and {MIN_TEST} or more",
                next_step="a dataset with more samples of val and test: options --n-val and --n-test of `m3di render`",
            )


def _check_encoding(encoding: Floats, where: str) -> None:
    if encoding.ndim != 2 or encoding.shape[1] == 0 or encoding.dtype.kind != "f":
        raise M3diError(
            "an encoding is not a table of numbers",
            where=where,
            got=f"{encoding.dtype}, shape {list(encoding.shape)}",
            expected="floating point, shape [n_samples, encoding_size]",
        )
    if not np.isfinite(encoding).all():
        bad = np.flatnonzero(~np.isfinite(encoding).all(axis=1))
        raise M3diError(
            "an encoding has values that are not finite",
            where=where,
            got=f"{len(bad)} of {len(encoding)} rows, the first is {bad[0]}",
            next_step="look at the loss of the run: it may have diverged",
        )
