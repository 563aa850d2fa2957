"""Classifiers: which label an encoding belongs to, by a linear boundary and by one hidden layer."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

Floats = NDArray[np.float64]
Labels = NDArray[Any]

HIDDEN_SIZE = 100
MAX_ITERATIONS = {"logistic": 1000, "mlp": 200}


def predict_logistic(samples: Floats, labels: Labels, new_samples: Floats) -> Labels:
    """Multinomial logistic regression (L2, C = 1, at most 1,000 iterations): [N, D], [N], [M, D] -> labels [M]."""
    return _predict(LogisticRegression(max_iter=MAX_ITERATIONS["logistic"]), samples, labels, new_samples)


def predict_mlp(samples: Floats, labels: Labels, new_samples: Floats, *, seed: int = 0) -> Labels:
    """One hidden layer of 100 ReLU units (Adam, at most 200 epochs): [N, D], [N], [M, D] -> labels [M]."""
    model = MLPClassifier((HIDDEN_SIZE,), max_iter=MAX_ITERATIONS["mlp"], random_state=seed)
    return _predict(model, samples, labels, new_samples)


def _predict(model: Any, samples: Floats, labels: Labels, new_samples: Floats) -> Labels:
    if len(np.unique(labels)) == 1:  # nothing to tell apart, which scikit-learn refuses to do
        return np.full(len(new_samples), labels[0])
    with warnings.catch_warnings():
        # The number of iterations is part of the estimator's definition, so reaching it is nothing to warn of.
        warnings.simplefilter("ignore", ConvergenceWarning)
        predicted: Labels = model.fit(samples, labels).predict(new_samples)
    return predicted
