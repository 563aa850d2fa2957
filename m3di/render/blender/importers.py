"""Mesh files through Blender's own importers, and what these lose. Imported in worker processes only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from m3di.errors import M3diError
from m3di.render.blender.evaluated_mesh import is_solid, scene_in_world
from m3di.render.blender.session import quiet
from m3di.render.library.file_mesh import FileMesh, unreadable
from m3di.render.library.import_texts import plain_glb, plain_obj
from m3di.render.library.mesh_choice import chosen_name
from m3di.render.library.ply_vertices import check_decimal_points, n_ply_faces, ply_vertices

_Y_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
"""From Blender's axes back to those of glTF."""
_ROUGH = 1e-5  # spacing of 32-bit floats over the size of the mesh, from which on the file is read once more


def read_obj(path: Path, folder: Path, *, as_is: bool) -> FileMesh:
    """The faces of a `.obj`."""
    copy = folder / "plain.obj"
    copy.write_bytes(plain_obj(path, path.read_bytes(), keep_place=as_is))
    _import(path, lambda: bpy.ops.wm.obj_import(filepath=str(copy), forward_axis="Y", up_axis="Z"))
    return replace(scene_in_world(path, keep_polygons=as_is, with_normals=None), single_precision=False)


def read_ply(path: Path, *, as_is: bool) -> FileMesh:
    """The faces of a `.ply`."""
    content = path.read_bytes()
    check_decimal_points(path, content)
    _import(
        path, lambda: bpy.ops.wm.ply_import(filepath=str(path), forward_axis="Y", up_axis="Z", import_colors="NONE")
    )
    n_read = sum(len(obj.data.polygons) for obj in bpy.context.scene.objects if obj.type == "MESH")
    found = scene_in_world(path, keep_polygons=as_is, with_normals=None)
    if n_read < (n_faces := n_ply_faces(content)):
        lost = f"{n_faces - n_read:,} of {n_faces:,} faces of the file left out: they name a vertex twice, or one that"
        found = replace(found, notes=(f"{lost} is not there",))
    largest, size = np.abs(found.vertices).max(initial=0.0), np.ptp(found.vertices, axis=0).max(initial=0.0)
    if np.isfinite(largest) and np.spacing(np.float32(largest)) > _ROUGH * size:
        vertices = ply_vertices(content)
        if vertices is not None and len(vertices) == len(found.vertices):
            return replace(found, vertices=vertices, single_precision=False)
    return found


def read_gltf(path: Path, folder: Path, mesh_name: str | None, *, as_is: bool) -> FileMesh:
    """The meshes of a `.glb` or `.gltf`, all in one; or the named one, at its place."""
    copy = folder / "plain.glb"
    copy.write_bytes(plain_glb(path, path.read_bytes()))
    _import(
        path,
        lambda: bpy.ops.import_scene.gltf(
            filepath=str(copy), merge_vertices=False, import_shading="NORMALS", disable_bone_shape=True, loglevel=50
        ),
    )
    if mesh_name is not None:
        names = {obj.name: {obj.name, obj.data.name} for obj in bpy.context.scene.objects if is_solid(obj)}
        keep = chosen_name(path, names, mesh_name, expected=None)
        for obj in bpy.context.scene.objects:
            obj.hide_viewport = obj.name != keep
    found = scene_in_world(path, keep_polygons=as_is, with_normals=None)
    normals = None if found.normals is None else found.normals @ _Y_UP.T
    return replace(found, vertices=found.vertices @ _Y_UP.T, normals=normals)


def _import(path: Path, operator: Callable[[], Any]) -> None:
    """Run one of Blender's importers in an empty scene."""
    with quiet() as printed:
        bpy.ops.wm.read_factory_settings(use_empty=True)
        bpy.context.preferences.filepaths.use_scripts_auto_execute = False
        try:
            result = operator()
        except RuntimeError as error:
            problem: object = error
        except M3diError:
            raise
        except Exception as error:  # noqa: BLE001 - the importer of glTF is Python, and raises nearly anything
            problem = f"{type(error).__name__}: {error}"
        else:
            problem = None if "FINISHED" in result else "the importer gave up"
    if problem is not None:
        raise unreadable(path, problem if not printed else f"{problem} ({' '.join(printed[-3:])})")
    for obj in bpy.data.objects:
        obj.animation_data_clear()
