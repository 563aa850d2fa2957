"""Private folders with guessable names, as in /tmp: they belong to this user alone, or are refused."""

from __future__ import annotations

import contextlib
import getpass
import os
import stat
import tempfile
from pathlib import Path

from m3di.errors import M3diError

WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def own_temporary_folder(what: str) -> Path:
    """Return the path for files that this user keeps between runs, below the temporary folder; make nothing.

    Args:
        what: A part of its name that says what it is for.
    """
    # By number: in a container, the user may have no name.
    user = os.getuid() if hasattr(os, "getuid") else getpass.getuser()
    return Path(tempfile.gettempdir()) / f"m3di-{what}-{user}"


def make_private(folder: Path) -> Path:
    """Make a folder that nobody else can read or write, or take an existing one that is private already.

    Another user could have put links or files where this process is about to write or read.

    Args:
        folder: It and missing folders above it are made with mode 0700; existing ones above it stay as they are.

    Returns:
        The folder.

    Raises:
        M3diError: It is a link or no folder, belongs to somebody else, others may write into it, or it cannot be made.
    """
    try:
        for missing in [each for each in reversed(folder.parents) if not os.path.lexists(each)]:
            with contextlib.suppress(FileExistsError):  # another process was quicker
                missing.mkdir(mode=0o700)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        _take(folder)
    except OSError as error:
        raise _refused(folder, error.strerror or str(error)) from error
    return folder


def _take(folder: Path) -> None:
    """Check that the folder belongs to us alone; close one that others can only read."""
    if not hasattr(os, "getuid"):  # Windows: folders for temporary files are a user's own
        return
    found = folder.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise _refused(folder, f"a link to {folder.readlink()}")
    if not stat.S_ISDIR(found.st_mode):
        raise _refused(folder, "a file")
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:  # by its descriptor, so that the folder that was checked is the one that is changed
        found = os.fstat(descriptor)
        if found.st_uid != os.getuid():
            raise _refused(folder, f"a folder of user {found.st_uid}; you are {os.getuid()}")
        if found.st_mode & WRITABLE_BY_OTHERS:
            raise _refused(folder, f"a folder that others may write into (mode {stat.S_IMODE(found.st_mode):04o})")
        if stat.S_IMODE(found.st_mode) != 0o700:
            os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)


def _refused(folder: Path, got: str) -> M3diError:
    return M3diError(
        "the folder must belong to you alone, and does not",
        where=str(folder),
        got=got,
        expected="a folder that belongs to you, mode 0700, no link; or none: it is made then",
        next_step="remove it if you know what it is, or set TMPDIR (for shards: --staging) to a folder that you own",
    )
