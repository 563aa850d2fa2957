"""Retrieval: is a sample's other view among the k most similar ones?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from m3di.errors import UsageError
from m3di.learn.probes.alignment import on_sphere

Floats = NDArray[np.float64]
SIMILARITIES = ("cosine", "neg_squared_euclidean")
CHUNK = 1024


def ranks(queries: Floats, gallery: Floats, similarity: str = "cosine") -> NDArray[np.float64]:
    """Rank of each query's own pair among all of the gallery, [N, D], [N, D] -> [N]; 0 is the most similar.

    Of equal similarities one half counts as better, so that an encoder that maps everything to one point is as good
    as chance, not perfect.

    Args:
        queries: Encodings in one view.
        gallery: Encodings in the other view, in the same order.
        similarity: `cosine` or `neg_squared_euclidean`.
    """
    if similarity not in SIMILARITIES:
        raise UsageError("unknown similarity", got=repr(similarity), expected=", ".join(SIMILARITIES))
    if similarity == "cosine":
        queries, gallery = on_sphere(queries), on_sphere(gallery)
    half_norms = 0.0 if similarity == "cosine" else 0.5 * (gallery**2).sum(axis=1)
    found = np.empty(len(queries))
    for start in range(0, len(queries), CHUNK):
        # |q - g|^2 is up to the query's own length 2 (|g|^2 / 2 - q g), so this orders as the similarity does.
        similar = queries[start : start + CHUNK] @ gallery.T - half_norms
        rows = np.arange(len(similar))
        own = similar[rows, start + rows][:, None]
        better, equal = (similar > own).sum(axis=1), (similar == own).sum(axis=1) - 1
        found[start : start + CHUNK] = better + 0.5 * equal
    return found


def hits(rank: Floats, k: int) -> Floats:
    """[N] -> [N]: 1 where a query's own pair is among the first k; recall@k is the mean."""
    return (rank < k).astype(np.float64)
