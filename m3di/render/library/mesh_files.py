"""Reads mesh files, each in a worker process of its own: what a file holds can crash or hang nothing else.

Nothing in a file is executed, and no file is looked for that it names; `mesh_reading` says how for each format.
"""

from __future__ import annotations

import contextlib
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from m3di.errors import M3diError, UsageError
from m3di.render.environment import prepare_blender
from m3di.render.library.user_shapes import KeptObject
from m3di.render.scratch import Scratch
from m3di.render.spawning import SPAWN
from m3di.system.signals import without_ctrl_c

FORMATS = (".blend", ".obj", ".ply", ".stl", ".glb", ".gltf", ".zip")
OTHER_FORMATS = (".fbx", ".usd", ".usda", ".usdc", ".usdz", ".abc", ".dae", ".3ds", ".x3d", ".off", ".step", ".stp")
"""Known, but not read: they name other files, or Blender has no importer for them."""
MAX_BYTES = 1 << 30
READ_TIMEOUT_S = 300


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
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise UsageError(
            f"{suffix} is a format that m3di does not read"
            if suffix in OTHER_FORMATS
            else "this is no mesh file that can be read",
            where=str(path),
            got=path.suffix or "a name without an extension",
            expected=formats,
            next_step="open it in Blender, or in the program that made it, and export it as .glb or .obj",
        )
    n_bytes = path.stat().st_size
    if n_bytes == 0:
        raise M3diError("the file is empty", where=str(path), got="0 bytes", expected="a mesh")
    if n_bytes > MAX_BYTES:
        raise too_large(path, n_bytes)


def too_large(where: object, n_bytes: int) -> M3diError:
    """The error for a file of more than `MAX_BYTES`."""
    return M3diError(
        "the file is too large",
        where=str(where),
        got=f"{n_bytes:,} bytes",
        expected=f"at most {MAX_BYTES:,}",
        next_step="reduce the mesh, for example with Blender's modifier Decimate",
    )


def read_mesh(path: Path, mesh_name: str | None = None, *, as_is: bool = False) -> FileMesh:
    """The mesh in a file.

    Args:
        path: A file of one of `FORMATS`.
        mesh_name: Which object, or mesh, of a file with several.
        as_is: Polygons stay whole, and of a `.blend` one object is taken without its place and rotation, its scale
            apart; else polygons are split into triangles, and all objects are taken as they stand in the world.

    Raises:
        UsageError: The file has no such mesh, or several, out of which one must be named.
        M3diError: The file cannot be read as what its name says.
    """
    import pebble

    from m3di.render.library.mesh_reading import MAX_MEMORY_BYTES, read_in_worker, unreadable

    check_file(path)
    try:
        # Spawned, so that it starts without anything that this process has opened or set.
        with contextlib.closing(Scratch()) as scratch:
            first = (Path(scratch.name) / "reader",)
            with pebble.ProcessPool(1, context=SPAWN, initializer=prepare_blender, initargs=first) as pool:
                with without_ctrl_c():
                    future = pool.schedule(read_in_worker, args=[path, mesh_name, as_is], timeout=READ_TIMEOUT_S)
                found: FileMesh = future.result()
    except FutureTimeoutError:
        raise unreadable(path, f"reading it took more than {READ_TIMEOUT_S} s, and was ended") from None
    except pebble.ProcessExpired as error:
        cause = f"damaged, or in need of more than {MAX_MEMORY_BYTES >> 30} GiB of memory"
        raise unreadable(path, f"reading it ended the worker process ({error}): it is {cause}") from None
    return found
