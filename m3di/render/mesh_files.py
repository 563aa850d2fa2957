"""Reads mesh files, each in a worker process of its own: what a file holds can crash or hang nothing else.

Nothing in a file is executed. A `.blend` is not opened: only the one mesh is appended from it, with auto-run off, and
its numbers are read without evaluating anything, so that scripts and drivers stay text. Other formats are read by
trimesh from the bytes of the one file: materials and files that it refers to are not looked for.
"""

from __future__ import annotations

from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m3di.errors import M3diError, UsageError, near_match
from m3di.interruption import without_ctrl_c
from m3di.render.spawning import SPAWN

FORMATS = (".blend", ".obj", ".ply", ".stl", ".glb")
MAX_BYTES = 1 << 30
READ_TIMEOUT_S = 300


@dataclass(frozen=True)
class FileMesh:
    """A mesh as a file has it.

    Attributes:
        vertices: float64 [V, 3].
        corners: Vertex number of each corner, face by face; int64 [C].
        face_sizes: Number of corners of each face; int64 [F].
        normals: Normal at each corner where the file sets them by hand, float64 [C, 3].
    """

    vertices: NDArray[np.float64]
    corners: NDArray[np.int64]
    face_sizes: NDArray[np.int64]
    normals: NDArray[np.float64] | None = None


def check_file(path: Path) -> None:
    """Raise unless this is a file that may hold a mesh.

    Raises:
        UsageError: There is no such file, or it is of no known format.
        M3diError: It is empty, or too large.
    """
    formats = ", ".join(FORMATS)
    if path.is_dir():
        raise UsageError("this is a folder", where=str(path), expected=f"a mesh file ({formats})")
    if not path.is_file():
        raise UsageError("there is no such file", where=str(path), expected=f"a mesh file ({formats})")
    if path.suffix.lower() not in FORMATS:
        raise UsageError(
            "this is no mesh file that can be read",
            where=str(path),
            got=path.suffix or "a name without an extension",
            expected=formats,
            next_step="open it in the program that made it, and export it as .glb or .obj",
        )
    n_bytes = path.stat().st_size
    if n_bytes == 0:
        raise M3diError("the file is empty", where=str(path), got="0 bytes", expected="a mesh")
    if n_bytes > MAX_BYTES:
        raise M3diError(
            "the file is too large",
            where=str(path),
            got=f"{n_bytes:,} bytes",
            expected=f"at most {MAX_BYTES:,}",
            next_step="reduce the mesh, for example with Blender's modifier Decimate",
        )


def read_mesh(path: Path, mesh_name: str | None = None, *, triangles: bool = True) -> FileMesh:
    """The mesh in a file.

    Args:
        path: A file of one of `FORMATS`.
        mesh_name: Which mesh of a `.blend` with several.
        triangles: Split polygons with more corners.

    Raises:
        UsageError: A `.blend` has no such mesh, or several and none is named.
        M3diError: The file cannot be read as what its name says.
    """
    import pebble

    check_file(path)
    try:
        # Spawned, so that it starts without anything that this process has opened or set.
        with pebble.ProcessPool(max_workers=1, context=SPAWN) as pool:
            with without_ctrl_c():
                future = pool.schedule(_read, args=[path, mesh_name, triangles], timeout=READ_TIMEOUT_S)
            return future.result()
    except (pebble.ProcessExpired, FutureTimeoutError) as error:
        raise _unreadable(path, f"reading it ended the worker process: {error}") from None


def _read(path: Path, mesh_name: str | None, triangles: bool) -> FileMesh:
    """In the worker."""
    if path.suffix.lower() == ".blend":
        return _read_blend(path, mesh_name, triangles)
    return _read_with_trimesh(path)


def _read_blend(path: Path, mesh_name: str | None, triangles: bool) -> FileMesh:
    import bpy

    from m3di.render.blender_session import quiet

    bpy.context.preferences.filepaths.use_scripts_auto_execute = False
    with quiet():
        try:
            with bpy.data.libraries.load(str(path), link=False) as (found, appended):
                names = list(found.meshes)
                appended.meshes = [_chosen(path, names, mesh_name)]
        except (OSError, RuntimeError) as error:
            raise _unreadable(path, error) from None
    mesh = appended.meshes[0]
    if mesh is None:
        raise _unreadable(path, "a mesh that is listed but not there")
    normals = None
    if triangles:
        mesh.calc_loop_triangles()
        corners = _numbers(mesh.loop_triangles, "vertices", np.int32, 3)
        sizes = np.full(len(mesh.loop_triangles), 3)
    else:
        corners, sizes = _numbers(mesh.loops, "vertex_index", np.int32), _numbers(mesh.polygons, "loop_total", np.int32)
        if mesh.has_custom_normals:
            normals = _numbers(mesh.corner_normals, "vector", np.float32, 3).reshape(-1, 3).astype(np.float64)
    vertices = _numbers(mesh.vertices, "co", np.float32, 3).reshape(-1, 3).astype(np.float64)
    return FileMesh(vertices, corners.astype(np.int64), sizes.astype(np.int64), normals)


def _chosen(path: Path, names: list[str], mesh_name: str | None) -> str:
    if mesh_name is None and len(names) == 1:
        return names[0]
    if mesh_name in names:
        return str(mesh_name)
    if not names:
        raise M3diError("the file holds no mesh", where=str(path), expected="one mesh or more")
    near = near_match(mesh_name, names) if mesh_name else None
    raise UsageError(
        f"the file holds no mesh called {mesh_name!r}" if mesh_name else "the file holds several meshes",
        where=str(path),
        got=", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else ""),
        next_step=f"did you mean --mesh {near!r}?" if near else "choose one with --mesh NAME",
    )


def _numbers(collection: Any, attribute: str, dtype: Any, per_item: int = 1) -> NDArray[Any]:
    values = np.empty(len(collection) * per_item, dtype=dtype)
    collection.foreach_get(attribute, values)
    return values


def _read_with_trimesh(path: Path) -> FileMesh:
    import trimesh

    try:
        with path.open("rb") as stream:
            scene = trimesh.load_scene(stream, file_type=path.suffix[1:].lower(), process=False, skip_materials=True)
        meshes = [each for each in scene.dump() if isinstance(each, trimesh.Trimesh)]
    except Exception as error:  # noqa: BLE001 - a damaged file makes trimesh raise nearly anything
        raise _unreadable(path, f"{type(error).__name__}: {error}") from None
    first = np.cumsum([0, *(len(each.vertices) for each in meshes)])
    faces = [np.asarray(each.faces, dtype=np.int64) + start for each, start in zip(meshes, first, strict=False)]
    corners = np.concatenate([np.zeros((0, 3), dtype=np.int64), *faces])
    vertices = np.concatenate([np.zeros((0, 3)), *(np.asarray(each.vertices, dtype=np.float64) for each in meshes)])
    return FileMesh(vertices, corners.ravel(), np.full(len(corners), 3))


def _unreadable(path: Path, got: object) -> M3diError:
    return M3diError(
        f"the file cannot be read as {path.suffix.lower()}",
        where=str(path),
        got=" ".join(str(got).split()),
        expected="a whole file that Blender opens",
        next_step="open it in Blender, save it again, and import the copy",
    )
