"""Alignment and uniformity (Wang and Isola, ICML 2020): how near pairs lie, how evenly encodings fill the sphere."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from m3di.evaluate.encoded_view import EncodedView
from m3di.evaluate.metric import Metric, Range, Score, register_metric

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


@register_metric("alignment")
class Alignment(Metric):
    """Alignment of two views and uniformity of each, on the sphere, of the encodings as they are trained."""

    scope = "pair"
    scores = (Range("alignment", 0.0, 4.0), Range("uniformity", -8.0, 0.0))

    def of_view(self, z: EncodedView) -> Iterator[Score]:
        """Uniformity."""
        # Of a mean over pairs, the bootstrap's first-order term: twice the deviation of each sample's own mean.
        potential = potentials(z.raw)
        resampled = potential.mean() + 2 * (z.resamples.means(potential) - potential.mean())
        value = min(0.0, float(np.log(potential.mean())))
        found = Score(z.name, "all", "", "", "gaussian_potential", "uniformity", value)
        yield found.with_resampled(np.log(np.maximum(resampled, 1e-300)))

    def of_pair(self, one: EncodedView, other: EncodedView) -> Iterator[Score]:
        """Mean squared distance of pairs."""
        distances = squared_distances_of_pairs(one.raw, other.raw)
        found = Score(one.name, other.name, "", "", "cosine", "alignment", float(distances.mean()))
        yield found.with_resampled(one.resamples.means(distances))
