"""Mutual information of each encoding dimension with each factor: what MIG and modularity are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m3di.evaluate.encoded_view import EncodedView

Floats = NDArray[np.float64]
N_BINS = 20  # equally wide, of each dimension and of each factor that is a number, as disentanglement_lib has it
ROUNDING = 1e-12  # nats


def mutual_information(encodings: Floats, factors: Sequence[NDArray[Any]]) -> tuple[Floats, Floats]:
    """Of every dimension with every factor, in nats, and the entropy of each factor; numbers are cut into 20 bins.

    Args:
        encodings: [N, D].
        factors: [N] each: float is a number, anything else a label.

    Returns:
        [D, F] and [F].
    """
    codes = [_binned(column) for column in encodings.T]
    labels = [_binned(each) if each.dtype.kind == "f" else np.unique(each, return_inverse=True)[1] for each in factors]
    entropies = np.array([_entropy(np.bincount(each)) for each in labels])
    found = np.zeros((len(codes), len(labels)))
    for row, code in enumerate(codes):
        own = _entropy(np.bincount(code))
        for column, label in enumerate(labels):
            joint = np.bincount(code * (label.max() + 1) + label)
            found[row, column] = own + entropies[column] - _entropy(joint)
    found[found < ROUNDING] = 0.0
    return found, entropies


def information_of(z: EncodedView) -> tuple[Floats, Floats]:
    """The same of an encoding's test samples and its factors that vary."""
    return mutual_information(z.test, [each.test for each in z.varying])


def gaps(table: Floats, floor: Floats | float = 0.0) -> Floats:
    """[D, F] -> [F]: the largest of each column less the second largest; less `floor` where there is no second."""
    if len(table) == 1:
        return np.asarray(table[0] - floor)
    ordered = np.sort(table, axis=0)
    return np.asarray(ordered[-1] - ordered[-2])


def _binned(values: NDArray[Any]) -> NDArray[np.int64]:
    """[N] numbers -> [N] numbers of bins of equal width between the least and the largest."""
    low, width = values.min(), np.ptp(values)
    if width <= 1e-12 * (1.0 + np.abs(values).max()):
        return np.zeros(len(values), dtype=np.int64)
    return np.minimum((values - low) / width * N_BINS, N_BINS - 1).astype(np.int64)


def _entropy(counts: NDArray[np.int64]) -> float:
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())
