"""Write each file or folder under a temporary name, then rename it: it is never half there."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from m3di.errors import DataError

PARTIAL = ".partial"


def partial_of(path: Path) -> Path:
    """Return the name of a file or folder while it is written."""
    return path.with_name(path.name + PARTIAL)


def open_partial(path: Path) -> IO[bytes]:
    """Open a new file for writing; remove what has its name first, so that no link leads the bytes elsewhere."""
    path.unlink(missing_ok=True)
    return path.open("xb")


def publish(partial: Path, path: Path) -> None:
    """Give a finished file or folder its final name: first sync its bytes, then rename it, then sync the name."""
    if partial.is_dir():
        _sync_below(partial)
    else:
        sync_file(partial)
    partial.replace(path)
    sync_folder(path.parent)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, sync it, and rename it."""
    partial = partial_of(path)
    with open_partial(partial) as stream:
        stream.write(content)
    publish(partial, path)


def plain_name(text: str) -> str:
    """Make a part of a file name: letters, digits, `.`, `_` and `-`. A minus stays one: `x=-0.5` is `x-minus-0.5`."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", text.replace("=-", "=minus-")).strip("-")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object, and make its folder; the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file.

    Raises:
        M3diError: It holds none.
    """
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path.name} is not JSON", where=str(path), got=error) from error
    if not isinstance(stored, dict):
        raise DataError(f"{path.name} is not a JSON object", where=str(path), got=type(stored).__name__)
    return stored


def sync_file(path: Path) -> None:
    """Sync the bytes of a file to disk."""
    _sync(path, os.O_RDWR)  # Windows syncs only what can be written


def sync_folder(folder: Path) -> None:
    """Sync the names in a folder to disk."""
    if os.name == "posix":
        _sync(folder, os.O_RDONLY)


def _sync_below(folder: Path) -> None:
    """Sync all files below a folder, and their names: a power loss leaves no holes in it."""
    for here, _, names in os.walk(folder):
        for name in names:
            sync_file(Path(here) / name)
        sync_folder(Path(here))


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
