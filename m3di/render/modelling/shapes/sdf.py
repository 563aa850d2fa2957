"""Signed distance fields: small solids and the ways to join them, enough to model an animal in a page of code.

A field takes points, float64 [N, 3] in model units, and returns float64 [N]: the distance to the surface, negative
inside. Distances are exact or near it, and near the surface always good enough for `mesh.mesh_of`, which only needs
the sign, the zero level and a bound. Axes as in `shapes`: +x front, +y the animal's left, +z up; angles in degrees.

Only elementwise arithmetic on points, no BLAS, whose summation order differs between machines: equal code should give
equal meshes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Field = Callable[[Array], Array]
Point = tuple[float, float, float]
Point2 = tuple[float, float]


def length(vectors: Array) -> Array:
    """Euclidean length over the last axis, which has 2 or 3 entries."""
    squares = vectors * vectors
    total = squares[..., 0] + squares[..., 1]
    return np.sqrt(total if squares.shape[-1] == 2 else total + squares[..., 2])


def _dot(a: Array, b: Array) -> Array:
    product: Array = a * b
    total: Array = product[..., 0] + product[..., 1]
    return total if product.shape[-1] == 2 else total + product[..., 2]


# Solids


def sphere(centre: Point, radius: float) -> Field:
    """A ball."""
    return lambda p: length(p - np.array(centre)) - radius


def ellipsoid(centre: Point, radii: Point, turn: Point = (0.0, 0.0, 0.0)) -> Field:
    """An ellipsoid with half axes `radii`, turned by `turn` (see `rotate`) about its centre."""
    half = np.array(radii)

    def field(p: Array) -> Array:
        # First-order distance; the floor keeps the centre itself finite.
        scaled = length(p / half)
        distances: Array = scaled * (scaled - 1.0) / np.maximum(length(p / (half * half)), 1e-9)
        return distances

    return translate(rotate(field, turn), centre)


def round_cone(start: Point, end: Point, start_radius: float, end_radius: float) -> Field:
    """What a ball sweeps on its way from start to end, its radius running linearly."""
    a, along = np.array(start), np.array(end) - np.array(start)
    span = max(float(length(along)), 1e-6)
    # Past a slope of 1 one end ball would hold the other.
    slope = min(max((end_radius - start_radius) / span, -0.95), 0.95)
    lean = slope / math.sqrt(1.0 - slope * slope)

    def field(p: Array) -> Array:
        offset = p - a
        height = _dot(offset, along) / span
        aside = length(offset - height[:, None] * (along / span))
        # The nearest ball of the sweep is not the one level with the point, but `lean` further to the thick end.
        ball = np.clip(height + lean * aside, 0.0, span)
        rest = height - ball
        distances: Array = np.sqrt(aside * aside + rest * rest) - (
            start_radius + (end_radius - start_radius) / span * ball
        )
        return distances

    return field


def tube(points: Sequence[Point], radii: Sequence[float], steps: int = 8) -> Field:
    """A round tube along the Catmull-Rom curve through `points`, its radius following `radii`, `steps` per span."""
    knots = np.array([(*point, radius) for point, radius in zip(points, radii, strict=True)])
    curve = catmull_rom(knots, steps)
    cones = [
        round_cone((a[0], a[1], a[2]), (b[0], b[1], b[2]), a[3], b[3])
        for a, b in zip(curve.tolist()[:-1], curve.tolist()[1:], strict=True)
    ]
    reach = curve[:, 3:].max()
    return _near_only(union(*cones), curve[:, :3].min(axis=0) - reach, curve[:, :3].max(axis=0) + reach)


def _near_only(field: Field, low: Array, high: Array, margin: float = 0.5) -> Field:
    """`field`, which lies between the corners `low` and `high`; beyond `margin` the distance to that box stands in.

    Most points are far from most tubes, and a tube is the dearest field. The margin is wider than any `blend`.
    """

    def bounded(p: Array) -> Array:
        distances = length(np.maximum(np.maximum(low - p, p - high), 0.0))
        near = distances < margin
        distances[near] = field(p[near])
        return distances

    return bounded


def torus(centre: Point, ring_radius: float, tube_radius: float) -> Field:
    """A ring in the horizontal plane."""

    def field(p: Array) -> Array:
        q = p - np.array(centre)
        return length(np.stack([length(q[:, :2]) - ring_radius, q[:, 2]], axis=1)) - tube_radius

    return field


def box(centre: Point, half_sides: Point, rounding: float = 0.0) -> Field:
    """A box; its outer size stays what `half_sides` says, its edges are rounded."""

    def field(p: Array) -> Array:
        q = np.abs(p - np.array(centre)) - (np.array(half_sides) - rounding)
        distances: Array = length(np.maximum(q, 0.0)) + np.minimum(q.max(axis=1), 0.0) - rounding
        return distances

    return field


def triangle(a: Point, b: Point, c: Point, radius: float) -> Field:
    """All points within `radius` of a flat triangle: one piece of a membrane."""
    corners = [np.array(corner) for corner in (a, b, c)]
    edges = [corners[1] - corners[0], corners[2] - corners[1], corners[0] - corners[2]]
    normal = np.cross(edges[0], -edges[2])
    inward = [np.cross(normal, edge) for edge in edges]

    def field(p: Array) -> Array:
        offsets = [p - corner for corner in corners]
        over_face = np.ones(len(p), dtype=bool)
        rim = np.full(len(p), np.inf)
        for offset, edge, normal_in_plane in zip(offsets, edges, inward, strict=True):
            over_face &= _dot(offset, normal_in_plane) >= 0.0
            t = np.clip(_dot(offset, edge) / _dot(edge, edge), 0.0, 1.0)
            rim = np.minimum(rim, length(offset - t[:, None] * edge))
        plane = np.abs(_dot(offsets[0], normal)) / length(normal)
        return np.where(over_face, plane, rim) - radius

    return field


def revolve(profile: Sequence[Point2], steps: int = 4) -> Field:
    """The solid swept by turning `profile`, (radius, z) from the bottom of the z axis to its top, about that axis."""
    outline = catmull_rom(np.array(profile), steps)
    # Mirrored to a closed outline, so that the axis itself is no edge.
    closed = np.concatenate([outline, outline[::-1] * np.array([-1.0, 1.0])])
    return lambda p: _polygon(np.stack([length(p[:, :2]), p[:, 2]], axis=1), closed)


def _polygon(p: Array, corners: Array) -> Array:
    """Signed distance of points [N, 2] to a closed polygon [K, 2] (even-odd rule)."""
    squared = np.full(len(p), np.inf)
    inside = np.zeros(len(p), dtype=bool)
    for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        offset, edge = p - a, b - a
        t = np.clip(_dot(offset, edge) / max(float(_dot(edge, edge)), 1e-12), 0.0, 1.0)
        rest = offset - t[:, None] * edge
        squared = np.minimum(squared, _dot(rest, rest))
        crosses = (a[1] <= p[:, 1]) != (b[1] <= p[:, 1])
        inside ^= crosses & ((edge[0] * offset[:, 1] < edge[1] * offset[:, 0]) == (edge[1] < 0.0))
    distances: Array = np.where(inside, -1.0, 1.0) * np.sqrt(squared)
    return distances


def catmull_rom(knots: Array, steps: int) -> Array:
    """The uniform Catmull-Rom curve through knots [K, D], ends included: [(K - 1) * steps + 1, D]."""
    padded = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    t = np.linspace(0.0, 1.0, steps, endpoint=False)[:, None]
    spans = [
        b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
        for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False)
    ]
    return np.concatenate([*spans, knots[-1:]])


# Joining


def union(*fields: Field, blend: float = 0.0) -> Field:
    """All parts together; where two meet within `blend` units, a fillet."""

    def field(p: Array) -> Array:
        joined = fields[0](p)
        for other in fields[1:]:
            joined = _smooth_minimum(joined, other(p), blend)
        return joined

    return field


def subtract(base: Field, *cuts: Field, blend: float = 0.0) -> Field:
    """`base` less every cut, the edges of the cuts softened within `blend` units."""

    def field(p: Array) -> Array:
        left = base(p)
        for cut in cuts:
            left = -_smooth_minimum(-left, cut(p), blend)
        return left

    return field


def intersect(*fields: Field, blend: float = 0.0) -> Field:
    """What all parts have in common."""

    def field(p: Array) -> Array:
        common = fields[0](p)
        for other in fields[1:]:
            common = -_smooth_minimum(-common, -other(p), blend)
        return common

    return field


def above(field: Field, floor: float, blend: float = 0.03) -> Field:
    """The part of `field` over the height `floor`: a flat stand."""
    return intersect(field, lambda p: floor - p[:, 2], blend=blend)


def _smooth_minimum(a: Array, b: Array, blend: float) -> Array:
    lower: Array = np.minimum(a, b)
    if blend == 0.0:
        return lower
    overlap = np.maximum(blend - np.abs(a - b), 0.0)
    blended: Array = lower - overlap * overlap / (4.0 * blend)
    return blended


def sink(base: Field, depth: Callable[[Array], Array]) -> Field:
    """`base` with its surface lowered by `depth(points)` units: grooves, folds, plates."""
    return lambda p: base(p) + depth(p)


# Placing


def translate(field: Field, move: Point) -> Field:
    """`field` moved by `move`."""
    return lambda p: field(p - np.array(move))


def rotate(field: Field, turn: Point) -> Field:
    """`field` turned about the origin by `turn` degrees: first about x, then y, then z (as Blender's Euler XYZ)."""
    if turn == (0.0, 0.0, 0.0):
        return field

    def turned(p: Array) -> Array:
        x, y, z = p[:, 0], p[:, 1], p[:, 2]
        sines, cosines = [[f(math.radians(angle)) for angle in turn] for f in (math.sin, math.cos)]
        # The point is turned back, so the order and the signs are reversed.
        x, y = cosines[2] * x + sines[2] * y, cosines[2] * y - sines[2] * x
        x, z = cosines[1] * x - sines[1] * z, cosines[1] * z + sines[1] * x
        y, z = cosines[0] * y + sines[0] * z, cosines[0] * z - sines[0] * y
        return field(np.stack([x, y, z], axis=1))

    return turned


def scale(field: Field, factors: Point) -> Field:
    """`field` stretched about the origin; the distance becomes a lower bound where the factors differ."""
    return lambda p: field(p / np.array(factors)) * min(factors)


def mirror(field: Field) -> Field:
    """The part at y > 0, and its mirror image at y < 0."""
    return lambda p: field(np.stack([p[:, 0], np.abs(p[:, 1]), p[:, 2]], axis=1))
