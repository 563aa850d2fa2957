"""Fill a folder under a temporary name and rename it at the end: one of a killed process never looks whole.

data/mine.partial/       while it is written
data/mine.partial.lock   names the writer; tells that m3di may remove what a killed process left
data/mine/               once all files are there, and on the disk
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from m3di.data.format.manifest import MANIFEST
from m3di.errors import DiskError, M3diError
from m3di.system.disk import disk_errors
from m3di.system.files import PARTIAL, partial_of, publish
from m3di.system.lock import hold_folder

WRITING = "another process is writing this folder"


@contextlib.contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """Fill a folder under a temporary name; it gets its own at the end of the block, in one step.

    What a killed process left is removed first. If the block raises, nothing stays.

    Args:
        out: A new or empty folder.

    Returns:
        The folder to fill: it is there, and empty.

    Raises:
        M3diError: `out` is not empty or cannot be replaced, another process is writing it, there is a folder of the
            other name that is not ours, or the disk refuses.
    """
    out = out.resolve()
    partial, lock = partial_of(out), f"{out.name}{PARTIAL}.lock"
    check_empty(out)
    _check_replaceable(out)
    if os.path.lexists(partial) and not (out.parent / lock).exists():
        raise M3diError(
            "a folder is in the way",
            where=str(partial),
            got="a folder or file that m3di did not write",
            expected=f"none: {out.name} has this name while it is written",
            next_step="rename or remove it, or choose another --out",
        )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DiskError(
            "the folder cannot be written",
            where=str(out),
            got=error.strerror,
            expected="a path whose folders can be made",
            next_step="choose another folder",
        ) from error
    with hold_folder(out.parent, lock, WRITING), disk_errors(out, "a file cannot be read or written", kept=False):
        check_empty(out)  # another process may have been quicker
        _remove(partial)
        partial.mkdir()
        try:
            yield partial
            if out.exists():
                shutil.copymode(out, partial)
                out.rmdir()
            publish(partial, out)
        finally:
            _remove(partial)


def check_empty(root: Path) -> None:
    """Check that a folder is new or empty; else raise M3diError."""
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise M3diError(
            "the output folder is not empty" if root.is_dir() else "the output folder is no folder",
            where=str(root),
            expected=f"a new or an empty folder, without a {MANIFEST}",
            next_step="choose another folder",
        )


def _check_replaceable(out: Path) -> None:
    """Check that a folder can be replaced by the whole one."""
    got = "the current folder" if out == Path.cwd() else "a place where a disk is mounted" if out.is_mount() else None
    if got:
        raise M3diError(
            "the output folder cannot be replaced by the whole one at the end",
            where=str(out),
            got=got,
            expected="a folder that is new, or empty and free to be replaced",
            next_step=f"choose a new folder in it, such as {out / 'data'}",
        )


def _remove(partial: Path) -> None:
    if partial.is_symlink() or partial.is_file():
        partial.unlink()
    elif partial.exists():
        shutil.rmtree(partial)
