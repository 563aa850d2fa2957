"""Meshes of the user: kept in the user's data folder, found by name before the built-in shapes.

`NAME.npz` holds `vertices`, `corners`, `face_sizes` and `source`, and perhaps `normals` and what an object adds: plain
arrays, read without pickle, so that a file from elsewhere can do no more than be refused.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m3di import latents
from m3di.errors import M3diError, UsageError, did_you_mean, near_match
from m3di.latents import DATA_HOME, builtin_shapes, user_shape_names
from m3di.system.files import partial_of, publish, sync_file

NO_SCALE = (1.0, 1.0, 1.0)
_N_KEPT = 3 + 1 + 6  # the numbers of a `KeptObject`
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True)
class KeptObject:
    """What an object added to its mesh, where it was kept as it is; beside the mesh, as Blender has it.

    Attributes:
        scale: Of the object; the scene multiplies it by its own. Normals and tangents follow from the mesh before.
        longest_side: Of the bounding box, scaled, as `Object.dimensions` has it: it follows the settings for viewports,
            while the mesh is that of renders.
        texture_space: Location and size of the mesh's texture space, from which tangents follow: six numbers.
        flat: Whether each face is flat, bool [F].
        sharp_edges: Vertex numbers of the edges across which faces are not smooth, int32 [E, 2].
    """

    scale: tuple[float, float, float]
    longest_side: float
    texture_space: tuple[float, ...]
    flat: NDArray[np.bool_]
    sharp_edges: NDArray[np.int32]

    def turned(self, turn: NDArray[np.float64]) -> KeptObject:
        """Along other axes, which `turn` [3, 3] swaps and inverts."""
        swap = np.abs(turn)
        place, size = np.array(self.texture_space[:3]), np.array(self.texture_space[3:])
        x, y, z = (swap @ self.scale).tolist()
        return replace(self, scale=(x, y, z), texture_space=(*(turn @ place).tolist(), *(swap @ size).tolist()))

    def as_bytes(self) -> bytes:
        """All of it, for a digest."""
        numbers = np.array([*self.scale, self.longest_side, *self.texture_space], "<f8")
        return numbers.tobytes() + self.flat.tobytes() + self.sharp_edges.astype("<i4").tobytes()


@dataclass(frozen=True)
class UserMesh:
    """A mesh of polygons.

    Attributes:
        vertices: float32 [V, 3].
        corners: Vertex number of each corner, face by face; int32 [C].
        face_sizes: Number of corners of each face; int32 [F].
        normals: Normal at each corner, float32 [C, 3]; None where faces meet smoothly at any edge but a sharp one.
        source: Name of the file that it came from.
        kept: What its object added, where it was kept as it is.
    """

    vertices: NDArray[np.float32]
    corners: NDArray[np.int32]
    face_sizes: NDArray[np.int32]
    normals: NDArray[np.float32] | None
    source: str
    kept: KeptObject | None = None

    @property
    def scale(self) -> tuple[float, float, float]:
        """By which the scene multiplies the vertices, beside its own scale."""
        return self.kept.scale if self.kept else NO_SCALE

    @property
    def sha256(self) -> str:
        """Identity of what is rendered: SHA-256 over the arrays as little-endian bytes, hexadecimal."""
        digest = hashlib.sha256(
            np.array([len(self.vertices), len(self.corners), len(self.face_sizes)], "<i8").tobytes()
        )
        for array, kind in ((self.vertices, "<f4"), (self.corners, "<i4"), (self.face_sizes, "<i4")):
            digest.update(array.astype(kind).tobytes())
        if self.normals is not None:
            digest.update(self.normals.astype("<f4").tobytes())
        if self.kept is not None:
            digest.update(self.kept.as_bytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class UserShape:
    """A stored mesh: its name, its file, and the SHA-256 of the mesh in it."""

    name: str
    path: str
    sha256: str


def shape_folder() -> Path:
    """Where meshes of the user are kept; the environment variable M3DI_DATA_HOME overrides the usual data folder.

    Raises:
        M3diError: There is no such folder, since platformdirs is not installed.
    """
    folder = latents.shape_folder()
    if folder is None:
        raise M3diError(
            "there is no folder for your shapes",
            got="platformdirs is not installed",
            expected=f"platformdirs, or the environment variable {DATA_HOME}",
            next_step="pip install 'm3di[render]'",
        )
    return folder


def user_shapes() -> dict[str, UserShape]:
    """The user's meshes by name.

    Raises:
        M3diError: One of them is damaged.
    """
    return {name: _user_shape(name) for name in user_shape_names()}


def _user_shape(name: str) -> UserShape:
    path = shape_folder() / f"{name}.npz"
    return UserShape(name, str(path), load_user_mesh(path).sha256)


def find_shapes(names: Iterable[str], *, where: str) -> tuple[UserShape, ...]:
    """Those of `names` that are meshes of the user, each once, in order of name; the others are built in.

    Args:
        names: Names of shapes.
        where: What asks for them, for the message.

    Raises:
        UsageError: There is no such shape; the nearest name is suggested.
        M3diError: A mesh of the user is damaged.
    """
    imported = user_shape_names()
    known = {*builtin_shapes(), *imported}
    names = set(names)
    for name in sorted(names):
        if name not in known:
            near = near_match(name, known)
            raise UsageError(
                f"no shape is called {name!r}",
                where=where,
                expected=f"one of {', '.join(sorted(known))}",
                next_step=(f"did you mean {near!r}? " if near else "")
                + f"To use a mesh of your own: m3di shapes import FILE --name {name}",
            )
    return tuple(_user_shape(name) for name in sorted(names & {*imported}))


def load_user_mesh(path: Path) -> UserMesh:
    """Read a stored mesh.

    Raises:
        M3diError: The file is damaged, or no mesh that m3di wrote.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            mesh = UserMesh(
                vertices=_array(arrays, "vertices", np.float32, (-1, 3)),
                corners=_array(arrays, "corners", np.int32, (-1,)),
                face_sizes=_array(arrays, "face_sizes", np.int32, (-1,)),
                normals=_array(arrays, "normals", np.float32, (-1, 3)) if "normals" in arrays else None,
                source=str(arrays["source"]),
                kept=_kept(arrays),
            )
        if mesh.face_sizes.sum() != len(mesh.corners) or not 0 <= mesh.corners.min() <= mesh.corners.max() < len(
            mesh.vertices
        ):
            raise ValueError("faces that do not fit the vertices")
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise M3diError(
            "a stored mesh cannot be read",
            where=str(path),
            got=error,
            expected="a file that `m3di shapes import` wrote",
            next_step=f"m3di shapes remove {path.stem}, then import it again",
        ) from None
    return mesh


