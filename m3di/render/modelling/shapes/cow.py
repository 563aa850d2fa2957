"""A cow: deep, stocky body with a level back, short side-swept horns, broad muzzle, udder, tufted tail."""

from __future__ import annotations

from m3di.render.modelling.shapes.mesh import Mesh, mesh_of
from m3di.render.modelling.shapes.sdf import (
    Field,
    above,
    box,
    ellipsoid,
    mirror,
    round_cone,
    sphere,
    subtract,
    tube,
    union,
)

_FLOOR = -1.05


def build() -> Mesh:
    body = above(union(_torso(), mirror(_legs()), blend=0.12), _FLOOR)
    return mesh_of(union(union(body, _head(), blend=0.08), _udder(), _tail(), blend=0.06), step=0.037)


def _torso() -> Field:
    barrel = union(
        box((-0.2, 0.0, 0.14), (1.0, 0.45, 0.46), rounding=0.4),
        ellipsoid((-0.2, 0.0, -0.06), (0.95, 0.6, 0.52)),
        blend=0.35,
    )
    shoulders = ellipsoid((0.5, 0.0, 0.14), (0.46, 0.43, 0.48))
    hips = mirror(sphere((-0.9, 0.24, 0.42), 0.2))
    neck = tube([(0.5, 0.0, 0.18), (0.9, 0.0, 0.32), (1.2, 0.0, 0.46)], [0.42, 0.34, 0.26])
    dewlap = tube([(0.7, 0.0, -0.3), (0.95, 0.0, -0.14), (1.18, 0.0, 0.14)], [0.16, 0.15, 0.11])
    return union(barrel, shoulders, hips, neck, dewlap, blend=0.25)


def _legs() -> Field:
    fore = union(
        tube([(0.46, 0.3, -0.1), (0.48, 0.32, -0.5), (0.47, 0.32, -0.88)], [0.28, 0.18, 0.14]),
        round_cone((0.48, 0.32, -0.86), (0.54, 0.32, -1.06), 0.14, 0.2),
        blend=0.03,
    )
    hind = union(
        ellipsoid((-0.84, 0.3, -0.06), (0.34, 0.24, 0.46)),
        tube([(-0.8, 0.32, -0.2), (-0.95, 0.34, -0.54), (-0.88, 0.34, -0.88)], [0.28, 0.18, 0.14]),
        round_cone((-0.88, 0.34, -0.86), (-0.82, 0.34, -1.06), 0.14, 0.2),
        blend=0.03,
    )
    return union(fore, hind)


def _head() -> Field:
    face = tube([(1.2, 0.0, 0.62), (1.42, 0.0, 0.36), (1.62, 0.0, 0.04)], [0.3, 0.26, 0.22])
    muzzle = ellipsoid((1.66, 0.0, 0.0), (0.24, 0.31, 0.22), turn=(0.0, 40.0, 0.0))
    nostrils = mirror(sphere((1.86, 0.15, 0.07), 0.08))
    mouth = tube([(1.62, 0.34, -0.06), (1.86, 0.2, -0.14), (1.92, 0.0, -0.15)], [0.03, 0.035, 0.035])
    poll = ellipsoid((1.16, 0.0, 0.78), (0.18, 0.28, 0.15))
    ear = ellipsoid((1.1, 0.5, 0.53), (0.09, 0.31, 0.15), turn=(-18.0, 0.0, -12.0))
    horn = tube(
        [(1.14, 0.2, 0.86), (1.12, 0.48, 0.93), (1.18, 0.66, 1.02), (1.28, 0.66, 1.22)], [0.13, 0.13, 0.11, 0.04]
    )
    eye = sphere((1.42, 0.23, 0.56), 0.085)
    bare = subtract(union(face, muzzle, poll, blend=0.08), nostrils, mirror(mouth), blend=0.05)
    return union(bare, mirror(union(ear, horn, eye)), blend=0.04)


def _udder() -> Field:
    bag = ellipsoid((-0.46, 0.0, -0.54), (0.36, 0.32, 0.26))
    teat_feet = [(-0.3, 0.15), (-0.58, 0.15)]
    teats = [round_cone((x, y, -0.68), (x + 0.02, y + 0.02, -0.9), 0.085, 0.06) for x, y in teat_feet]
    return union(bag, mirror(union(*teats)), blend=0.05)


def _tail() -> Field:
    cord = tube([(-1.1, 0.0, 0.5), (-1.3, 0.0, 0.46), (-1.42, 0.0, 0.2), (-1.4, 0.0, -0.3)], [0.11, 0.085, 0.07, 0.07])
    return union(cord, ellipsoid((-1.4, 0.0, -0.52), (0.15, 0.15, 0.28)), blend=0.05)
