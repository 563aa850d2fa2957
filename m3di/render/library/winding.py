"""Which faces of a mesh are turned against their neighbours, and where its surface is open."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

MERGE = 1e-6  # of the longest side: what exporters split, and nothing that shows
_MOST_AROUND = 1000  # pieces that may contain others: the largest ones


@dataclass(frozen=True)
class Winding:
    """How the faces of a mesh are turned.

    Attributes:
        turned: Whether each face is turned: against most faces of its piece, or inwards, where that piece is closed
            and lies in no other; bool [F].
        n_open_edges: Edges that have a face on one side only.
    """

    turned: NDArray[np.bool_]
    n_open_edges: int


@dataclass(frozen=True)
class _Edges:
    """Edges with the two faces that meet in each, and the faces that have an edge with one face or more than two."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    agree: NDArray[np.bool_]
    open_faces: NDArray[np.int64]
    odd_faces: NDArray[np.int64]


def merged_numbers(vertices: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """One number for all vertices in one place, [V], and one vertex for each number."""
    side = np.ptp(vertices, axis=0).max()
    grid = np.rint((vertices - vertices.min(axis=0)) / (MERGE * side if side > 0.0 else 1.0)).astype(np.int64)
    _, first, merged = np.unique(grid, axis=0, return_index=True, return_inverse=True)
    return merged.reshape(-1), first


def turned_faces(vertices: NDArray[np.float64], corners: NDArray[np.int64], face_sizes: NDArray[np.int64]) -> Winding:
    """How the faces of a mesh of polygons are turned; arguments as in `FileMesh`."""
    n_faces = len(face_sizes)
    edges = _edges(merged_numbers(vertices)[0][corners], face_sizes)
    # Each face stands twice, as it is and turned; what agrees with each other is one component.
    same, other = edges.agree, ~edges.agree
    starts = [edges.first[same], edges.first[same] + n_faces, edges.first[other], edges.first[other] + n_faces]
    ends = [edges.second[same], edges.second[same] + n_faces, edges.second[other] + n_faces, edges.second[other]]
    labels = _components(np.concatenate(starts), np.concatenate(ends), 2 * n_faces)
    as_they_are, turned = labels[:n_faces], labels[n_faces:]
    _, piece = np.unique(np.minimum(as_they_are, turned), return_inverse=True)
    in_minority = as_they_are > turned
    n_in_piece, n_minority = np.bincount(piece), np.bincount(piece, weights=in_minority)
    in_minority = np.where((2 * n_minority > n_in_piece)[piece], ~in_minority, in_minority)
    in_minority[as_they_are == turned] = False  # a one-sided surface: neither is right
    is_closed = np.ones(len(n_in_piece), dtype=bool)
    for faces in (edges.open_faces, edges.odd_faces, np.flatnonzero(as_they_are == turned)):
        is_closed[piece[faces]] = False
    inside_out = _inside_out(vertices, corners, face_sizes, piece, np.where(in_minority, -1.0, 1.0), is_closed)
    return Winding(in_minority ^ inside_out[piece], len(edges.open_faces))


def _edges(corners: NDArray[np.int64], face_sizes: NDArray[np.int64]) -> _Edges:
    following = np.arange(1, len(corners) + 1)
    ends = np.cumsum(face_sizes)
    following[ends - 1] = ends - face_sizes
    face = np.repeat(np.arange(len(face_sizes)), face_sizes)
    start, end = corners, corners[following]
    real = start != end
    start, end, face = start[real], end[real], face[real]
    n = int(corners.max()) + 1
    order = np.argsort(np.minimum(start, end) * n + np.maximum(start, end), kind="stable")
    key = (np.minimum(start, end) * n + np.maximum(start, end))[order]
    face, forward = face[order], (start < end)[order]
    _, first, count = np.unique(key, return_index=True, return_counts=True)
    pairs = first[count == 2]
    odd = np.repeat(count, count) > 2
    return _Edges(
        face[pairs], face[pairs + 1], forward[pairs] != forward[pairs + 1], face[first[count == 1]], face[odd]
    )


def _components(a: NDArray[np.int64], b: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    graph = sparse.coo_matrix((np.ones(len(a), dtype=np.int8), (a, b)), shape=(n, n))
    labels: NDArray[np.int64] = csgraph.connected_components(graph, directed=False)[1].astype(np.int64)
    return labels


def _inside_out(
    vertices: NDArray[np.float64],
    corners: NDArray[np.int64],
    face_sizes: NDArray[np.int64],
    piece: NDArray[np.int64],
    sign: NDArray[np.float64],
    is_closed: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Which closed pieces enclose a negative volume and lie in no other closed piece (there they are its cavity)."""
    place = vertices[corners] - vertices.mean(axis=0)
    face = np.repeat(np.arange(len(face_sizes)), face_sizes)
    starts = np.cumsum(face_sizes) - face_sizes
    following = np.arange(1, len(corners) + 1)
    following[starts + face_sizes - 1] = starts
    # A fan from the first corner: of a plane polygon it encloses the right volume, concave or not.
    volumes = (np.cross(place, place[following]) * place[starts][face]).sum(axis=1)
    volume = np.bincount(piece, weights=np.bincount(face, weights=volumes) * sign)
    low, high = np.full((len(is_closed), 3), np.inf), np.full((len(is_closed), 3), -np.inf)
    np.minimum.at(low, piece[face], place)
    np.maximum.at(high, piece[face], place)
    inside_out: NDArray[np.bool_] = is_closed & (volume < 0.0)
    around = np.flatnonzero(is_closed)
    around = around[np.argsort(-(high - low)[around].max(axis=1))][:_MOST_AROUND]
    for number in np.flatnonzero(inside_out):
        contains = (low[around] < low[number]).all(axis=1) & (high[around] > high[number]).all(axis=1)
        inside_out[number] = not contains.any()
    return inside_out
