"""A teapot: round body, lid with knob, curved spout, loop handle."""

from __future__ import annotations

from m3di.render.modelling.shapes.mesh import Mesh, mesh_of
from m3di.render.modelling.shapes.sdf import Field, revolve, rotate, round_cone, sphere, subtract, torus, tube, union


def build() -> Mesh:
    """The teapot, its spout half-way between +x and -y as in the published mesh."""
    return mesh_of(rotate(_teapot(), (0.0, 0.0, -45.0)), step=0.036)


def _teapot() -> Field:
    """The teapot with its spout along +x."""
    body = revolve(
        [(0.0, -0.78), (0.5, -0.78), (0.6, -0.74), (0.66, -0.66), (0.88, -0.42), (1.02, -0.05), (0.96, 0.28)]
        + [(0.78, 0.54), (0.62, 0.64), (0.0, 0.66)]
    )
    rim = torus((0.0, 0.0, 0.64), ring_radius=0.64, tube_radius=0.08)
    # The gap between rim and lid is what makes the lid a lid: next to no fillet there.
    lid = revolve([(0.0, 0.5), (0.47, 0.5), (0.49, 0.7), (0.4, 0.82), (0.2, 0.91), (0.0, 0.93)])
    knob = union(sphere((0.0, 0.0, 1.1), 0.16), round_cone((0, 0, 0.85), (0, 0, 1.05), 0.12, 0.07), blend=0.06)
    pot = union(body, rim, lid, blend=0.04)

    spout = tube(
        [(0.75, 0.0, -0.3), (1.15, 0.0, -0.2), (1.42, 0.0, 0.15), (1.62, 0.0, 0.5), (1.86, 0.0, 0.66)],
        [0.34, 0.28, 0.21, 0.18, 0.18],
    )
    opening = round_cone((1.88, 0.0, 0.67), (2.2, 0.0, 0.86), 0.07, 0.22)
    handle = tube(
        [(-0.8, 0, 0.36), (-1.15, 0, 0.5), (-1.55, 0, 0.42), (-1.66, 0, 0.1), (-1.42, 0, -0.25), (-0.85, 0, -0.4)],
        [0.1, 0.11, 0.12, 0.12, 0.11, 0.1],
    )
    return union(subtract(union(pot, spout, blend=0.16), opening, blend=0.05), handle, knob, blend=0.07)
