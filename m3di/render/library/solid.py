"""Whether a mesh bounds a solid: then no camera sees the back of a face."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

TWO_SIDED: Mapping[str, str] = {"rubber": "rubber_two_sided"}
"""Materials whose backs would be black, and what takes their place on a mesh that shows backs.

On a solid it does not: a few rays in a million slip through its edges and do meet a back, and images would change.
"""


def is_solid(vertices: NDArray[np.float32], corners: NDArray[np.int32], face_sizes: NDArray[np.int32]) -> bool:
    """Whether a mesh is one or more closed surfaces that face outwards.

    An edge has to be used by two faces, once in each direction, and every connected piece has to enclose a positive
    volume. Vertices at one place count as one: files split them where colours or normals change.

    Args:
        vertices: Places, [V, 3].
        corners: Vertex numbers of all faces, one after the other, [C].
        face_sizes: Number of corners of each face, [F].
    """
    places, place_of = np.unique(vertices, axis=0, return_inverse=True)
    start = place_of.reshape(-1)[corners].astype(np.int64)
    face = np.repeat(np.arange(len(face_sizes)), face_sizes)
    first = np.cumsum(face_sizes, dtype=np.int64) - face_sizes
    following = np.arange(1, len(start) + 1)
    following[first + face_sizes - 1] = first
    end = start[following]
    edges, back = start * len(places) + end, end * len(places) + start
    order = np.argsort(edges)
    twin = order[np.minimum(np.searchsorted(edges[order], back), len(order) - 1)]
    if (np.diff(edges[order]) == 0).any() or (edges[twin] != back).any() or (start == end).any():
        return False
    beside = sparse.coo_matrix((np.ones(len(face)), (face, face[twin])), shape=(len(face_sizes),) * 2)
    n_pieces, piece = csgraph.connected_components(beside, directed=False)
    # A fan from the first corner of each face; of a closed surface the sum is right for any outline of a face.
    corner, other = places[start].astype(np.float64), places[end].astype(np.float64)
    hub = corner[first][face]
    volume = np.bincount(piece[face], (np.cross(corner, other) * hub).sum(axis=1), n_pieces)
    return bool((volume > 0.0).all())
