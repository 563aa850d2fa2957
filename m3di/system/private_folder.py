"""Private folders with guessable names in places such as /tmp: ours alone, or refused."""

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
    """The path at which this user keeps files between runs, below the folder for temporary files; nothing is made.

    Args:
        what: What it is for: a part of its name.
    """
    # By number: in a container, the user may have no name.
    user = os.getuid() if hasattr(os, "getuid") else getpass.getuser()
    return Path(tempfile.gettempdir()) / f"m3di-{what}-{user}"


def make_private(folder: Path) -> Path:
    """Make a folder that nobody else can read or write, or take the one that is there if it is so already.

    Another user could have put links in the place of the files that are about to be written, or files that are about
    to be read.

    Args:
        folder: It is made with mode 0700, and so are missing folders above it; those that are there stay as they are.

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
    """Raise unless the folder is ours alone; one that others can only read is closed to them."""
    if not hasattr(os, "getuid"):  # Windows: folders for temporary files are a user's own
        return
    found = folder.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise _refused(folder, f"a link to {folder.readlink()}")
    if not stat.S_ISDIR(found.st_mode):
        raise _refused(folder, "a file")
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:  # from here on, what was looked at is what is changed
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
