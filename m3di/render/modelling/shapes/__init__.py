"""The built-in shapes, modelled in code; see `SHAPES` and `build`.

The seven of the published dataset and the monkey are signed distance fields, the solids exact meshes.

Axes: z is up and every animal, and the head, faces +x, towards the camera of the published scene (at (8, 0, 8)):
unrotated they look at the viewer, and the published picture of a head in profile is within the +-pi/2 turns about z.
The teapot stands as the published one does: its spout points half-way between +x and -y.
"""

from __future__ import annotations

from collections.abc import Callable

from m3di.errors import UsageError, near_match
from m3di.render.modelling.shapes import armadillo, cow, dragon, hare, head, horse, monkey, solids, teapot
from m3di.render.modelling.shapes.mesh import Mesh, faults_of, mesh_hash
from m3di.render.scene import LONGEST_SIDE

__all__ = ["LONGEST_SIDE", "SHAPES", "Mesh", "build", "faults_of", "mesh_hash"]

SHAPES: dict[str, Callable[[], Mesh]] = {
    "teapot": teapot.build,
    "hare": hare.build,
    "dragon": dragon.build,
    "cow": cow.build,
    "armadillo": armadillo.build,
    "horse": horse.build,
    "head": head.build,
    "cube": solids.cube,
    "sphere": solids.sphere,
    "cylinder": solids.cylinder,
    "cone": solids.cone,
    "torus": solids.torus,
    "monkey": monkey.build,
}
"""Name -> builder: the seven of the published dataset in its order, then shapes for other datasets."""


def build(name: str) -> Mesh:
    """The mesh of a built-in shape, centred on its bounding box, longest side `LONGEST_SIDE`; takes a few seconds.

    Raises:
        UsageError: No such shape.
    """
    if name not in SHAPES:
        near = near_match(name, SHAPES)
        raise UsageError(
            "unknown shape",
            got=name,
            expected=", ".join(SHAPES),
            next_step=f"did you mean {near}?" if near else None,
        )
    return SHAPES[name]()
