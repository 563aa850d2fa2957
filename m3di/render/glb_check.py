"""Does a `.glb` hold all that it needs? One that names other files would have any reader open them."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from m3di.errors import M3diError

MAX_HEAD = 64 << 20
_HEAD = struct.Struct("<4sIII4s")  # magic, version, length, length of the first chunk, its type


def check_alone(path: Path) -> None:
    """Raise unless a `.glb` refers to no other file.

    Raises:
        M3diError: It names one, or it is no `.glb`.
    """
    try:
        document = _document(path)
        entries = [entry for part in ("buffers", "images") for entry in document.get(part, [])]
        named = [entry["uri"] for entry in entries if "uri" in entry]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error, OSError) as error:
        raise M3diError(
            "the file cannot be read as .glb",
            where=str(path),
            got=f"{type(error).__name__}: {error}"[:200],
            expected="a glTF 2.0 binary file",
            next_step="open it in Blender, and export it as .glb",
        ) from None
    other = next((uri for uri in named if not str(uri).startswith("data:")), None)
    if other is not None:
        raise M3diError(
            "the mesh refers to another file: it is refused",
            where=str(path),
            got=repr(other)[:200],
            expected="a .glb with everything in it",
            next_step="open it in Blender, and export it as .glb",
        )


def _document(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        magic, version, _, n_bytes, kind = _HEAD.unpack(stream.read(_HEAD.size))
        if (magic, version, kind) != (b"glTF", 2, b"JSON") or n_bytes > min(MAX_HEAD, path.stat().st_size):
            raise ValueError("no head of a glTF 2.0 binary file")
        document: dict[str, Any] = json.loads(stream.read(n_bytes))
    return document
