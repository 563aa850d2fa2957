"""The folder for the temporary files of workers: removed after its run, even one that was killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
import time
from pathlib import Path

from m3di.system.lock import take_kernel_lock

PREFIX = "m3di-render-"
OWNER = "owner"
UNOWNED_S = 3600.0
"""A folder without an owner is one that is just being made, unless it is older."""
MEMORY = Path("/dev/shm")


class Scratch:
    """A folder that only this user can read, for as long as this object is open.

    The kernel keeps a lock on a file in it for this process, and lets go when the process ends: so the next run finds
    the folders of runs that were killed with all their workers, and removes them.
    """

    def __init__(self) -> None:
        # On a memory file system where there is one: what Blender renders is written and read back at once.
        base = MEMORY if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) else Path(tempfile.gettempdir())
        remove_abandoned(base)
        self._folder = tempfile.TemporaryDirectory(prefix=PREFIX, dir=base, ignore_cleanup_errors=True)
        self.name = self._folder.name
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
        self._owner = os.open(Path(self.name) / OWNER, flags, 0o600)
        take_kernel_lock(self._owner)

    def close(self) -> None:
        """Remove the folder; a second time does nothing."""
        if self._owner >= 0:
            os.close(self._owner)
            self._owner = -1
        self._folder.cleanup()


def remove_abandoned(base: Path) -> None:
    """Remove the folders of runs of this user that are over."""
    if not hasattr(os, "getuid"):  # Windows: no user to compare, and no lock to ask
        return
    for folder in base.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # another run removes it at this moment, or it belongs to another user
            found = folder.lstat()
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and _is_abandoned(folder, found.st_mtime):
                shutil.rmtree(folder, ignore_errors=True)


def _is_abandoned(folder: Path, modified: float) -> bool:
    try:
        owner = os.open(folder / OWNER, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return time.time() - modified > UNOWNED_S
    try:
        return take_kernel_lock(owner) is True
    finally:
        os.close(owner)
