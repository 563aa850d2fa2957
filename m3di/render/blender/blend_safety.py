"""What an appended object may need: nothing but its own file. Imported in worker processes only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import bpy

from m3di.errors import M3diError
from m3di.render.library.mesh_choice import listed

# Modifiers that work on what is in the file. Others read files (caches) or the outcome of a simulation.
_MODIFIERS = {
    *("ARRAY", "BEVEL", "BOOLEAN", "BUILD", "DECIMATE", "EDGE_SPLIT", "MASK", "MIRROR", "MULTIRES", "NODES", "REMESH"),
    *("SCREW", "SKIN", "SOLIDIFY", "SUBSURF", "TRIANGULATE", "WELD", "WIREFRAME"),
    *("ARMATURE", "CAST", "CURVE", "DISPLACE", "HOOK", "LAPLACIANDEFORM", "LATTICE", "MESH_DEFORM", "SHRINKWRAP"),
    *("SIMPLE_DEFORM", "SMOOTH", "CORRECTIVE_SMOOTH", "LAPLACIANSMOOTH", "SURFACE_DEFORM", "WARP", "WAVE"),
    *("DATA_TRANSFER", "NORMAL_EDIT", "WEIGHTED_NORMAL", "UV_PROJECT", "UV_WARP"),
    *("VERTEX_WEIGHT_EDIT", "VERTEX_WEIGHT_MIX", "VERTEX_WEIGHT_PROXIMITY", "COLLISION"),
}
_NODES = ("GeometryNodeImport", "GeometryNodeBake", "GeometryNodeSimulation")
_BUILTIN_FONT = "<builtin>"


def forget_animation() -> None:
    """Clear actions and drivers of all that is loaded: what they set keeps the value that it was saved with."""
    for collection in bpy.data.bl_rna.properties:
        if collection.type == "COLLECTION":
            for each in getattr(bpy.data, collection.identifier):
                if getattr(each, "animation_data", None) is not None:
                    each.animation_data_clear()


def check_needs_no_file(path: Path, names: Sequence[str]) -> None:
    """Raise where what is loaded for the objects of these names depends on other files, or on a simulation.

    Raises:
        M3diError: It does; all that does is named.
    """
    problems = [*_linked(), *_modifiers(), *_nodes(), *_images(), *_fonts(), *_constraints()]
    if problems:
        raise M3diError(
            "the shape is not in this file alone: it needs other files or a simulation, which m3di does not read",
            where=f"{path}, {listed(names)}",
            got="; ".join(problems[:5]) + (f"; and {len(problems) - 5} more" if len(problems) > 5 else ""),
            expected="objects whose surface follows from the file",
            next_step="in Blender, select the object, Object > Convert > Mesh, save a copy, and import that",
        )


def _linked() -> Iterator[str]:
    for kind in ("objects", "meshes", "curves", "metaballs", "lattices", "armatures", "node_groups", "collections"):
        for each in getattr(bpy.data, kind):
            # What is packed into the file is part of it, though it once came from a library.
            if each.library is not None and not getattr(each, "is_linked_packed", False):
                yield f"{each.name!r} is linked from another file"


def _modifiers() -> Iterator[str]:
    for obj in bpy.data.objects:
        for modifier in obj.modifiers:
            if modifier.show_render and modifier.type not in _MODIFIERS:
                yield f"the modifier {modifier.name!r} ({modifier.type.lower()}) of {obj.name!r}"
            elif modifier.type == "MULTIRES" and modifier.is_external:
                yield f"the modifier {modifier.name!r} of {obj.name!r} keeps its levels in another file"


def _nodes() -> Iterator[str]:
    for group in bpy.data.node_groups:
        for node in group.nodes:
            if node.bl_idname.startswith(_NODES):
                yield f"the node {node.name!r} of the node group {group.name!r}"


def _images() -> Iterator[str]:
    users = bpy.data.user_map(subset=bpy.data.images)
    for image, used_by in users.items():
        if image.source != "GENERATED" and image.packed_file is None:
            for user in used_by:
                # Materials, in which most images are, do not change a shape.
                if isinstance(user, bpy.types.Texture | bpy.types.GeometryNodeTree | bpy.types.Object):
                    yield f"the image {image.name!r} of {user.name!r} lies in another file"


def _fonts() -> Iterator[str]:
    for font in bpy.data.fonts:
        if font.filepath != _BUILTIN_FONT and font.packed_file is None:
            yield f"the font {font.name!r} lies in another file"


def _constraints() -> Iterator[str]:
    for obj in bpy.data.objects:
        for constraint in obj.constraints:
            if constraint.type == "TRANSFORM_CACHE":
                yield f"the constraint {constraint.name!r} of {obj.name!r}"
