"""Meshes of the user: from a file into their data folder, cleaned or as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from m3di.errors import M3diError, UsageError
from m3di.render.mesh_files import FileMesh, check_file, read_mesh
from m3di.render.scene import LONGEST_SIDE
from m3di.render.user_shapes import UserMesh, UserShape, check_name, find_shapes, store_user_meshes

MAX_FACES = 1_000_000
MAX_SIDE = 1e6
MAX_SIDE_AS_IS = 100.0
_MERGE = 1e-6  # of the longest side: what exporters split, and nothing that shows
_AXES = {"X": (1, 0, 0), "Y": (0, 1, 0), "Z": (0, 0, 1), "-X": (-1, 0, 0), "-Y": (0, -1, 0), "-Z": (0, 0, -1)}
_Y_UP = (".obj", ".glb")


@dataclass(frozen=True)
class ImportOptions:
    """How a mesh is taken over.

    Attributes:
        up: Axis of the file that points up; None: as is usual for its format, Y in .obj and .glb, else Z.
        forward: Axis of the file that the front faces; None: Z in .obj and .glb, else -Y.
        as_is: Keep origin, size and polygons, and the axes too unless they are given.
        mesh: Which mesh of a `.blend` with several.
        replace: Replace a mesh of the user that has the name already.
    """

    up: str | None = None
    forward: str | None = None
    as_is: bool = False
    mesh: str | None = None
    replace: bool = False


def import_shape(path: Path, name: str, options: ImportOptions = ImportOptions()) -> UserShape:
    """Take a mesh from a file into the user's data folder, where specs find it by name.

    Unless `as_is`: vertices in one place are merged, faces without area and vertices without faces are dropped, the
    mesh is turned to our axes (z up, front +x), centred on its bounding box and scaled to the common size.

    Raises:
        UsageError: No such file or format, a name that cannot be, or axes that do not fit together.
        M3diError: The file or its mesh is unusable. Nothing is stored then.
    """
    check_name(name, replace=options.replace)
    check_file(path)
    turn = _turn(path, options)
    found = read_mesh(path, options.mesh, triangles=not options.as_is)
    store_user_meshes({name: usable_mesh(found, path, turn, as_is=options.as_is)})
    return find_shapes([name], where="--name")[0]


def usable_mesh(found: FileMesh, path: Path, turn: NDArray[np.float64], *, as_is: bool) -> UserMesh:
    """The mesh that is stored for a mesh found in a file.

    Raises:
        M3diError: It cannot be rendered.
    """
    _check(found, path, MAX_SIDE_AS_IS if as_is else MAX_SIDE)
    vertices = found.vertices @ turn.T
    normals = found.normals @ turn.T if found.normals is not None else None
    corners, sizes = found.corners, found.face_sizes
    if not as_is:
        vertices, triangles = _clean(vertices, corners.reshape(-1, 3))
        if not len(triangles):
            raise M3diError("no face of the mesh has an area", where=str(path), got=f"{len(sizes)} faces without area")
        low, high = vertices.min(axis=0), vertices.max(axis=0)
        vertices = (vertices - 0.5 * (low + high)) * (LONGEST_SIDE / (high - low).max())
        corners, sizes, normals = triangles.ravel(), np.full(len(triangles), 3), None
    return UserMesh(
        vertices=vertices.astype(np.float32),
        corners=corners.astype(np.int32),
        face_sizes=sizes.astype(np.int32),
        normals=None if normals is None else normals.astype(np.float32),
        source=path.name,
    )


def _turn(path: Path, options: ImportOptions) -> NDArray[np.float64]:
    """The rotation [3, 3] from the file's axes to ours."""
    if options.as_is and options.up is None and options.forward is None:
        return np.eye(3)
    y_up = path.suffix.lower() in _Y_UP
    up = options.up or ("Y" if y_up else "Z")
    forward = options.forward or ("Z" if y_up else "-Y")
    if up[-1] == forward[-1]:
        raise UsageError(
            "up and forward lie on one axis",
            where="--up, --forward",
            got=f"up {up}, forward {forward}",
            expected="two different axes out of X, Y, Z, each perhaps with -",
        )
    x, z = np.array(_AXES[forward], dtype=float), np.array(_AXES[up], dtype=float)
    return np.stack([x, np.cross(z, x), z])


