"""Classifiers: which label an encoding belongs to, by a linear boundary and by one hidden layer."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

Floats = NDArray[np.float64]
Labels = NDArray[Any]

HIDDEN_SIZE = 100
MAX_ITERATIONS = 1000  # of both, as in the published protocol


def predict_logistic(samples: Floats, labels: Labels, new_samples: Floats) -> Labels:
    """Multinomial logistic regression (L2, C = 1, at most 1,000 iterations): [N, D], [N], [M, D] -> labels [M]."""
    return _predict(LogisticRegression(max_iter=MAX_ITERATIONS), samples, labels, new_samples)


def predict_mlp(samples: Floats, labels: Labels, new_samples: Floats, *, seed: int = 0) -> Labels:
    """One hidden layer of 100 ReLU units (Adam, at most 1,000 epochs): [N, D], [N], [M, D] -> labels [M]."""
    model = MLPClassifier((HIDDEN_SIZE,), max_iter=MAX_ITERATIONS, random_state=seed)
    return _predict(model, samples, labels, new_samples)


def _predict(model: Any, samples: Floats, labels: Labels, new_samples: Floats) -> Labels:
    if len(np.unique(labels)) == 1:  # nothing to tell apart, which scikit-learn refuses to do
        return np.full(len(new_samples), labels[0])
    with quiet():
        predicted: Labels = model.fit(samples, labels).predict(new_samples)
    return predicted


@contextmanager
def quiet() -> Iterator[None]:
    """Without two warnings of scikit-learn that tell nothing here."""
    with warnings.catch_warnings():
        # The number of iterations is part of the estimator's definition, so reaching it is nothing to warn of.
        warnings.simplefilter("ignore", ConvergenceWarning)
        # Labels are labels, however many (a colour has one of 1,107 names).
        warnings.filterwarnings("ignore", "The number of unique classes is greater than 50%", UserWarning)
        yield
