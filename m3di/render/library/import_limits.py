"""How large a mesh may be."""

from __future__ import annotations

from pathlib import Path

from m3di.errors import M3diError

MAX_FACES = 1_000_000
MAX_SIDE = 1e6
MAX_SIDE_AS_IS = 100.0


def too_many_faces(path: Path, got: str) -> M3diError:
    """The error for a mesh of more than `MAX_FACES`."""
    return M3diError(
        "the mesh has too many faces",
        where=str(path),
        got=got,
        expected=f"at most {MAX_FACES:,}",
        next_step="reduce it, for example with Blender's modifier Decimate",
    )
