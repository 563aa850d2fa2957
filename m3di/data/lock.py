"""One run a folder: a lock that says who holds it, and that dies with its owner."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from m3di.data.disk import disk_errors
from m3di.errors import M3diError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK = "render.lock"
BEAT_S = 20.0
STALE_S = 300.0


@contextlib.contextmanager
def locked(folder: Path, name: str = LOCK) -> Iterator[None]:
    """Hold the lock of a folder.

    The kernel holds it for this process, and lets go when the process ends, however it ends; so a lock left on this
    machine is taken over at once. Where the file system has no such locks, or keeps them from other machines (some
    network file systems), the file's age decides: its owner touches it every 20 s, and after 5 minutes without that it
    is taken over.

    Args:
        folder: The folder, which is there.
        name: File that is the lock; runs that may work side by side have different ones.

    Raises:
        M3diError: Another process holds it; the message says which.
        OSError: The file cannot be written.
    """
    path = folder / name
    descriptor = _acquire(path)
    done = threading.Event()
    beat = threading.Thread(target=_beat, args=(path, done), daemon=True)
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(_this_process()).encode(), 0)
        beat.start()
        yield
    finally:
        done.set()
        path.unlink(missing_ok=True)
        os.close(descriptor)


@contextlib.contextmanager
def sole_run(folder: Path) -> Iterator[None]:
    """`locked`, for runs: what the disk refuses is a message, too."""
    with contextlib.ExitStack() as stack:
        with disk_errors(folder):
            stack.enter_context(locked(folder))
        yield


def _acquire(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
        try:
            is_ours = _take(descriptor)
            owner = _owner(path)
            here = owner.get("host") == socket.gethostname()
            # The kernel's word counts for this machine; for others, and without its word, the age of the file.
            is_held = not is_ours if is_ours is not None and (here or not owner) else bool(owner) and not _is_old(path)
            if is_held or is_ours is False:
                raise _refused(path, owner)
            if _is_same_file(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its owner has just removed it


def _take(descriptor: int) -> bool | None:
    """Whether the kernel gives us the lock; None where there are no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # the file system has none
        return None
    return True


def _owner(path: Path) -> dict[str, Any]:
    try:
        owner = json.loads(path.read_bytes())
    except (OSError, ValueError):  # just made, or just removed
        return {}
    return owner if isinstance(owner, dict) else {}


def _is_old(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > STALE_S
    except FileNotFoundError:
        return True


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _this_process() -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "since": datetime.now().isoformat(timespec="seconds")}


def _beat(path: Path, done: threading.Event) -> None:
    while not done.wait(BEAT_S):
        with contextlib.suppress(OSError):
            os.utime(path)


def _refused(path: Path, owner: dict[str, Any]) -> M3diError:
    who = "process {pid} on {host}, since {since}".format_map({"pid": "?", "host": "?", "since": "?", **owner})
    return M3diError(
        "another process is rendering into this folder",
        where=str(path.parent),
        got=who,
        expected="one process at a time",
        next_step=f"wait for it, or end it; if it is surely gone, delete {path}",
    )
