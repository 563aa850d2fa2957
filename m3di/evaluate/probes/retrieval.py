"""Retrieval: is a sample's other view among the k most similar ones?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from m3di.errors import UsageError
from m3di.evaluate.encoded_view import EncodedView
from m3di.evaluate.metric import Metric, Range, Score, register_metric
from m3di.evaluate.probes.alignment import on_sphere

Floats = NDArray[np.float64]
SIMILARITIES = ("cosine", "neg_squared_euclidean")
CHUNK = 1024
RECALL_AT = (1, 5, 10)
ROUNDING = 1e-12  # of a similarity, relative to the largest there can be: equal ones come out this near


@dataclass(frozen=True)
class Ranks:
    """Where each query's own pair stands among all of the gallery.

    Attributes:
        better: [N] how many others are more similar than it.
        equal: [N] how many others are as similar.
    """

    better: Floats
    equal: Floats


def ranks(queries: Floats, gallery: Floats, similarity: str = "cosine") -> Ranks:
    """Rank of each query's own pair among all of the gallery, [N, D], [N, D].

    Args:
        queries: Encodings in one view.
        gallery: Encodings in the other view, in the same order.
        similarity: `cosine` or `neg_squared_euclidean`.
    """
    if similarity not in SIMILARITIES:
        raise UsageError("unknown similarity", got=repr(similarity), expected=", ".join(SIMILARITIES))
    if similarity == "cosine":
        queries, gallery = on_sphere(queries), on_sphere(gallery)
        half_norms: Floats | float = 0.0
    else:
        centre = gallery.mean(axis=0)  # distances do not change, and far from the origin they would cancel
        queries, gallery = queries - centre, gallery - centre
        half_norms = 0.5 * (gallery**2).sum(axis=1)
    longest = np.sqrt((gallery**2).sum(axis=1).max(initial=0.0))
    better, equal = np.empty(len(queries)), np.empty(len(queries))
    for start in range(0, len(queries), CHUNK):
        cut = slice(start, start + CHUNK)
        # |q - g|^2 is up to the query's own length 2 (|g|^2 / 2 - q g), so this orders as the similarity does.
        similar = queries[cut] @ gallery.T - half_norms
        rows = np.arange(len(similar))
        excess = similar - similar[rows, start + rows][:, None]
        lengths = np.sqrt((queries[cut] ** 2).sum(axis=1, keepdims=True))
        tie = ROUNDING * longest * (lengths + longest)
        better[cut], equal[cut] = (excess > tie).sum(axis=1), (np.abs(excess) <= tie).sum(axis=1) - 1
    return Ranks(better, equal)


def hits(found: Ranks, k: int) -> Floats:
    """[N]: how likely each query's own pair is among the first k, where equally similar ones come in any order.

    Without ties that is 1 or 0. With `better` ahead of it and `equal` others beside it, k - better places are left for
    equal + 1. So an encoder that maps everything to one point is as good as chance. recall@k is the mean.
    """
    return np.asarray(np.clip((k - found.better) / (found.equal + 1.0), 0.0, 1.0))


@register_metric("retrieval")
class Retrieval(Metric):
    """Recall of the other view among the k most similar, both ways, by the similarity of the loss."""

    scope = "pair"
    scores = tuple(Range(f"recall@{k}") for k in RECALL_AT)

    def of_pair(self, one: EncodedView, other: EncodedView) -> Iterator[Score]:
        """Of the encodings as they are trained: not standardised."""
        for query, gallery in ((one, other), (other, one)):
            rank = ranks(query.raw, gallery.raw, query.similarity)
            for k in RECALL_AT:
                hit = hits(rank, k)
                named = (query.name, gallery.name, "", "", query.similarity, f"recall@{k}")
                found = Score(*named, float(hit.mean()), min(1.0, k / len(hit)))
                yield found.with_resampled(query.resamples.means(hit))
