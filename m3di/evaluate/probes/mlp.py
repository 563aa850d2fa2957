"""A small multilayer perceptron: which label an encoding belongs to, by one hidden layer."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier

from m3di.evaluate.encoded_view import EncodedView
from m3di.evaluate.factor_scores import label_scores
from m3di.evaluate.metric import Metric, Range, Score, register_metric
from m3di.evaluate.probes.classification import MAX_ITERATIONS, predict_by

Floats = NDArray[np.float64]
Labels = NDArray[Any]
HIDDEN_SIZE = 100


def predict_mlp(samples: Floats, labels: Labels, new_samples: Floats, *, seed: int = 0) -> Labels:
    """One hidden layer of 100 ReLU units (Adam, at most 1,000 epochs): [N, D], [N], [M, D] -> labels [M]."""
    model = MLPClassifier((HIDDEN_SIZE,), max_iter=MAX_ITERATIONS, random_state=seed)
    return predict_by(model, samples, labels, new_samples)


@register_metric("mlp")
class MlpProbe(Metric):
    """Labels by one hidden layer of 100."""

    scope = "factor"
    scores = (Range("accuracy"),)

    def of_view(self, z: EncodedView) -> Iterator[Score]:
        """Accuracy of every label."""
        return label_scores(z, "mlp", partial(predict_mlp, seed=z.seed))
