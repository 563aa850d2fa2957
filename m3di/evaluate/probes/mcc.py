"""Mean correlation coefficient: does each factor have an encoding dimension of its own?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Floats = NDArray[np.float64]


def absolute_correlations(encodings: Floats, factors: Floats, weights: Floats | None = None) -> Floats:
    """|Pearson correlation| of every dimension with every factor: [N, D], [N, F] -> [D, F].

    A constant dimension or factor correlates with nothing: 0.

    Args:
        encodings: Of the samples.
        factors: Numbers, one column a factor.
        weights: [N] how often each sample counts; once if None.
    """
    share = np.full(len(encodings), 1.0 / len(encodings)) if weights is None else weights / weights.sum()
    z, f = encodings - share @ encodings, factors - share @ factors
    covariance = (z * share[:, None]).T @ f
    scale = np.sqrt(np.outer(share @ z**2, share @ f**2))
    return np.abs(np.divide(covariance, scale, out=np.zeros_like(covariance), where=scale > 1e-12))


def assign(correlations: Floats) -> list[tuple[int, int]]:
    """The pairs (dimension, factor) with the greatest sum of correlations [D, F], no row or column twice."""
    rows, columns = linear_sum_assignment(correlations, maximize=True)
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


def mean_correlation(correlations: Floats, assignment: list[tuple[int, int]]) -> float:
    """MCC: the mean over all factors; one that no dimension is left for counts as 0."""
    return float(sum(correlations[pair] for pair in assignment) / correlations.shape[1])
