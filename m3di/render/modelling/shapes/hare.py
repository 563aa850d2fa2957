"""A hare: crouching on big haunches, long upright ears, round tail."""

from __future__ import annotations

from m3di.render.modelling.shapes.mesh import Mesh, mesh_of
from m3di.render.modelling.shapes.sdf import Field, above, ellipsoid, mirror, round_cone, sphere, subtract, tube, union


def build() -> Mesh:
    figure = above(union(_body(), _head(), blend=0.22), -1.0, blend=0.05)
    return mesh_of(union(figure, mirror(_ear()), mirror(_eye()), blend=0.04), step=0.032)


def _body() -> Field:
    torso = union(
        ellipsoid((-0.45, 0.0, -0.42), (0.62, 0.5, 0.56)),
        ellipsoid((0.1, 0.0, -0.35), (0.5, 0.4, 0.44), turn=(0.0, -25.0, 0.0)),
        ellipsoid((0.38, 0.0, -0.2), (0.3, 0.33, 0.46)),
        blend=0.3,
    )
    thigh = ellipsoid((-0.34, 0.42, -0.55), (0.46, 0.24, 0.38), turn=(0.0, -20.0, 0.0))
    hind_foot = tube([(-0.55, 0.46, -0.9), (-0.1, 0.5, -0.93), (0.26, 0.5, -0.92)], [0.13, 0.13, 0.16])
    foreleg = tube([(0.46, 0.2, -0.3), (0.52, 0.22, -0.65), (0.62, 0.22, -0.9)], [0.17, 0.12, 0.1])
    paw = round_cone((0.6, 0.22, -0.93), (0.76, 0.22, -0.94), 0.13, 0.12)
    tail = sphere((-1.08, 0.0, -0.36), 0.24)
    limbs = mirror(union(thigh, hind_foot, foreleg, paw, blend=0.08))
    return union(torso, limbs, tail, blend=0.06)


def _head() -> Field:
    skull = ellipsoid((0.62, 0.0, 0.34), (0.42, 0.32, 0.34), turn=(0.0, 20.0, 0.0))
    muzzle = ellipsoid((0.92, 0.0, 0.2), (0.24, 0.21, 0.2))
    cheeks = mirror(sphere((0.96, 0.09, 0.14), 0.14))
    nose = ellipsoid((1.13, 0.0, 0.25), (0.08, 0.09, 0.065))
    return union(union(skull, muzzle, cheeks, blend=0.12), nose, blend=0.03)


def _eye() -> Field:
    return sphere((0.78, 0.21, 0.43), 0.115)


def _ear() -> Field:
    """A long spoon, hollow in front."""
    spine = [(0.48, 0.13, 0.55), (0.4, 0.2, 0.95), (0.3, 0.3, 1.4), (0.22, 0.38, 1.82)]
    spoon = tube(spine, [0.11, 0.17, 0.19, 0.07])
    hollow = tube([(x + 0.15, y + 0.02, z) for x, y, z in spine[1:]], [0.11, 0.13, 0.04])
    return subtract(spoon, hollow, blend=0.08)
