"""What the classifiers share: how many iterations, and which warnings tell nothing."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

Floats = NDArray[np.float64]
Labels = NDArray[Any]

MAX_ITERATIONS = 1000  # of both, as in the published protocol


def predict_by(model: Any, samples: Floats, labels: Labels, new_samples: Floats) -> Labels:
    """Labels [M] by a classifier of scikit-learn: [N, D], [N], [M, D]."""
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
