"""Turn errors of the disk into messages."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from m3di.errors import DiskError

FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


@contextlib.contextmanager
def disk_errors(
    folder: Path, what: str = "a file of the dataset cannot be written", *, kept: bool = True
) -> Iterator[None]:
    """Turn an OSError inside the block into a DiskError.

    Args:
        folder: Where, if the error names no file.
        what: The message, unless the disk is full.
        kept: Whether what was finished before stays.

    Raises:
        DiskError: The disk is full, or a file could not be written.
    """
    try:
        yield
    except OSError as error:
        is_full = error.errno in FULL
        first, rest = "make room" if is_full else "look for the cause", "; what is finished is kept" if kept else ""
        raise DiskError(
            "the disk is full" if is_full else what,
            where=str(error.filename or folder),
            got=error.strerror or error,
            next_step=f"{first}, then run the same command again{rest}",
        ) from error
