"""Multinomial logistic regression: which label an encoding belongs to, by linear boundaries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from m3di.evaluate.encoded_view import EncodedView
from m3di.evaluate.factor_scores import label_scores
from m3di.evaluate.metric import Metric, Range, Score, register_metric
from m3di.evaluate.probes.classification import MAX_ITERATIONS, predict_by

Floats = NDArray[np.float64]
Labels = NDArray[Any]


def predict_logistic(samples: Floats, labels: Labels, new_samples: Floats) -> Labels:
    """Multinomial logistic regression (L2, C = 1, at most 1,000 iterations): [N, D], [N], [M, D] -> labels [M]."""
    return predict_by(LogisticRegression(max_iter=MAX_ITERATIONS), samples, labels, new_samples)


@register_metric("logistic")
class LogisticProbe(Metric):
    """Labels by multinomial logistic regression."""

    scope = "factor"
    scores = (Range("accuracy"),)

    def of_view(self, z: EncodedView) -> Iterator[Score]:
        """Accuracy of every label."""
        return label_scores(z, "logistic", predict_logistic)
