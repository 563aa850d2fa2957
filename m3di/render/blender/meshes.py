"""Shapes as Blender meshes: the built-in ones, and those of the user. Imported in worker processes only."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from m3di.errors import M3diError
from m3di.render.library.solid import is_solid
from m3di.render.library.user_shapes import KeptObject, UserShape, load_user_mesh
from m3di.system.shipped import shipped

SHARP_RAD = math.radians(60.0)
"""Meshes whose file says nothing of shading are smooth but across edges sharper than this: round where coarse, crisp
where cubic."""


def builtin_mesh(shape: str) -> Any:
    """A Blender mesh of a shape that comes with m3di."""
    path = shipped("blender_scenes") / "shapes" / f"{shape}.blend"
    with bpy.data.libraries.load(str(path)) as (_, appended):
        appended.meshes = [shape]
    return appended.meshes[0]


def user_mesh(shape: UserShape) -> tuple[Any, KeptObject | None]:
    """A Blender mesh of a shape of the user, and what its object adds.

    Raises:
        M3diError: It is not the mesh that it was when rendering began.
    """
    stored = load_user_mesh(Path(shape.path))
    if stored.sha256 != shape.sha256:
        raise M3diError(
            f"the shape {shape.name!r} has changed while images of it are rendered",
            where=shape.path,
            got=f"SHA-256 {stored.sha256}",
            expected=f"SHA-256 {shape.sha256}",
            next_step="import the mesh again that the dataset was begun with, or render into another folder",
        )
    kept = stored.kept
    mesh = bpy.data.meshes.new(shape.name)
    mesh.vertices.add(len(stored.vertices))
    mesh.vertices.foreach_set("co", stored.vertices.ravel())
    mesh.loops.add(len(stored.corners))
    mesh.loops.foreach_set("vertex_index", stored.corners)
    mesh.polygons.add(len(stored.face_sizes))
    mesh.polygons.foreach_set("loop_start", np.cumsum(stored.face_sizes, dtype=np.int32) - stored.face_sizes)
    mesh.polygons.foreach_set("use_smooth", ~kept.flat if kept else np.ones(len(stored.face_sizes), dtype=bool))
    mesh.update(calc_edges=True)
    if kept is not None:
        _sharpen(mesh, kept.sharp_edges)  # before the normals, which are kept relative to what is sharp
    if stored.normals is not None:
        if kept is None:
            _part_where_turned(mesh, stored.corners)
        mesh.normals_split_custom_set(stored.normals.tolist())
    elif kept is None:
        mesh.set_sharp_from_angle(angle=SHARP_RAD)
    if kept is not None:
        mesh.use_auto_texspace = False
        mesh.texspace_location, mesh.texspace_size = kept.texture_space[:3], kept.texture_space[3:]
    return mesh, kept


def _sharpen(mesh: Any, pairs: NDArray[np.int32]) -> None:
    """Make the edges between these pairs of vertices sharp."""
    ends = np.empty(2 * len(mesh.edges), dtype=np.int32)
    mesh.edges.foreach_get("vertices", ends)
    n = len(mesh.vertices)
    all_keys, sharp_keys = (np.sort(each, axis=1).astype(np.int64) @ (n, 1) for each in (ends.reshape(-1, 2), pairs))
    mesh.edges.foreach_set("use_edge_sharp", np.isin(all_keys, sharp_keys))


def _part_where_turned(mesh: Any, corners: NDArray[np.int32]) -> None:
    """Make edges sharp along which two faces go in the same direction: one of these is turned against the other.

    Cycles has one normal a vertex, and parts vertices at sharp edges only: a turned face would be shaded by the normal
    of its neighbour, which points away from the light.
    """
    edge_of = np.empty(len(corners), dtype=np.int32)
    mesh.loops.foreach_get("edge_index", edge_of)
    ends = np.empty(2 * len(mesh.edges), dtype=np.int32)
    mesh.edges.foreach_get("vertices", ends)
    forward = ends[::2][edge_of] == corners
    n_forward, n_all = (np.bincount(edge_of[chosen], minlength=len(mesh.edges)) for chosen in (forward, ...))
    turned = np.maximum(n_forward, n_all - n_forward) > 1
    if turned.any():
        mesh.edges.foreach_set("use_edge_sharp", turned)


def is_solid_mesh(mesh: Any) -> bool:
    """The same as `is_solid`, of a Blender mesh."""
    vertices = np.empty(3 * len(mesh.vertices), np.float32)
    corners, face_sizes = np.empty(len(mesh.loops), np.int32), np.empty(len(mesh.polygons), np.int32)
    mesh.vertices.foreach_get("co", vertices)
    mesh.loops.foreach_get("vertex_index", corners)
    mesh.polygons.foreach_get("loop_total", face_sizes)
    return is_solid(vertices.reshape(-1, 3), corners, face_sizes)
