"""What is measured, and what a score says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m3di.errors import UsageError, did_you_mean
from m3di.evaluate.probes.bootstrap import N_BOOTSTRAP, interval

NAN, INF = float("nan"), float("inf")
PROBES = (
    *("linear", "kernel_ridge", "logistic", "mlp", "leakage"),
    *("mcc", "dci", "mig", "sap", "modularity", "alignment", "retrieval"),
)
# What a metric can be; an interval that a formula draws beyond is cut there. All others lie within [0, 1].
RANGES = {
    "r2": (-INF, 1.0),
    "circular_r2": (-INF, 1.0),
    "informativeness": (-INF, 1.0),  # a mean of R2 and accuracies
    "leakage": (-INF, INF),
    "alignment": (0.0, 4.0),
    "uniformity": (-8.0, 0.0),
    "val_loss": (-INF, INF),
}


@dataclass(frozen=True)
class Protocol:
    """What to measure.

    Attributes:
        probes: Some of `PROBES`.
        n_bootstrap: Resamples of the test samples behind each interval.
        seed: Of resampling, folds, MLP and forests.
        n_folds: 2 or more: fit on all but one fold of the samples of both splits and score on that, each fold in turn.
            None fits once on `val` and scores on `test`.
    """

    probes: tuple[str, ...] = PROBES
    n_bootstrap: int = N_BOOTSTRAP
    seed: int = 0
    n_folds: int | None = None

    def __post_init__(self) -> None:
        for name in self.probes:
            if name not in PROBES:
                raise UsageError(
                    f"no probe is called {name!r}",
                    expected=", ".join(PROBES),
                    next_step=did_you_mean(name, PROBES),
                )
        if self.n_bootstrap < 1:
            raise UsageError("the number of resamples is too small", got=self.n_bootstrap, expected="1 or more")
        if self.n_folds is not None and self.n_folds < 2:
            raise UsageError("the number of folds is too small", got=self.n_folds, expected="2 or more")


@dataclass(frozen=True)
class Score:
    """One number and how to read it.

    Attributes:
        view: Whose encoding.
        factor: `VIEW.FACTOR`; for metrics of a whole encoding the block (`content`, `all`), or the other view.
        kind: Kind of the factor, or empty.
        role: Its role in its view, or empty.
        estimator: What predicts.
        metric: `r2`, `circular_r2`, `accuracy`, `leakage`, `mcc`, ...
        value: The score on the test samples.
        chance: That of the best constant prediction.
        bound: That of the best prediction from content alone.
        ci_low: Lower end of the 95 % bootstrap interval over test samples; not a number where there is none.
        ci_high: Upper end.
        resampled: [B] the score on each resample of the test samples; None where there is no interval.
    """

    view: str
    factor: str
    kind: str
    role: str
    estimator: str
    metric: str
    value: float
    chance: float = NAN
    bound: float = NAN
    ci_low: float = NAN
    ci_high: float = NAN
    resampled: NDArray[np.float64] | None = field(default=None, compare=False, repr=False)

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What tells it from the other scores of a run."""
        return self.view, self.factor, self.estimator, self.metric

    def as_row(self) -> dict[str, Any]:
        """Its columns in a table of results."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name != "resampled"}

    def with_resampled(self, resampled: NDArray[np.float64]) -> Score:
        """The same with its scores on resamples [B], and the interval that follows from them."""
        low, high = within(self.metric, *interval(resampled))
        return replace(self, ci_low=low, ci_high=high, resampled=resampled)


def within(metric: str, low: float, high: float) -> tuple[float, float]:
    """An interval, cut where the metric ends."""
    least, most = RANGES.get(metric, (0.0, 1.0))
    return min(max(low, least), most), min(max(high, least), most)


def check_probes(names: Sequence[str]) -> tuple[str, ...]:
    """Names of probes, each once; all if empty."""
    return tuple(dict.fromkeys(names)) or PROBES