def _check(found: FileMesh, path: Path, max_side: float) -> None:
    def unusable(what: str, got: str, expected: str, next_step: str | None = None) -> M3diError:
        return M3diError(what, where=str(path), got=got, expected=expected, next_step=next_step)

    n_vertices, n_faces = len(found.vertices), len(found.face_sizes)
    if n_faces == 0:
        raise unusable("the mesh has no faces", f"{n_vertices} vertices, 0 faces", "a surface: one face or more")
    if n_faces > MAX_FACES:
        raise unusable(
            "the mesh has too many faces",
            f"{n_faces:,}",
            f"at most {MAX_FACES:,}",
            "reduce it, for example with Blender's modifier Decimate",
        )
    if found.corners.min() < 0 or found.corners.max() >= n_vertices:
        raise unusable("the mesh has faces that do not fit its vertices", f"{n_vertices} vertices", "numbers of those")
    n_bad = int((~np.isfinite(found.vertices).all(axis=1)).sum())
    if n_bad:
        raise unusable(
            "the mesh has coordinates that are no finite numbers",
            f"{n_bad} of {n_vertices} vertices with NaN or infinity",
            "finite coordinates",
        )
    used = found.vertices[np.unique(found.corners)]
    side = float(np.ptp(used, axis=0).max())
    if not 0.0 < side <= max_side or np.abs(used).max() > max_side:
        raise unusable(
            "the mesh has no extent" if side == 0.0 else "the mesh is gigantic",
            f"longest side {side:.3g}, farthest coordinate {np.abs(used).max():.3g}",
            f"more than 0, at most {max_side:g}",
            None if side == 0.0 else "scale it down in the program that made it, or import it without --as-is",
        )


def _clean(vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Merge vertices, drop faces without area, twin faces and vertices without faces; turn a closed mesh outwards."""
    vertices, faces = _compact(vertices, faces)
    grid = np.rint((vertices - vertices.min(axis=0)) / (_MERGE * np.ptp(vertices, axis=0).max())).astype(np.int64)
    _, first, merged = np.unique(grid, axis=0, return_index=True, return_inverse=True)
    vertices, faces = vertices[first], merged.reshape(-1)[faces]
    a, b, c = np.moveaxis(vertices[faces], 1, 0)
    faces = faces[np.linalg.norm(np.cross(b - a, c - a), axis=1) > 0.0]
    _, first = np.unique(np.sort(faces, axis=1), axis=0, return_index=True)
    faces = faces[np.sort(first)]
    if not len(faces):
        return vertices, faces
    vertices, faces = _compact(vertices, faces)
    a, b, c = np.moveaxis(vertices[faces], 1, 0)
    if _is_closed(faces) and (np.cross(a, b) * c).sum() < 0.0:
        faces = faces[:, ::-1]
    return vertices, faces


def _compact(vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    used, numbers = np.unique(faces, return_inverse=True)
    return vertices[used], numbers.reshape(faces.shape)


def _is_closed(faces: NDArray[np.int64]) -> bool:
    edges = faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    forward = np.unique(edges, axis=0)
    return len(forward) == len(edges) and np.array_equal(forward, np.unique(edges[:, ::-1], axis=0))


def import_many(paths: Mapping[str, Path], *, source: str) -> list[UserShape]:
    """Take several files over as they are: all of them or, where one is unusable, none.

    Raises:
        M3diError: A file or its mesh is unusable.
    """
    meshes = {}
    for name, path in paths.items():
        mesh = usable_mesh(read_mesh(path, triangles=False), path, np.eye(3), as_is=True)
        meshes[name] = UserMesh(mesh.vertices, mesh.corners, mesh.face_sizes, mesh.normals, source)
    store_user_meshes(meshes)
    stored = {shape.name: shape for shape in find_shapes(paths, where=source)}
    return [stored[name] for name in paths]