def _array(arrays: Any, name: str, dtype: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    found = arrays[name]
    if found.dtype != dtype or found.size == 0:
        raise ValueError(f"{name} is {found.dtype} {list(found.shape)}")
    return found.reshape(shape)


def _kept(arrays: Any) -> KeptObject | None:
    if "kept" not in arrays:
        return None
    x, y, z, longest_side, *texture_space = _array(arrays, "kept", np.float64, (_N_KEPT,)).tolist()
    flat = _array(arrays, "flat", np.bool_, arrays["face_sizes"].shape)
    # Not by `_array`: there may be none.
    sharp_edges = arrays["sharp_edges"].astype(np.int32, casting="safe").reshape(-1, 2)
    return KeptObject((x, y, z), longest_side, tuple(texture_space), flat, sharp_edges)


def check_name(name: str, *, replace: bool) -> None:
    """Raise unless a mesh can be stored under this name.

    Raises:
        UsageError: The name has characters that do not belong there, or is taken by another mesh of the user.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            "this cannot be the name of a shape",
            where="--name",
            got=repr(name),
            expected="a letter, then letters, digits, - or _, at most 64 in all",
        )
    if not replace and (shape_folder() / f"{name}.npz").exists():
        raise UsageError(
            f"you have a shape called {name!r} already",
            where="--name",
            got=str(shape_folder() / f"{name}.npz"),
            next_step=f"choose another name, add --replace, or first: m3di shapes remove {name}",
        )


def store_user_meshes(meshes: dict[str, UserMesh]) -> None:
    """Keep meshes under their names; all are written before the first gets its final name.

    Raises:
        M3diError: The folder cannot be written.
    """
    folder = shape_folder()
    partial = {name: partial_of(folder / f"{name}.npz") for name in meshes}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, mesh in meshes.items():
            arrays: dict[str, NDArray[Any]] = {
                "vertices": mesh.vertices,
                "corners": mesh.corners,
                "face_sizes": mesh.face_sizes,
            }
            if mesh.normals is not None:
                arrays["normals"] = mesh.normals
            if mesh.kept is not None:
                kept = mesh.kept
                arrays["kept"] = np.array([*kept.scale, kept.longest_side, *kept.texture_space], dtype=np.float64)
                arrays["flat"], arrays["sharp_edges"] = kept.flat, kept.sharp_edges
            with partial[name].open("wb") as stream:
                np.savez_compressed(stream, source=np.array(mesh.source), **arrays)
            sync_file(partial[name])
        for name in meshes:
            publish(partial[name], folder / f"{name}.npz")
    except OSError as error:
        raise M3diError(
            "the folder of your shapes cannot be written",
            where=str(folder),
            got=error.strerror or error,
            expected="a folder where you may create files",
            next_step=f"change its permissions, or set {DATA_HOME} to another folder",
        ) from None
    finally:
        for path in partial.values():
            path.unlink(missing_ok=True) if folder.is_dir() else None


def remove_user_shape(name: str) -> None:
    """Forget a mesh of the user.

    Raises:
        UsageError: There is none of this name.
    """
    path = shape_folder() / f"{name}.npz"
    if not _NAME.fullmatch(name) or not path.is_file():
        imported = user_shape_names()
        raise UsageError(
            f"you have no shape called {name!r}",
            got="a built-in shape: it stays" if name in builtin_shapes() else None,
            expected=f"one of {', '.join(imported)}" if imported else "a shape that you have imported",
            next_step=did_you_mean(name, imported),
        )
    path.unlink()
