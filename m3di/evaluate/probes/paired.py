"""Is one encoder better than another? Tests of paired scores: over test samples by the bootstrap, over seeds by t."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from m3di.evaluate.bootstrap import interval, interval_over_seeds
from m3di.evaluate.r2 import ROUNDING

Floats = NDArray[np.float64]
NAN = float("nan")


@dataclass(frozen=True)
class Difference:
    """Of one score between two encoders.

    Attributes:
        value: The first one's score less the second one's.
        ci_low: Lower end of its 95 % interval; not a number if there is none.
        ci_high: Upper end.
        p: Probability of a difference at least as large if there were none, two-sided; not a number if unknown.
    """

    value: float
    ci_low: float = NAN
    ci_high: float = NAN
    p: float = NAN


def paired_bootstrap(value: float, first: Floats, second: Floats) -> Difference:
    """From the scores of two encoders on the same resamples of the same test samples.

    Args:
        value: Difference of the scores on the samples themselves.
        first: [B] scores of the first on each resample.
        second: [B] scores of the second on the same resamples.

    The p value is twice the share of resamples on the other side of 0, counted with one more that lies there, so it
    never is 0 (Davison and Hinkley, 1997, section 4.2). Where fewer than half of the resamples have a score, there is
    none.
    """
    differences = first - second
    finite = differences[np.isfinite(differences)]
    if 2 * len(finite) <= len(differences) or not np.isfinite(value):
        return Difference(value)
    sides = ((finite <= 0).sum(), (finite >= 0).sum())
    p = min(1.0, 2.0 * (min(sides) + 1) / (len(finite) + 1))
    return Difference(value, *interval(differences), p)


def paired_over_seeds(first: Floats, second: Floats) -> Difference:
    """From the scores of two encoders, each trained with the same seeds: Student's t of their differences [S].

    A single pair has no interval and no p value, and neither have pairs that all differ by the same, up to rounding:
    what spread other seeds would have is not known. Where none differs at all, p is 1, whatever that spread.
    """
    both = np.stack([first, second])
    both = both[:, np.isfinite(both).all(axis=0)]
    differences = both[0] - both[1]
    if len(differences) == 0:
        return Difference(NAN)
    mean = float(differences.mean())
    if len(differences) < 2:
        return Difference(mean)
    if np.ptp(differences) <= ROUNDING * np.abs(both).max():
        return Difference(mean, p=NAN if differences.any() else 1.0)
    return Difference(mean, *interval_over_seeds(differences), float(stats.ttest_1samp(differences, 0.0).pvalue))
