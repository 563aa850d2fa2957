"""A horse: arched neck with a full mane, long head, slender legs, one foreleg lifted, flowing tail."""

from __future__ import annotations

from m3di.render.modelling.shapes.mesh import Mesh, mesh_of
from m3di.render.modelling.shapes.sdf import (
    Field,
    Point,
    above,
    ellipsoid,
    mirror,
    rotate,
    round_cone,
    scale,
    sphere,
    subtract,
    translate,
    tube,
    union,
)

_FLOOR = -1.38


def build() -> Mesh:
    body = above(union(_torso(), _legs(), blend=0.1), _FLOOR)
    slim = union(union(body, _head(), blend=0.08), _mane(), _tail(), blend=0.04)
    # A little broader than life: seen from the front or the top, a true horse is a stroke a few pixels wide.
    return mesh_of(scale(slim, (1.0, 1.25, 1.0)), step=0.038)


def _torso() -> Field:
    barrel = union(
        ellipsoid((-0.6, 0.0, 0.16), (0.46, 0.38, 0.42)),
        ellipsoid((-0.05, 0.0, 0.1), (0.7, 0.38, 0.38)),
        ellipsoid((0.5, 0.0, 0.12), (0.38, 0.35, 0.46)),
        blend=0.25,
    )
    neck = scale(
        tube(
            [(0.42, 0.0, 0.2), (0.78, 0.0, 0.6), (0.98, 0.0, 1.02), (1.14, 0.0, 1.36)],
            [0.46, 0.36, 0.27, 0.22],
        ),
        (1.0, 0.66, 1.0),
    )
    return union(barrel, neck, blend=0.18)


def _legs() -> Field:
    hind: list[Point] = [(-0.66, 0.2, 0.1), (-0.56, 0.23, -0.35), (-0.88, 0.23, -0.72), (-0.8, 0.23, -1.2)]
    fore: list[Point] = [(0.52, 0.2, 0.05), (0.55, 0.21, -0.4), (0.54, 0.21, -0.8), (0.54, 0.21, -1.2)]
    lifted: list[Point] = [(0.54, -0.2, 0.05), (0.98, -0.21, -0.18), (1.12, -0.21, -0.4), (0.82, -0.21, -0.78)]
    hind_girths, fore_girths = [0.34, 0.23, 0.125, 0.095], [0.28, 0.18, 0.12, 0.095]
    return union(
        mirror(union(tube(hind, hind_girths), _hoof((-0.8, 0.23, -1.2)), blend=0.04)),
        union(tube(fore, fore_girths), _hoof((0.54, 0.21, -1.2)), blend=0.04),
        union(tube(lifted, fore_girths), _raised_hoof((0.82, -0.21, -0.78)), blend=0.04),
        blend=0.08,
    )


def _hoof(ankle: Point) -> Field:
    x, y, z = ankle
    return union(sphere((x, y, z + 0.08), 0.115), round_cone((x + 0.02, y, z), (x + 0.1, y, _FLOOR - 0.06), 0.1, 0.19))


def _raised_hoof(ankle: Point) -> Field:
    """The hoof of the lifted leg: cut flat as one on the ground, then bent back at the ankle."""
    hoof = above(_hoof((0.0, 0.0, -1.2)), _FLOOR)
    return translate(rotate(translate(hoof, (0.0, 0.0, 1.2)), (0.0, 40.0, 0.0)), ankle)


def _head() -> Field:
    face = scale(
        tube([(1.16, 0.0, 1.4), (1.46, 0.0, 1.1), (1.82, 0.0, 0.68)], [0.27, 0.21, 0.15]),
        (1.0, 0.78, 1.0),
    )
    jaw = mirror(ellipsoid((1.26, 0.07, 1.14), (0.24, 0.11, 0.2), turn=(0.0, 45.0, 0.0)))
    muzzle = ellipsoid((1.82, 0.0, 0.68), (0.19, 0.155, 0.17), turn=(0.0, 45.0, 0.0))
    nostril = sphere((1.95, 0.11, 0.74), 0.06)
    ear = tube([(1.1, 0.12, 1.56), (1.1, 0.17, 1.78), (1.16, 0.18, 1.98)], [0.11, 0.1, 0.03])
    eye = sphere((1.38, 0.165, 1.32), 0.075)
    bare = subtract(union(face, jaw, muzzle, blend=0.09), mirror(nostril), blend=0.04)
    return union(bare, mirror(union(ear, eye)), blend=0.05)


def _mane() -> Field:
    """A thick crest from the forelock to the withers, and locks that fall over both sides of the neck."""
    crest: list[Point] = [
        (1.42, 0.0, 1.56),
        (1.22, 0.0, 1.72),
        (0.98, 0.0, 1.62),
        (0.78, 0.0, 1.34),
        (0.6, 0.0, 1.0),
        (0.36, 0.0, 0.66),
        (0.14, 0.0, 0.52),
    ]
    locks = [
        tube([(x, 0.06, z), (x - 0.05, 0.19, z - 0.14), (x - 0.02, 0.22, z - 0.46)], [0.13, 0.13, 0.045], steps=5)
        for x, _, z in crest[2:6]
    ]
    return union(tube(crest, [0.05, 0.1, 0.15, 0.16, 0.16, 0.13, 0.05]), mirror(union(*locks)), blend=0.05)


def _tail() -> Field:
    """Two strands, raised at the root as on a trotting horse."""
    path: list[Point] = [(-0.95, 0.0, 0.36), (-1.2, 0.0, 0.46), (-1.46, 0.0, 0.16), (-1.5, 0.0, -0.36)]
    strands = [
        tube([*path, (-1.6 + bend, 0.0, -0.95 + 2 * bend)], [0.1, 0.13, 0.18, 0.19, 0.05]) for bend in (-0.12, 0.1)
    ]
    return union(*strands, blend=0.05)
