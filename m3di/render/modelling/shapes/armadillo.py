"""An armadillo: banded domed shell, pointed snout, upright ears, ringed tapering tail, short clawed legs."""

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

_FLOOR = -0.88


def build() -> Mesh:
    under = union(ellipsoid((0.0, 0.0, -0.2), (0.98, 0.54, 0.4)), mirror(_legs()), _head(), blend=0.08)
    return mesh_of(union(above(under, _FLOOR), _shell(), _tail(), mirror(_ear()), blend=0.03), step=0.036)


def _shell() -> Field:
    """Half an egg whose rim is drawn down between the legs, its middle cut into bands."""
    dome = ellipsoid((0.0, 0.0, -0.34), (1.16, 0.86, 0.98))
    return sink(intersect(dome, _over_rim, blend=0.08), _grooves)


def _over_rim(p: Array) -> Array:
    x = p[:, 0]
    return (-0.5 - p[:, 2] + 0.28 * x * x) * 0.9


def _grooves(p: Array) -> Array:
    """Depth of the grooves between the bands, and of the plates' edges at both ends of the shell."""
    spacing = 0.2
    phase = p[:, 0] / spacing + 0.5
    distance = np.abs(phase - np.rint(phase)) * spacing
    banded = np.abs(p[:, 0]) <= 3.2 * spacing
    return np.where(banded, 0.07 * np.maximum(1.0 - distance / 0.06, 0.0), 0.0)


def _legs() -> Field:
    parts = []
    for x in (0.6, -0.62):
        parts.append(tube([(x, 0.38, -0.3), (x + 0.02, 0.44, -0.6), (x + 0.05, 0.46, -0.78)], [0.26, 0.2, 0.17]))
        for side in (-0.12, 0.0, 0.12):
            toe = (x + 0.1, 0.46 + side, _FLOOR + 0.08)
            claw = (x + 0.38, 0.46 + 1.4 * side, _FLOOR + 0.02)
            parts.append(round_cone(toe, claw, 0.1, 0.04))
    return union(*parts, blend=0.03)


def _head() -> Field:
    skull = ellipsoid((1.26, 0.0, -0.12), (0.36, 0.27, 0.28), turn=(0.0, 22.0, 0.0))
    snout = tube([(1.25, 0.0, -0.16), (1.58, 0.0, -0.38), (1.86, 0.0, -0.56)], [0.24, 0.15, 0.1])
    nose = sphere((1.9, 0.0, -0.56), 0.11)
    neck = tube([(0.8, 0.0, -0.2), (1.2, 0.0, -0.15)], [0.38, 0.27])
    return union(neck, skull, snout, nose, mirror(sphere((1.46, 0.19, -0.08), 0.075)), blend=0.05)


def _ear() -> Field:
    turn = (-20.0, -15.0, 25.0)
    leaf = ellipsoid((1.1, 0.25, 0.36), (0.1, 0.17, 0.36), turn)
    return subtract(leaf, ellipsoid((1.2, 0.29, 0.38), (0.09, 0.1, 0.25), turn), blend=0.04)


def _tail() -> Field:
    """Bent to the left, so that the animal stays compact."""
    bend = tube(
        [(-0.85, 0.0, -0.25), (-1.25, 0.06, -0.5), (-1.55, 0.32, -0.66), (-1.58, 0.75, -0.64)], [0.3, 0.22, 0.15, 0.06]
    )
    return sink(bend, _rings)


def _rings(p: Array) -> Array:
    phase = (p[:, 0] - p[:, 1]) / 0.2
    depth: Array = 0.035 * np.maximum(1.0 - np.abs(phase - np.rint(phase)) * 3.5, 0.0)
    return depth
