"""Reads mesh files, each in a worker process of its own: what a file holds can crash or hang nothing else.

Nothing in a file is executed, and no file is looked for that it names; `mesh_reading` says how for each format.
"""

from __future__ import annotations

import contextlib
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path

from m3di.errors import M3diError, UsageError
from m3di.render.environment import prepare_blender
from m3di.render.library.file_mesh import FORMATS, MAX_BYTES, OTHER_FORMATS, FileMesh, too_large, unreadable
from m3di.render.scratch import Scratch
from m3di.render.spawning import SPAWN
from m3di.system.signals import without_ctrl_c

READ_TIMEOUT_S = 300


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

    from m3di.render.library.mesh_reading import MAX_MEMORY_BYTES, read_in_worker

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
