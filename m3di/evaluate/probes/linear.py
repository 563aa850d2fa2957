"""Linear regression: what can be read from an encoding by a weighted sum."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from m3di.evaluate.encoded_view import EncodedView
from m3di.evaluate.factor_scores import NUMBER_SCORES, number_scores, predict_numbers
from m3di.evaluate.metric import Metric, Score, register_metric

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


@register_metric("linear")
class LinearProbe(Metric):
    """Numbers by ordinary least squares."""

    scope = "factor"
    scores = NUMBER_SCORES

    def of_view(self, z: EncodedView) -> Iterator[Score]:
        """R2 of every number, and circular R2 of every angle."""
        return number_scores(z, "linear", predict_numbers(z, fit_linear))
