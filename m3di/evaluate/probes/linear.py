"""Linear regression: what can be read from an encoding by a weighted sum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Linear:
    """A fitted regression: `weights` [D, T], `intercept` [T]."""

    weights: Floats
    intercept: Floats

    def predict(self, samples: Floats) -> Floats:
        """[M, D] -> [M, T]."""
        return np.asarray(samples @ self.weights + self.intercept)


def fit_linear(samples: Floats, targets: Floats) -> Linear:
    """Ordinary least squares with an intercept, [N, D], [N, T]; the shortest weights where several fit equally."""
    centre, mean = samples.mean(axis=0), targets.mean(axis=0)
    weights = np.linalg.lstsq(samples - centre, targets - mean, rcond=None)[0]
    return Linear(weights, mean - centre @ weights)
