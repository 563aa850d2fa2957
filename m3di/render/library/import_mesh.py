"""Imports a user's mesh from a file into the data folder, cleaned or as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from m3di.errors import M3diError, UsageError
from m3di.render.library.file_mesh import FileMesh
from m3di.render.library.import_limits import MAX_FACES, MAX_SIDE, MAX_SIDE_AS_IS, too_many_faces
from m3di.render.library.mesh_cleaning import Triangles, clean
from m3di.render.library.mesh_files import check_file, read_mesh
from m3di.render.library.mesh_notes import lost_decimals, notes_on
from m3di.render.library.user_shapes import NO_SCALE, UserMesh, UserShape, check_name, find_shapes, store_user_meshes
from m3di.render.scene import LONGEST_SIDE

_AXES = {"X": (1, 0, 0), "Y": (0, 1, 0), "Z": (0, 0, 1), "-X": (-1, 0, 0), "-Y": (0, -1, 0), "-Z": (0, 0, -1)}
_Z_UP = (".blend", ".ply", ".stl")


@dataclass(frozen=True)
class ImportOptions:
    """How a mesh is taken over.

    Attributes:
        up: Axis of the file that points up; None: as is usual for its format, Y in .obj and .glb, else Z.
        forward: Axis of the file that the front faces; None: Z in .obj and .glb, else -Y.
        as_is: Keep origin, size and polygons, and the axes too unless they are given; of a .blend, take one object
            with its scale, but without its place and rotation.
        mesh: Which object, or mesh, of a file with several.
        replace: Replace a mesh of the user that has the name already.
        mend_winding: Turn faces that are turned against the others.
    """

    up: str | None = None
    forward: str | None = None
    as_is: bool = False
    mesh: str | None = None
    replace: bool = False
    mend_winding: bool = False


def import_shape(
    path: Path,
    name: str,
    options: ImportOptions = ImportOptions(),
    tell: Callable[[str], None] = lambda note: None,
) -> UserShape:
    """Take a mesh from a file into the user's data folder, where specs find it by name.

    Unless `as_is`: vertices in one place are merged, faces without area and vertices without faces are dropped, the
    mesh is turned to our axes (z up, front +x), centred on its bounding box and scaled to the common size.

    Args:
        path: The file.
        name: Name by which specs use it.
        options: How it is taken over.
        tell: Called with each note that the user should read about the mesh, such as that its surface is open.

    Raises:
        UsageError: No such file or format, a name that cannot be, or options that do not fit together.
        M3diError: The file or its mesh is unusable. Nothing is stored then.
    """
    check_name(name, replace=options.replace)
    check_file(path)
    if options.as_is and options.mend_winding:
        raise UsageError(
            "a mesh that is kept as it is cannot be mended",
            where="--as-is, --mend-winding",
            expected="one of the two",
        )
    axes(path.suffix, options)  # before the file is read, which takes longer
    found = read_mesh(path, options.mesh, as_is=options.as_is)
    turn = axes(found.format or path.suffix, options)
    mesh = usable_mesh(found, path, turn, as_is=options.as_is, mend_winding=options.mend_winding)
    store_user_meshes({name: mesh})
    for note in (*found.notes, *lost_decimals(found), *notes_on(mesh, as_is=options.as_is)):
        tell(note)
    return find_shapes([name], where="--name")[0]


def usable_mesh(
    found: FileMesh, path: Path, turn: NDArray[np.float64], *, as_is: bool, mend_winding: bool = False
) -> UserMesh:
    """The mesh that is stored for a mesh found in a file.

    Raises:
        M3diError: It cannot be rendered.
    """
    _check(found, path, as_is=as_is)
    vertices = found.vertices @ turn.T
    normals = found.normals @ turn.T if found.normals is not None else None
    corners, sizes = found.corners, found.face_sizes
    if not as_is:
        triangles = Triangles(vertices, corners.reshape(-1, 3), None if normals is None else normals.reshape(-1, 3, 3))
        triangles = clean(triangles, mend_winding=mend_winding)
        if not len(triangles.faces):
            raise M3diError("no face of the mesh has an area", where=str(path), got=f"{len(sizes)} faces without area")
        vertices, corners, sizes = triangles.vertices, triangles.faces.ravel(), np.full(len(triangles.faces), 3)
        normals = None if triangles.normals is None else triangles.normals.reshape(-1, 3)
        low, high = vertices.min(axis=0), vertices.max(axis=0)
        vertices = (vertices - 0.5 * (low + high)) * (LONGEST_SIDE / (high - low).max())
    return UserMesh(
        vertices=vertices.astype(np.float32),
        corners=corners.astype(np.int32),
        face_sizes=sizes.astype(np.int32),
        normals=None if normals is None else normals.astype(np.float32),
        source=path.name,
        kept=None if found.kept is None else found.kept.turned(turn),
    )


def axes(suffix: str, options: ImportOptions) -> NDArray[np.float64]:
    """The rotation [3, 3] from the axes of a file to ours.

    Raises:
        UsageError: Two axes that are one.
    """
    if options.as_is and options.up is None and options.forward is None:
        return np.eye(3)
    y_up = suffix.lower() not in _Z_UP
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


def _check(found: FileMesh, path: Path, *, as_is: bool) -> None:
    def unusable(what: str, got: str, expected: str, next_step: str | None = None) -> M3diError:
        return M3diError(what, where=str(path), got=got, expected=expected, next_step=next_step)

    n_vertices, n_faces = len(found.vertices), len(found.face_sizes)
    if n_faces == 0:
        raise unusable("the mesh has no faces", f"{n_vertices} vertices, 0 faces", "a surface: one face or more")
    if n_faces > MAX_FACES:
        raise too_many_faces(path, f"{n_faces:,}")
    if found.corners.min() < 0 or found.corners.max() >= n_vertices:
        raise unusable("the mesh has faces that do not fit its vertices", f"{n_vertices} vertices", "numbers of those")
    n_bad = int((~np.isfinite(found.vertices).all(axis=1)).sum())
    if n_bad:
        raise unusable(
            "the mesh has coordinates that are no finite numbers",
            f"{n_bad} of {n_vertices} vertices with NaN or infinity",
            "finite coordinates",
        )
    used = found.vertices[np.unique(found.corners)] * (found.kept.scale if found.kept else NO_SCALE)
    side, largest = float(np.ptp(used, axis=0).max()), float(np.abs(used).max())
    # Cleaned, a mesh moves to the origin; as it is, it stays where it is.
    max_side = MAX_SIDE_AS_IS if as_is else MAX_SIDE
    if not 0.0 < side <= max_side or (as_is and largest > max_side):
        raise unusable(
            "the mesh has no extent" if side == 0.0 else "the mesh is gigantic",
            f"longest side {side:.3g}, farthest coordinate {largest:.3g}",
            f"more than 0, at most {max_side:g}",
            None
            if side == 0.0
            else "scale it down in the program that made it" + (", or import it without --as-is" if as_is else ""),
        )


def import_many(paths: Mapping[str, Path], *, source: str) -> list[UserShape]:
    """Take several files over as they are: all of them or, where one is unusable, none.

    Raises:
        M3diError: A file or its mesh is unusable.
    """
    meshes = {}
    for name, path in paths.items():
        mesh = usable_mesh(read_mesh(path, as_is=True), path, np.eye(3), as_is=True)
        meshes[name] = replace(mesh, source=source)
    store_user_meshes(meshes)
    stored = {shape.name: shape for shape in find_shapes(paths, where=source)}
    return [stored[name] for name in paths]
