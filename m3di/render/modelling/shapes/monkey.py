"""A monkey: sitting upright, round ears at the sides of a broad head, pale face mask, long arms, curled tail."""

from __future__ import annotations

from m3di.render.modelling.shapes.mesh import Mesh, mesh_of
from m3di.render.modelling.shapes.sdf import Field, above, ellipsoid, mirror, round_cone, sphere, subtract, tube, union

_FLOOR = -1.3


def build() -> Mesh:
    body = above(union(_torso(), mirror(union(_leg(), _arm())), blend=0.1), _FLOOR)
    return mesh_of(union(union(body, _head(), blend=0.1), _tail(), blend=0.05), step=0.042)


def _torso() -> Field:
    return union(
        ellipsoid((-0.2, 0.0, -0.85), (0.56, 0.6, 0.52)),
        ellipsoid((-0.08, 0.0, -0.3), (0.44, 0.5, 0.6)),
        ellipsoid((-0.02, 0.0, 0.14), (0.36, 0.46, 0.34)),
        blend=0.2,
    )


def _leg() -> Field:
    """Bent, the knee up and out, the foot in front."""
    thigh = tube([(-0.2, 0.4, -0.98), (0.3, 0.66, -0.72), (0.62, 0.7, -0.52)], [0.34, 0.28, 0.22])
    shin = tube([(0.62, 0.7, -0.52), (0.56, 0.66, -0.9), (0.52, 0.62, -1.18)], [0.21, 0.16, 0.13])
    foot = tube([(0.46, 0.6, -1.2), (0.8, 0.66, -1.22), (1.06, 0.74, -1.24)], [0.14, 0.15, 0.11])
    return union(thigh, shin, foot, blend=0.06)


def _arm() -> Field:
    upper = tube([(-0.04, 0.42, 0.24), (0.02, 0.78, -0.06), (0.22, 0.86, -0.36)], [0.22, 0.18, 0.15])
    lower = tube([(0.22, 0.86, -0.36), (0.52, 0.72, -0.32), (0.78, 0.5, -0.3)], [0.15, 0.13, 0.12])
    hand = ellipsoid((0.84, 0.5, -0.32), (0.17, 0.17, 0.12))
    return union(upper, lower, hand, blend=0.05)


def _head() -> Field:
    skull = ellipsoid((0.08, 0.0, 0.82), (0.56, 0.58, 0.56))
    tuft = round_cone((0.16, 0.0, 1.3), (0.02, 0.0, 1.52), 0.16, 0.06)
    brow = tube([(0.5, -0.34, 1.0), (0.58, 0.0, 1.06), (0.5, 0.34, 1.0)], [0.1, 0.11, 0.1])
    muzzle = union(
        ellipsoid((0.56, 0.0, 0.58), (0.34, 0.36, 0.24)), ellipsoid((0.5, 0.0, 0.46), (0.3, 0.3, 0.2)), blend=0.1
    )
    mouth = tube(
        [(0.6, -0.34, 0.58), (0.88, -0.16, 0.47), (0.88, 0.16, 0.47), (0.6, 0.34, 0.58)], [0.03, 0.035, 0.035, 0.03]
    )
    nostril = sphere((0.9, 0.07, 0.69), 0.05)
    nose = ellipsoid((0.82, 0.0, 0.71), (0.11, 0.13, 0.08))
    socket = sphere((0.68, 0.2, 0.87), 0.17)
    eye = sphere((0.55, 0.2, 0.86), 0.12)
    face = union(subtract(union(skull, brow, blend=0.08), mirror(socket), blend=0.06), muzzle, nose, blend=0.06)
    face = subtract(face, mouth, mirror(nostril), blend=0.03)
    return union(face, tuft, mirror(union(eye, _ear())), blend=0.03)


def _ear() -> Field:
    """A round shell at the side, hollow in front."""
    shell = ellipsoid((0.02, 0.74, 0.86), (0.14, 0.32, 0.35), turn=(0.0, 0.0, -15.0))
    return subtract(shell, ellipsoid((0.17, 0.76, 0.86), (0.14, 0.21, 0.24), turn=(0.0, 0.0, -15.0)), blend=0.05)


def _tail() -> Field:
    """Up behind the back, its end rolled in."""
    path = [(-0.55, 0.0, -1.08), (-1.05, 0.06, -1.12), (-1.4, 0.12, -0.7), (-1.36, 0.16, -0.1), (-1.2, 0.18, 0.42)]
    curl = [(-1.32, 0.18, 0.84), (-1.66, 0.16, 0.9), (-1.78, 0.12, 0.6), (-1.56, 0.1, 0.46)]
    return tube([*path, *curl], [0.16, 0.15, 0.14, 0.13, 0.125, 0.12, 0.115, 0.11, 0.1])
