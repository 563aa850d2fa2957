"""Alignment and uniformity (Wang and Isola, ICML 2020): how near pairs lie, how evenly encodings fill the sphere."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
CHUNK = 1024


def on_sphere(encodings: Floats) -> Floats:
    """[N, D] -> the same directions with length 1, however long they were; a zero stays zero."""
    largest = np.abs(encodings).max(axis=1, keepdims=True)  # divided by it first, no square overflows or vanishes
    scaled = np.divide(encodings, largest, out=np.zeros_like(encodings), where=largest > 0)
    length = np.linalg.norm(scaled, axis=1, keepdims=True)
    return np.divide(scaled, length, out=np.zeros_like(scaled), where=length > 0)


def squared_distances_of_pairs(one: Floats, other: Floats) -> Floats:
    """[N, D], [N, D] -> [N] squared distance of each pair on the unit sphere; alignment is their mean, 0 is best."""
    return np.asarray(((on_sphere(one) - on_sphere(other)) ** 2).sum(axis=1))


def potentials(encodings: Floats, t: float = 2.0) -> Floats:
    """[N, D] -> [N] mean over all other samples of exp(-t |z - z'|^2) on the unit sphere.

    Encodings that are all zeros have no direction: they are one point, at distance 0 from each other.
    """
    z = on_sphere(encodings)
    squares = (z * z).sum(axis=1)  # 1, or 0 of a zero
    total = np.empty(len(z))
    for start in range(0, len(z), CHUNK):
        rows = slice(start, start + CHUNK)
        distances = squares[rows, None] + squares[None, :] - 2.0 * (z[rows] @ z.T)
        total[rows] = np.exp(-t * np.maximum(distances, 0.0)).sum(axis=1)
    return np.asarray((total - 1.0) / (len(z) - 1))  # a sample's own distance is 0


def uniformity(encodings: Floats, t: float = 2.0) -> float:
    """Log mean exp(-t |z - z'|^2) over distinct samples: 0 if all coincide, as of a dead encoder; less is more even."""
    return min(0.0, float(np.log(potentials(encodings, t).mean())))
