"""What a mesh file can be, and the mesh that is read from one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from m3di.errors import DataError, M3diError
from m3di.render.library.user_shapes import KeptObject

FORMATS = (".blend", ".obj", ".ply", ".stl", ".glb", ".gltf", ".zip")
OTHER_FORMATS = (".fbx", ".usd", ".usda", ".usdc", ".usdz", ".abc", ".dae", ".3ds", ".x3d", ".off", ".step", ".stp")
"""Known, but not read: they name other files, or Blender has no importer for them."""
MAX_BYTES = 1 << 30


@dataclass(frozen=True)
class FileMesh:
    """A mesh as a file has it.

    Attributes:
        vertices: float64 [V, 3].
        corners: Vertex number of each corner, face by face; int64 [C].
        face_sizes: Number of corners of each face; int64 [F].
        normals: Normal at each corner, float64 [C, 3]; None where the file leaves the shading open.
        kept: What its object adds, of an object of a `.blend` that is taken as it is.
        single_precision: The file keeps coordinates as 32-bit floats.
        notes: What the user should know about how it was read.
        format: Ending of the file's name, `.obj` for example; of a `.zip`, that of the file in it.
    """

    vertices: NDArray[np.float64]
    corners: NDArray[np.int64]
    face_sizes: NDArray[np.int64]
    normals: NDArray[np.float64] | None = None
    kept: KeptObject | None = None
    single_precision: bool = False
    notes: tuple[str, ...] = ()
    format: str = ""


def too_large(where: object, n_bytes: int) -> M3diError:
    """The error for a file of more than `MAX_BYTES`."""
    return DataError(
        "the file is too large",
        where=str(where),
        got=f"{n_bytes:,} bytes",
        expected=f"at most {MAX_BYTES:,}",
        next_step="reduce the mesh, for example with Blender's modifier Decimate",
    )


def unreadable(path: Path, got: object) -> M3diError:
    """The error for a file that is not what its name says."""
    return DataError(
        f"the file cannot be read as {path.suffix.lower()}",
        where=str(path),
        got=" ".join(str(got).split()),
        expected="a whole file of this format",
        next_step="if Blender opens it, save it there and import the copy; else export it again from where it was made",
    )
