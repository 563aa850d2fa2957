"""What a full disk means to a run."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from m3di.errors import DiskError

FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


@contextlib.contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn what the disk refuses into a message of ours.

    Raises:
        M3diError: The disk is full, or a file could not be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            what, next_step = "the disk is full", "make room, then run the same command again; what is finished is kept"
        else:
            what = "a file of the dataset cannot be written"
            next_step = "look for the cause, then run the same command again; what is finished is kept"
        raise DiskError(
            what, where=str(error.filename or folder), got=error.strerror or error, next_step=next_step
        ) from error
