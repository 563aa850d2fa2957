"""Locks of folders: one names its owner, ends with its owner, and is released by its owner only."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import stat
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from m3di.errors import InterruptedRunError, M3diError
from m3di.system.disk import disk_errors

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK = "render.lock"
RENDERING = "another process is rendering into this folder"
BEAT_S = 20.0
STALE_S = 300.0
"""Fifteen beats: a busy machine, or a server that does not answer, may skip some."""
JOIN_S = 5.0
NAME_S = 2.0


class HeldError(M3diError):
    """Another process holds a folder (exit code 1)."""


class HeldLock:
    """A lock that this process holds, or has held.

    Args:
        path: Its file.
        descriptor: The same file, open.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._token = uuid.uuid4().hex
        self._is_lost = False

    def write(self) -> None:
        """Write the owner into the file."""
        owner = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": datetime.now().isoformat(timespec="seconds"),
            "token": self._token,
        }
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, json.dumps(owner).encode(), 0)

    def beat(self) -> None:
        """Show that the owner lives, or note that another process has taken the lock over."""
        token = _owner(self.path).get("token", self._token)  # unreadable, or being written: see the next beat
        if token != self._token:
            self._is_lost = True
            return
        with contextlib.suppress(OSError):  # a server that does not answer for a moment
            os.utime(self._descriptor if os.utime in os.supports_fd else self.path)

    def check(self) -> None:
        """Check that no other process has taken the lock over, as after a long standstill of this one.

        Raises:
            M3diError: One has; the message says which.
        """
        if self._is_lost:
            raise InterruptedRunError(
                "another process has taken over this folder, because this one gave no sign of life for minutes",
                where=str(self.path.parent),
                got=_named(_owner(self.path)),
                next_step="nothing finished is lost: wait for that process, or run the same command again afterwards",
            )

    def release(self) -> None:
        """Remove the lock, unless another process has taken it over."""
        with contextlib.suppress(OSError):
            if _is_same_file(self._descriptor, self.path) and _owner(self.path).get("token") == self._token:
                self.path.unlink(missing_ok=True)
        os.close(self._descriptor)


@contextlib.contextmanager
def locked(folder: Path, name: str = LOCK, what: str = RENDERING) -> Iterator[HeldLock]:
    """Hold the lock of a folder.

    The kernel releases it when the process ends, however it ends; so a lock left on this machine is taken over at
    once. Some file systems have no such locks, or hide them from other machines: there the age of the file decides.
    Its owner touches it every 20 s, and after 5 minutes without a touch it is taken over.

    Args:
        folder: The folder, which is there.
        name: File name of the lock; runs that may work side by side have different ones.
        what: The message if another process holds it.

    Raises:
        HeldError: Another process holds it; the message says which.
        OSError: The file cannot be written.
    """
    path = folder / name
    held = HeldLock(path, _acquire(path, what))
    done = threading.Event()
    beat = threading.Thread(target=_beat, args=(held, done), daemon=True)
    try:
        held.write()
        beat.start()
        yield held
    finally:
        done.set()
        if beat.is_alive():
            beat.join(JOIN_S)
        held.release()


@contextlib.contextmanager
def hold_folder(folder: Path, name: str = LOCK, what: str = RENDERING) -> Iterator[HeldLock]:
    """Hold the lock of a folder, as `locked`; errors of the disk are messages too."""
    with contextlib.ExitStack() as stack:
        with disk_errors(folder):
            held = stack.enter_context(locked(folder, name, what))
        yield held


def _acquire(path: Path, what: str) -> int:
    # Do not follow a link: it would have us write to its target.
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
    while True:
        descriptor = os.open(path, flags, 0o644)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # a pipe: to read it would wait for ever
                raise OSError(errno.EINVAL, "this is no plain file", str(path))
            is_ours = take_kernel_lock(descriptor)
            owner = _owner(path)
            here = owner.get("host") == socket.gethostname()
            # The kernel decides on this machine; else, and without kernel locks, the age of the file does.
            is_held = not is_ours if is_ours is not None and (here or not owner) else bool(owner) and not _is_old(path)
            if is_held or is_ours is False:
                raise _refused(path, owner or _owner_soon(path), what)
            if _is_same_file(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its owner has just removed it


def take_kernel_lock(descriptor: int) -> bool | None:
    """Lock an open file until it is closed; return whether we have the lock, None if there are no locks."""
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


def _owner_soon(path: Path) -> dict[str, Any]:
    """Wait a moment for the owner of a new lock to write its name."""
    end = time.monotonic() + NAME_S
    while not (owner := _owner(path)) and time.monotonic() < end:
        time.sleep(0.01)
    return owner


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


def _beat(held: HeldLock, done: threading.Event) -> None:
    while not done.wait(BEAT_S):
        held.beat()


def _named(owner: dict[str, Any]) -> str:
    return "process {pid} on {host}, since {since}".format_map({"pid": "?", "host": "?", "since": "?", **owner})


def _refused(path: Path, owner: dict[str, Any], what: str) -> HeldError:
    return HeldError(
        what,
        where=str(path.parent),
        got=_named(owner),
        expected="one process at a time",
        next_step=f"wait for it, or end it; if it is surely gone, delete {path}",
    )
