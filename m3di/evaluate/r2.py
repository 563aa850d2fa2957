"""R2, the share of a number's variance that a prediction explains; for angles and hues on their circle."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
ROUNDING = 1e-12  # relative: what differs by less is one value, after a mean or a cosine


def is_constant(values: Floats) -> bool:
    """Whether all rows are the same up to rounding, [N] or [N, K]: there is nothing to explain, and no R2."""
    return bool(np.ptp(values, axis=0).max() <= ROUNDING * np.abs(values).max())


def r2_scores(true: Floats, predicted: Floats) -> Floats:
    """1 - (squared error) / (variance) of each column: [N, T], [N, T] -> [T].

    1 is perfect, 0 as good as the mean of `true`, and anything worse than that is negative. For a
    constant column it is 1 if predicted exactly, else 0, as in scikit-learn.
    """
    error = ((true - predicted) ** 2).sum(axis=0)
    total = ((true - true.mean(axis=0)) ** 2).sum(axis=0)
    varies = ~np.array([is_constant(each) for each in true.T], dtype=bool)
    ratio = np.divide(error, total, out=np.where(error == 0, 0.0, 1.0), where=varies)
    return np.asarray(1.0 - ratio)


def circle_points(angle_rad: Floats) -> Floats:
    """Return cosine and sine, [N] in radians -> [N, 2]: near angles are near, also across the full turn."""
    return np.stack([np.cos(angle_rad), np.sin(angle_rad)], axis=1)


def circular_r2(true: Floats, predicted: Floats) -> float:
    """R2 of points on the circle, both coordinates together: [N, 2], [N, 2] -> number.

    1 - (mean squared distance to the prediction) / (mean squared distance to the mean point). A prediction in
    degrees or hues that jumps from 1 back to 0 is judged by how far apart the two are on the circle.
    """
    error = ((true - predicted) ** 2).sum()
    total = ((true - true.mean(axis=0)) ** 2).sum()
    return float(error == 0) if is_constant(true) else float(1.0 - error / total)
