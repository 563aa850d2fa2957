"""Standardise encodings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def standardise(fit: Floats, test: Floats) -> tuple[Floats, Floats]:
    """Scale to zero mean and unit variance by the statistics of `fit`, [N, D], [M, D]; a constant column becomes 0."""
    centre, scale = fit.mean(axis=0), fit.std(axis=0)
    scale = np.where(scale > 1e-12 * (1.0 + np.abs(centre)), scale, 1.0)
    return (fit - centre) / scale, (test - centre) / scale
