"""Confidence intervals: over test samples by the bootstrap, over seeds by Student's t."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from m3di.evaluate.r2 import ROUNDING, is_constant

Floats = NDArray[np.float64]
N_BOOTSTRAP = 1000
LEVEL = 0.95


class Bootstrap:
    """Resamples of N test samples, as weights.

    Args:
        n: Number of test samples.
        n_resamples: Number of resamples.
        seed: Of the resampling.
    """

    def __init__(self, n: int, n_resamples: int = N_BOOTSTRAP, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.weights = rng.multinomial(n, np.full(n, 1.0 / n), size=n_resamples) / n  # [B, N], rows sum to 1

    def means(self, values: Floats) -> Floats:
        """Return the mean in each resample: [N] -> [B]."""
        return np.asarray(self.weights @ values)

    def r2s(self, true: Floats, predicted: Floats) -> Floats:
        """Return R2 of all columns together in each resample, as `circular_r2` does: [N, K], [N, K] -> [B].

        A resample that has a single value of `true` has none: not a number.
        """
        if is_constant(true):
            return np.full(len(self.weights), np.nan)
        centred = true - true.mean(axis=0)
        error = self.weights @ ((true - predicted) ** 2).sum(axis=1)
        squares = self.weights @ (centred**2).sum(axis=1)
        total = squares - ((self.weights @ centred) ** 2).sum(axis=1)
        varies = total > ROUNDING * squares  # the difference of two equal numbers is not always 0
        return np.asarray(1.0 - np.divide(error, total, out=np.full_like(error, np.nan), where=varies))

    def of(self, statistic: Callable[[Floats], float]) -> Floats:
        """Return any statistic of the weights [N] of the samples in each resample, [B]."""
        return np.array([statistic(weights) for weights in self.weights])


def interval(values: Floats) -> tuple[float, float]:
    """Return the middle 95 % of resampled values; NaN if fewer than half of them are numbers."""
    finite = values[np.isfinite(values)]
    if 2 * len(finite) <= len(values):
        return float("nan"), float("nan")
    low, high = np.quantile(finite, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def interval_over_seeds(values: Floats) -> tuple[float, float]:
    """Return the 95 % interval of the mean of independent runs by Student's t; NaN for a single run.

    NaN too where all runs score the same, up to rounding: that says nothing of the spread of others.
    """
    values = values[np.isfinite(values)]
    if len(values) < 2 or is_constant(values):
        return float("nan"), float("nan")
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    mean = float(values.mean())
    return mean - half, mean + half
