"""Separated attribute predictability (Kumar et al., ICLR 2018): is each factor read from one dimension alone?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m3di.evaluate.encoded_view import EncodedView
from m3di.evaluate.metric import Metric, Range, Score, register_metric
from m3di.evaluate.probes.information import gaps
from m3di.evaluate.probes.logistic import predict_logistic
from m3di.evaluate.probes.mcc import absolute_correlations

Floats = NDArray[np.float64]


def sap(
    fit: Floats, fit_factors: Sequence[NDArray[Any]], test: Floats, test_factors: Sequence[NDArray[Any]]
) -> tuple[float, Floats]:
    """The mean over factors of the gap between their two best dimensions, and all scores [D, F].

    Of a single dimension, the gap is that to the best constant prediction.

    A number is scored by its squared correlation with a dimension, on the test samples; a label by the accuracy of
    multinomial logistic regression on that dimension. The published code has a linear support vector machine there,
    whose one-against-the-rest boundaries on a line cannot tell a label in the middle from those on both sides.

    Args:
        fit: [N, D] encodings of the fit, standardised.
        fit_factors: [N] each: float is a number, anything else a label.
        test: [M, D] encodings to score.
        test_factors: [M] each.
    """
    scores, chance = np.empty((fit.shape[1], len(fit_factors))), np.zeros(len(fit_factors))
    for column, (known, true) in enumerate(zip(fit_factors, test_factors, strict=True)):
        if known.dtype.kind == "f":
            scores[:, column] = absolute_correlations(test, true[:, None])[:, 0] ** 2
            continue
        labels, counts = np.unique(known, return_counts=True)
        chance[column] = np.mean(true == labels[counts.argmax()])
        for row in range(fit.shape[1]):
            predicted = predict_logistic(fit[:, [row]], known, test[:, [row]])
            scores[row, column] = np.mean(predicted == true)
    return float(np.mean(gaps(scores, chance))), scores


@register_metric("sap")
class Sap(Metric):
    """Gap between the two dimensions that predict a factor best: squared correlation, or logistic regression."""

    scores = (Range("sap"),)

    def of_view(self, z: EncodedView) -> Iterator[Score]:
        """Of all factors that vary and have at most 100 labels."""
        chosen = z.varying
        if chosen:
            value, _ = sap(z.fit, [each.fit for each in chosen], z.test, [each.test for each in chosen])
            yield Score(z.name, "all", "", "", "one_dimension", "sap", value, 0.0)
