"""What is said where some of several runs failed: members of a sweep, or of a reproduction."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from m3di.errors import M3diError


def check_none_failed(folder: Path, n_members: int, failures: Mapping[str, str], what: str = "members") -> None:
    """Raise M3diError, with the reason of each, where members failed.

    Args:
        folder: What they belong to.
        n_members: How many there are.
        failures: Reasons by name.
        what: What they are, for the message.
    """
    if failures:
        raise M3diError(
            f"{len(failures)} of {n_members} {what} failed",
            where=str(folder),
            got="; ".join(f"{name}: {' '.join(reason.split())}" for name, reason in failures.items()),
            next_step="the others are finished; run the same command again to go on with these",
        )
