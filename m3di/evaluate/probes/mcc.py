"""Mean correlation coefficient: does each factor have an encoding dimension of its own?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from m3di.evaluate.encoded_view import EncodedView, varies
from m3di.evaluate.metric import Metric, Range, Score, register_metric

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


@register_metric("mcc")
class Mcc(Metric):
    """Mean correlation of factors with the dimensions that are assigned to them, by an assignment found on the fit."""

    scores = (Range("mcc"),)

    def of_view(self, z: EncodedView) -> Iterator[Score]:
        """Of the content, and of all factors, as far as they vary and are ordered: numbers, and positions."""
        ordered = [each for each in z.all_own if (each.is_number or each.kind == "position") and varies(each)]
        for block, chosen in (("content", [each for each in ordered if each.role == "content"]), ("all", ordered)):
            if not chosen:
                continue
            known = np.stack([each.fit for each in chosen], axis=1).astype(np.float64)
            new = np.stack([each.test for each in chosen], axis=1).astype(np.float64)
            pairs = assign(absolute_correlations(z.fit, known))
            resampled = [
                mean_correlation(absolute_correlations(z.test, new, weights), pairs) for weights in z.resamples.weights
            ]
            value = mean_correlation(absolute_correlations(z.test, new), pairs)
            yield Score(z.name, block, "", "", "pearson", "mcc", value, 0.0).with_resampled(np.array(resampled))
