"""Files that are either as they were before or complete, and a folder that one process at a time works in."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from m3di.errors import DataError, M3diError

try:
    import fcntl
except ModuleNotFoundError:  # Windows: two processes in one run folder are not noticed there
    fcntl = None  # type: ignore[assignment]


def write_through(path: Path, text: str) -> None:
    """Write a text file: on disk first, then under its name."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
    replace_through(partial, path)


def replace_through(partial: Path, path: Path) -> None:
    """Give a complete file its final name, once its bytes are on disk."""
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object, making the folder; the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_through(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object in a file.

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


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on disk."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a folder for this process.

    Raises:
        M3diError: Another process holds it.
    """
    if fcntl is None:
        yield
        return
    with (folder / ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise M3diError(
                "another process is training in this folder",
                where=str(folder),
                next_step="wait for it, or choose another run folder",
            ) from error
        yield


def is_held(folder: Path) -> bool:
    """Whether another process, or another part of this one, holds a folder."""
    try:
        with held(folder):
            return False
    except M3diError:
        return True
