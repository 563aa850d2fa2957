"""Blender objects as plain meshes: as they are rendered, modifiers and all. Imported in worker processes only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from m3di.render.library.file_mesh import FileMesh
from m3di.render.library.import_limits import MAX_FACES, too_many_faces

_KINDS = ("MESH", "CURVE", "SURFACE", "FONT", "META")


def is_solid(obj: Any) -> bool:
    """Whether an object is of a kind that can have faces."""
    return obj.type in _KINDS


def render_settings_for_viewport() -> None:
    """Have evaluation, which Blender does as for a viewport, use the settings for renders."""
    for obj in bpy.data.objects:
        for modifier in obj.modifiers:
            modifier.show_viewport = modifier.show_render
            for shown, rendered in (("levels", "render_levels"), ("steps", "render_steps")):
                if hasattr(modifier, rendered):
                    setattr(modifier, shown, getattr(modifier, rendered))
    for curve in bpy.data.curves:
        curve.resolution_u = curve.render_resolution_u or curve.resolution_u
        curve.resolution_v = curve.render_resolution_v or curve.resolution_v
    for ball in bpy.data.metaballs:
        ball.resolution = ball.render_resolution


def scene_in_world(path: Path, *, keep_polygons: bool, with_normals: bool | None) -> FileMesh:
    """All that the present scene shows, in one mesh in world space.

    Args:
        path: The file that it came from, for messages.
        keep_polygons: Leave polygons whole; else they are split into triangles.
        with_normals: Take the normals at corners; None: where an object has its own.

    Raises:
        M3diError: It has too many faces.
    """
    parts = []
    n_faces = 0
    for mesh, matrix in _shown_meshes():
        n_faces += len(mesh.polygons)
        if n_faces > MAX_FACES:
            raise too_many_faces(path, f"more than {MAX_FACES:,}")
        normals = with_normals if with_normals is not None else mesh.has_custom_normals
        parts.append((placed(plain_mesh(mesh, keep_polygons=keep_polygons), matrix), normals))
    return _joined([part for part, _ in parts], with_normals=any(normals for _, normals in parts))


def _shown_meshes() -> Iterator[tuple[Any, NDArray[np.float64]]]:
    """Evaluated meshes with their matrices to the world, [4, 4]; each is valid until the next."""
    graph = bpy.context.evaluated_depsgraph_get()
    graph.update()
    for instance in graph.object_instances:
        obj = instance.object
        # Curves and texts yield their surface as an instance of kind MESH beside themselves.
        if instance.show_self and obj.type in ("MESH", "META"):
            matrix = np.array(instance.matrix_world, dtype=np.float64)
            mesh = obj.to_mesh()
            if mesh is not None:
                yield mesh, matrix
                obj.to_mesh_clear()


def plain_mesh(mesh: Any, *, keep_polygons: bool) -> FileMesh:
    """The numbers of a Blender mesh, with a normal at each corner."""
    vertices = numbers(mesh.vertices, "co", np.float32, 3).reshape(-1, 3).astype(np.float64)
    corners = numbers(mesh.loops, "vertex_index", np.int32).astype(np.int64)
    normals = numbers(mesh.corner_normals, "vector", np.float32, 3).reshape(-1, 3).astype(np.float64)
    if keep_polygons:
        sizes = numbers(mesh.polygons, "loop_total", np.int32).astype(np.int64)
    else:
        mesh.calc_loop_triangles()
        chosen = numbers(mesh.loop_triangles, "loops", np.int32, 3)
        corners, normals, sizes = corners[chosen], normals[chosen], np.full(len(mesh.loop_triangles), 3)
        if mesh.normals_domain == "FACE":
            # Of a polygon that is not plane, a flat surface shows each triangle as it lies.
            a, b, c = np.moveaxis(vertices[corners].reshape(-1, 3, 3), 1, 0)
            normals = np.repeat(_unit(np.cross(b - a, c - a)), 3, axis=0)
    return FileMesh(vertices, corners, sizes, normals, single_precision=True)


def placed(mesh: FileMesh, matrix: NDArray[np.float64]) -> FileMesh:
    """The mesh moved by a matrix [4, 4]; one that is mirrored keeps its outside."""
    linear = matrix[:3, :3]
    order = np.arange(len(mesh.corners))
    # The cofactors turn normals as the inverse transposed does, and flat objects have them too.
    cofactors = np.stack([np.cross(linear[(i + 1) % 3], linear[(i + 2) % 3]) for i in range(3)])
    if np.linalg.det(linear) < 0.0:
        order, cofactors = reversed_faces(mesh.face_sizes), -cofactors
    normals = mesh.normals
    if normals is not None:
        normals = _unit(normals[order] @ cofactors.T)
    vertices = mesh.vertices @ linear.T + matrix[:3, 3]
    return replace(mesh, vertices=vertices, corners=mesh.corners[order], normals=normals)


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float64] = vectors / np.where(lengths > 0.0, lengths, 1.0)
    return unit


def reversed_faces(face_sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers of all corners, those of each face in reverse order."""
    ends = np.cumsum(face_sizes)
    starts = ends - face_sizes
    order: NDArray[np.int64] = np.repeat(starts + ends - 1, face_sizes) - np.arange(face_sizes.sum())
    return order


def _joined(parts: list[FileMesh], *, with_normals: bool) -> FileMesh:
    first = np.cumsum([0, *(len(part.vertices) for part in parts)])
    corners = [part.corners + start for part, start in zip(parts, first, strict=False)]
    normals = [part.normals for part in parts if part.normals is not None]
    return FileMesh(
        np.concatenate([np.zeros((0, 3)), *(part.vertices for part in parts)]),
        np.concatenate([np.zeros(0, dtype=np.int64), *corners]),
        np.concatenate([np.zeros(0, dtype=np.int64), *(part.face_sizes for part in parts)]),
        np.concatenate(normals) if with_normals else None,
        single_precision=True,
    )


def numbers(collection: Any, attribute: str, dtype: Any, per_item: int = 1) -> NDArray[Any]:
    """One attribute of all items of a collection of Blender."""
    values = np.empty(len(collection) * per_item, dtype=dtype)
    collection.foreach_get(attribute, values)
    return values
