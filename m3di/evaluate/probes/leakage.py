"""Leakage: what an encoding tells of a factor beyond what the content alone tells of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def content_features(fit: Sequence[NDArray[Any]], test: Sequence[NDArray[Any]]) -> tuple[Floats, Floats]:
    """The content itself as an encoding: numbers as they are, labels as one indicator each, all standardised.

    Args:
        fit: [N] each content factor of the fit: float is a number, anything else a label.
        test: [M] each, of the test.

    Returns:
        [N, D] and [M, D]. A probe on these scores what can be known from content; a probe on the encoding minus that
        is the leakage: near 0 for an encoder of content alone, however strongly the factor depends on content.
    """
    known, new = [], []
    for values, others in zip(fit, test, strict=True):
        if values.dtype.kind == "f":
            known.append(values[:, None])
            new.append(others[:, None])
        else:
            labels = np.unique(values)
            known.append((values[:, None] == labels).astype(np.float64))
            new.append((others[:, None] == labels).astype(np.float64))
    return standardise(np.concatenate(known, axis=1), np.concatenate(new, axis=1))


def standardise(fit: Floats, test: Floats) -> tuple[Floats, Floats]:
    """Zero mean and unit variance by the statistics of `fit`, [N, D], [M, D]; a constant column becomes 0 there."""
    centre, scale = fit.mean(axis=0), fit.std(axis=0)
    scale = np.where(scale > 1e-12 * (1.0 + np.abs(centre)), scale, 1.0)
    return (fit - centre) / scale, (test - centre) / scale
