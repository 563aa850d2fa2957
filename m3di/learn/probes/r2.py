"""R2, the share of a number's variance that a prediction explains."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def r2_scores(true: NDArray[np.float64], predicted: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 - (squared error) / (variance) of each column: [N, T], [N, T] -> [T].

    1 is perfect, 0 as good as the mean of `true`, and anything worse than that is negative. Of a constant column
    it is 1 if predicted exactly and else 0, as scikit-learn has it.
    """
    error = ((true - predicted) ** 2).sum(axis=0)
    total = ((true - true.mean(axis=0)) ** 2).sum(axis=0)
    varies = total > 0
    ratio = np.divide(error, total, out=np.where(error == 0, 0.0, 1.0), where=varies)
    return np.asarray(1.0 - ratio)
