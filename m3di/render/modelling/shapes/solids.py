"""Cube, sphere, cylinder, cone and torus: exact meshes, for datasets of plain solids. What is round is so about z."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from m3di.render.modelling.shapes.mesh import Mesh
from m3di.render.modelling.shapes.sdf import length
from m3di.render.scene import LONGEST_SIDE

_R = 0.5 * LONGEST_SIDE
_N_AROUND = 128


def cube() -> Mesh:
    """A cube."""
    corners = np.array([(x, y, z) for x in (-_R, _R) for y in (-_R, _R) for z in (-_R, _R)])
    quads = np.array([(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)])
    return _mesh(corners, _halved(quads))


def sphere(n_splits: int = 5) -> Mesh:
    """A ball: an icosahedron, its faces split in four `n_splits` times."""
    g = (1.0 + math.sqrt(5.0)) / 2.0
    points = np.array(
        [(-1, g, 0), (1, g, 0), (-1, -g, 0), (1, -g, 0), (0, -1, g), (0, 1, g), (0, -1, -g), (0, 1, -g)]
        + [(g, 0, -1), (g, 0, 1), (-g, 0, -1), (-g, 0, 1)]
    )
    faces = np.array(
        [(0, 11, 5), (0, 5, 1), (0, 1, 7), (0, 7, 10), (0, 10, 11), (1, 5, 9), (5, 11, 4), (11, 10, 2), (10, 7, 6)]
        + [(7, 1, 8), (3, 9, 4), (3, 4, 2), (3, 2, 6), (3, 6, 8), (3, 8, 9), (4, 9, 5), (2, 4, 11), (6, 2, 10)]
        + [(8, 6, 7), (9, 8, 1)]
    )
    for _ in range(n_splits):
        points, faces = _split(points, faces)
    return _mesh(_R * points / length(points)[:, None], faces)


def cylinder() -> Mesh:
    """A cylinder as high as it is wide."""
    return _turned([(_R, -_R), (_R, _R)], bottom=-_R, top=_R)


def cone() -> Mesh:
    """A cone as high as it is wide."""
    return _turned([(_R, -_R)], bottom=-_R, top=_R)


def torus(tube_radius: float = 0.3 * _R) -> Mesh:
    """A ring in the horizontal plane."""
    n_tube = 64
    around, over = np.meshgrid(_turn(_N_AROUND), _turn(n_tube), indexing="ij")
    radius = _R - tube_radius + tube_radius * np.cos(over)
    points = np.stack([radius * np.cos(around), radius * np.sin(around), tube_radius * np.sin(over)], axis=-1)
    number = np.arange(_N_AROUND * n_tube).reshape(_N_AROUND, n_tube)
    after = np.roll(number, -1, axis=0)
    quads = np.stack([number, after, np.roll(after, -1, axis=1), np.roll(number, -1, axis=1)], axis=-1)
    return _mesh(points.reshape(-1, 3), _halved(quads.reshape(-1, 4)))


def _turn(n: int) -> NDArray[np.float64]:
    return np.linspace(0.0, 2.0 * math.pi, n, endpoint=False)


def _turned(rings: list[tuple[float, float]], bottom: float, top: float) -> Mesh:
    """The closed surface through rings (radius, z) about the z axis, from its lowest point to its highest."""
    angle = _turn(_N_AROUND)
    circle = np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], axis=1)
    layers = [circle * (radius, radius, 0.0) + (0.0, 0.0, z) for radius, z in rings]
    points = np.concatenate([*layers, [(0.0, 0.0, bottom), (0.0, 0.0, top)]])
    low, high = len(points) - 2, len(points) - 1
    number = np.arange(_N_AROUND)
    after = np.roll(number, -1)
    last = (len(rings) - 1) * _N_AROUND
    faces = [np.stack([after, number, np.full_like(number, low)], axis=1)]
    for layer in range(len(rings) - 1):
        first = layer * _N_AROUND
        quads = np.stack([number + first, after + first, after + first + _N_AROUND, number + first + _N_AROUND], axis=1)
        faces.append(_halved(quads))
    faces.append(np.stack([number + last, after + last, np.full_like(number, high)], axis=1))
    return _mesh(points, np.concatenate(faces))


def _halved(quads: NDArray[np.int64]) -> NDArray[np.int64]:
    """Two triangles for each quadrilateral."""
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def _split(points: NDArray[np.float64], faces: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Four triangles for each triangle, with new points in the middles of its edges."""
    ends = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    edges, index = np.unique(ends, axis=0, return_inverse=True)
    ab, bc, ca = (index.reshape(-1, 3) + len(points)).T
    a, b, c = faces.T
    split = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    middles = points[edges].mean(axis=1)
    return np.concatenate([points, middles]), np.concatenate([np.stack(each, axis=1) for each in split])


def _mesh(points: NDArray[np.float64], faces: NDArray[np.int64]) -> Mesh:
    return Mesh(points.astype(np.float32), faces.astype(np.int32))
