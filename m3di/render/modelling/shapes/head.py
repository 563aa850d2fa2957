"""A human head: bust with wavy hair, brow, eyes, nose, lips, chin, ears, neck and shoulders."""

from __future__ import annotations

import numpy as np

from m3di.render.modelling.shapes.mesh import Mesh, mesh_of
from m3di.render.modelling.shapes.sdf import (
    Array,
    Field,
    above,
    ellipsoid,
    intersect,
    mirror,
    round_cone,
    sink,
    sphere,
    subtract,
    tube,
    union,
)


def build() -> Mesh:
    face = subtract(union(_skull(), _neck(), blend=0.15), mirror(_socket()), blend=0.16)
    face = union(face, _brow(), _nose(), blend=0.1)
    return mesh_of(union(face, _lips(), _hair(), mirror(_eye()), mirror(_ear()), blend=0.03), step=0.035)


def _skull() -> Field:
    cranium = union(
        ellipsoid((-0.16, 0.0, 0.5), (0.72, 0.62, 0.64)),
        ellipsoid((0.11, 0.0, 0.48), (0.6, 0.54, 0.56)),
        blend=0.2,
    )
    face = union(
        ellipsoid((0.26, 0.0, -0.05), (0.46, 0.46, 0.5)),
        ellipsoid((0.42, 0.0, -0.42), (0.34, 0.3, 0.3)),
        blend=0.2,
    )
    chin = ellipsoid((0.63, 0.0, -0.69), (0.15, 0.18, 0.13))
    jaw = tube(
        [(-0.06, 0.46, -0.1), (0.02, 0.44, -0.42), (0.3, 0.31, -0.63), (0.58, 0.08, -0.7)], [0.14, 0.14, 0.13, 0.13]
    )
    cheekbone = ellipsoid((0.46, 0.36, 0.0), (0.2, 0.15, 0.13), turn=(0.0, 0.0, -30.0))
    return union(cranium, face, chin, mirror(union(jaw, cheekbone)), blend=0.18)


def _neck() -> Field:
    column = tube([(-0.28, 0.0, 0.1), (-0.22, 0.0, -0.5), (-0.26, 0.0, -1.1)], [0.46, 0.41, 0.46])
    shoulders = ellipsoid((-0.22, 0.0, -1.3), (0.56, 1.0, 0.36))
    return above(union(column, shoulders, blend=0.35), -1.34, blend=0.04)


def _socket() -> Field:
    return ellipsoid((0.8, 0.26, 0.19), (0.2, 0.2, 0.12))


def _eye() -> Field:
    ball = sphere((0.53, 0.26, 0.19), 0.165)
    upper_lid = tube([(0.6, 0.1, 0.2), (0.7, 0.25, 0.285), (0.56, 0.43, 0.19)], [0.035, 0.045, 0.035])
    lower_lid = tube([(0.6, 0.1, 0.18), (0.68, 0.26, 0.1), (0.56, 0.43, 0.17)], [0.03, 0.035, 0.03])
    return union(ball, upper_lid, lower_lid, blend=0.02)


def _brow() -> Field:
    return mirror(tube([(0.69, 0.07, 0.37), (0.69, 0.24, 0.43), (0.53, 0.46, 0.36)], [0.07, 0.08, 0.05]))


def _nose() -> Field:
    bridge = tube([(0.66, 0.0, 0.36), (0.77, 0.0, 0.14), (0.91, 0.0, -0.05)], [0.085, 0.09, 0.11])
    root = tube([(0.6, 0.0, 0.2), (0.68, 0.0, -0.06)], [0.15, 0.17])
    wings = mirror(sphere((0.8, 0.115, -0.11), 0.085))
    nostrils = mirror(sphere((0.87, 0.07, -0.22), 0.05))
    return subtract(union(bridge, root, wings, blend=0.06), nostrils, blend=0.03)


def _lips() -> Field:
    upper = tube([(0.62, 0.23, -0.41), (0.75, 0.11, -0.365), (0.79, 0.0, -0.38)], [0.025, 0.055, 0.055])
    lower = tube([(0.62, 0.22, -0.43), (0.72, 0.11, -0.475), (0.76, 0.0, -0.495)], [0.025, 0.055, 0.065])
    return mirror(union(upper, lower))


def _ear() -> Field:
    turn = (-8.0, -8.0, 28.0)
    shell = ellipsoid((-0.14, 0.62, 0.08), (0.2, 0.12, 0.3), turn)
    hollow = ellipsoid((-0.08, 0.76, 0.12), (0.11, 0.1, 0.17), turn)
    lobe = round_cone((-0.04, 0.58, -0.16), (-0.02, 0.56, -0.21), 0.1, 0.08)
    return subtract(union(shell, lobe, blend=0.06), hollow, blend=0.04)


def _hair() -> Field:
    """A cap over the cranium, combed back in waves from the hairline, down to the nape."""
    cap = union(
        ellipsoid((-0.18, 0.0, 0.54), (0.78, 0.68, 0.68)), ellipsoid((0.1, 0.0, 0.57), (0.64, 0.58, 0.58)), blend=0.2
    )
    return sink(intersect(cap, _below_hairline, blend=0.06), _waves)


def _below_hairline(p: Array) -> Array:
    """Positive in front of the hairline, which falls from the forehead past the ears to the nape."""
    x, z = p[:, 0], p[:, 2]
    return 0.8 * np.maximum(0.62 - z - 0.6 * np.maximum(0.5 - x, 0.0), 0.9 * (x - 0.6))


def _waves(p: Array) -> Array:
    """Strands from front to back: ridges at equal angles, as seen along x, about an axis at the ears' height."""
    y, up = p[:, 1], np.maximum(p[:, 2] - 0.1, 0.0)
    strand = 5.0 * y / (np.abs(y) + up + 0.05) + 0.5
    depth: Array = 0.07 * np.abs(strand - np.rint(strand))
    return depth
