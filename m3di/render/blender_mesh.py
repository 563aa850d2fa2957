"""Shapes as Blender meshes: the built-in ones, and those of the user. Imported in worker processes only."""

from __future__ import annotations

import math
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from m3di.errors import M3diError
from m3di.render.solid import is_solid
from m3di.render.user_shapes import UserShape, load_user_mesh

SHARP_RAD = math.radians(60.0)
"""Meshes of the user are shaded smooth but across edges sharper than this: round where coarse, crisp where cubic."""


def builtin_mesh(shape: str) -> Any:
    """A Blender mesh of a shape that comes with m3di."""
    with (
        as_file(files("m3di.blender_scenes.shapes") / f"{shape}.blend") as path,
        bpy.data.libraries.load(str(path)) as (_, appended),
    ):
        appended.meshes = [shape]
    return appended.meshes[0]


def user_mesh(shape: UserShape) -> Any:
    """A Blender mesh of a shape of the user.

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
    mesh = bpy.data.meshes.new(shape.name)
    mesh.vertices.add(len(stored.vertices))
    mesh.vertices.foreach_set("co", stored.vertices.ravel())
    mesh.loops.add(len(stored.corners))
    mesh.loops.foreach_set("vertex_index", stored.corners)
    mesh.polygons.add(len(stored.face_sizes))
    mesh.polygons.foreach_set("loop_start", np.cumsum(stored.face_sizes, dtype=np.int32) - stored.face_sizes)
    mesh.polygons.foreach_set("use_smooth", np.ones(len(stored.face_sizes), dtype=bool))
    mesh.update(calc_edges=True)
    if stored.normals is None:
        mesh.set_sharp_from_angle(angle=SHARP_RAD)
    else:
        mesh.normals_split_custom_set(stored.normals.tolist())
    return mesh


def is_solid_mesh(mesh: Any) -> bool:
    """The same as `is_solid`, of a Blender mesh."""
    vertices = np.empty(3 * len(mesh.vertices), np.float32)
    corners, face_sizes = np.empty(len(mesh.loops), np.int32), np.empty(len(mesh.polygons), np.int32)
    mesh.vertices.foreach_get("co", vertices)
    mesh.loops.foreach_get("vertex_index", corners)
    mesh.polygons.foreach_get("loop_total", face_sizes)
    return is_solid(vertices.reshape(-1, 3), corners, face_sizes)
