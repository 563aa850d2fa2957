"""Alignment and uniformity (Wang and Isola, ICML 2020): how near pairs lie, how evenly encodings fill the sphere."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
CHUNK = 1024


def on_sphere(encodings: Floats) -> Floats:
    """[N, D] -> the same directions with length 1; a zero stays zero."""
    length = np.linalg.norm(encodings, axis=1, keepdims=True)
    return np.divide(encodings, length, out=np.zeros_like(encodings), where=length > 0)


def squared_distances_of_pairs(one: Floats, other: Floats) -> Floats:
    """[N, D], [N, D] -> [N] squared distance of each pair on the unit sphere; alignment is their mean, 0 is best."""
    return np.asarray(((on_sphere(one) - on_sphere(other)) ** 2).sum(axis=1))


def potentials(encodings: Floats, t: float = 2.0) -> Floats:
    """[N, D] -> [N] mean over all other samples of exp(-t |z - z'|^2) on the unit sphere."""
    z = on_sphere(encodings)
    total = np.empty(len(z))
    for start in range(0, len(z), CHUNK):
        rows = slice(start, start + CHUNK)
        total[rows] = np.exp(-2.0 * t * (1.0 - z[rows] @ z.T)).sum(axis=1)
    own = np.exp(-2.0 * t * (1.0 - (z * z).sum(axis=1)))
    return np.asarray((total - own) / (len(z) - 1))


def uniformity(encodings: Floats, t: float = 2.0) -> float:
    """Log mean exp(-t |z - z'|^2) over distinct samples: 0 if all coincide; less is more even."""
    return float(np.log(potentials(encodings, t).mean()))
