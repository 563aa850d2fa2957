"""A dragon: S-shaped neck, horned head with open jaws, raised wings, four legs, spiny back, tail with a spade."""

from __future__ import annotations

from m3di.render.modelling.shapes.mesh import Mesh, mesh_of
from m3di.render.modelling.shapes.sdf import (
    Field,
    Point,
    above,
    ellipsoid,
    mirror,
    round_cone,
    scale,
    sphere,
    triangle,
    tube,
    union,
)

_SPINE: list[Point] = [
    (-1.75, 0.72, -0.5),
    (-1.78, 0.32, -0.72),
    (-1.5, 0.02, -0.72),
    (-1.05, 0.0, -0.42),
    (-0.55, 0.0, -0.1),
    (0.0, 0.0, 0.0),
    (0.5, 0.0, 0.1),
    (0.9, 0.0, 0.5),
    (0.88, 0.0, 1.02),
    (1.08, 0.0, 1.42),
]
"""Tip of the tail to the back of the head."""

_GIRTH = [0.06, 0.11, 0.17, 0.26, 0.4, 0.45, 0.41, 0.29, 0.22, 0.2]

_FLOOR = -1.2


def build() -> Mesh:
    body = union(tube(_SPINE, _GIRTH), mirror(_legs()), blend=0.15)
    return mesh_of(union(above(body, _FLOOR), _head(), mirror(_wing()), _spines(), _tail_tip(), blend=0.06), step=0.048)


def _legs() -> Field:
    hind = union(
        ellipsoid((-0.52, 0.36, -0.3), (0.36, 0.22, 0.42), turn=(0.0, 20.0, 0.0)),
        tube([(-0.4, 0.42, -0.45), (-0.64, 0.46, -0.78), (-0.5, 0.46, -1.08)], [0.22, 0.15, 0.14]),
        _foot(-0.5, 0.46),
        blend=0.08,
    )
    fore = union(
        ellipsoid((0.52, 0.32, -0.1), (0.24, 0.2, 0.36)),
        tube([(0.5, 0.38, -0.3), (0.44, 0.42, -0.7), (0.56, 0.42, -1.08)], [0.19, 0.14, 0.13]),
        _foot(0.54, 0.42),
        blend=0.08,
    )
    return union(hind, fore)


def _foot(x: float, y: float) -> Field:
    """Three claws."""
    claws = [
        round_cone((x, y + 0.4 * side, _FLOOR + 0.1), (x + 0.34, y + side, _FLOOR + 0.04), 0.12, 0.05)
        for side in (-0.13, 0.0, 0.13)
    ]
    return union(*claws, blend=0.02)


def _head() -> Field:
    skull = ellipsoid((1.18, 0.0, 1.5), (0.32, 0.26, 0.23))
    upper_jaw = tube([(1.2, 0.0, 1.5), (1.56, 0.0, 1.44), (1.86, 0.0, 1.42)], [0.21, 0.16, 0.14])
    lower_jaw = tube([(1.16, 0.0, 1.34), (1.42, 0.0, 1.12), (1.68, 0.0, 0.98)], [0.15, 0.115, 0.085])
    nostril = sphere((1.88, 0.09, 1.54), 0.075)
    brow = round_cone((1.2, 0.19, 1.7), (1.48, 0.15, 1.62), 0.1, 0.07)
    horn = tube([(1.06, 0.14, 1.62), (0.8, 0.27, 1.86), (0.46, 0.36, 1.9)], [0.13, 0.1, 0.04])
    cheek = round_cone((1.08, 0.2, 1.42), (0.8, 0.4, 1.34), 0.1, 0.035)
    features = mirror(union(nostril, brow, horn, cheek, blend=0.04))
    return union(skull, upper_jaw, lower_jaw, features, blend=0.06)


def _wing() -> Field:
    """The left wing: an arm, three fingers, and a scalloped skin between them, broad side to the front."""
    shoulder, wrist, root = (0.25, 0.25, 0.3), (0.35, 0.82, 1.4), (-0.5, 0.2, 0.1)
    tips = [(-0.05, 1.62, 2.0), (-0.4, 1.9, 1.12), (-0.62, 1.4, 0.42)]
    scallops = [(-0.12, 1.52, 1.4), (-0.4, 1.42, 0.86), (-0.5, 0.78, 0.42)]
    skin = [triangle(wrist, root, shoulder, 0.045)]
    for tip, scallop, following in zip(tips, scallops, [*tips[1:], root], strict=True):
        skin += [triangle(wrist, tip, scallop, 0.045), triangle(wrist, scallop, following, 0.045)]
    fingers = [round_cone(wrist, tip, 0.1, 0.055) for tip in tips]
    arm = round_cone(shoulder, wrist, 0.17, 0.11)
    claw = round_cone(wrist, (0.5, 0.82, 1.66), 0.09, 0.035)
    return union(union(*skin), arm, claw, *fingers, blend=0.03)


def _spines() -> Field:
    """Plates along the back: thorns squeezed flat, upright on the trunk and leaning back on the neck."""
    thorns = []
    for (x, _, z), girth in zip(_SPINE[3:-1], _GIRTH[3:-1], strict=True):
        on_neck = x > 0.6
        foot: Point = (x - 0.7 * girth * on_neck, 0.0, z + girth * (0.3 if on_neck else 0.7))
        tip: Point = (x - girth * on_neck - 0.22, 0.0, z + girth * (0.6 if on_neck else 1.0) + 0.24)
        thorns.append(round_cone(foot, tip, 0.17, 0.04))
    return scale(union(*thorns), (1.0, 0.6, 1.0))


def _tail_tip() -> Field:
    (x, y, z), tip = _SPINE[0], (-1.7, 1.3, -0.3)
    return union(
        triangle((x, y - 0.08, z), (x + 0.3, y + 0.12, z), tip, 0.06),
        triangle((x, y - 0.08, z), (x - 0.3, y + 0.12, z), tip, 0.06),
    )
