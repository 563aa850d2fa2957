"""Which mesh of a file with several is meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from m3di.errors import M3diError, UsageError, near_match


def chosen_name(path: Path, names: Mapping[str, set[str]], wanted: str | None, *, expected: str | None) -> str:
    """The one object that is meant.

    Args:
        path: The file, for messages.
        names: Of each object, the names by which it can be asked for: its own, and that of its mesh.
        wanted: The name that was asked for, if any.
        expected: The object that is taken out of several where none is named, if there is one.

    Raises:
        UsageError: There is no such object, or there are several and none is named.
        M3diError: There is none at all.
    """
    if not names:
        raise M3diError("the file holds no mesh", where=str(path), expected="one mesh or more")
    if wanted is None and (len(names) == 1 or expected in names):
        return next(iter(names)) if len(names) == 1 else str(expected)
    if wanted in names:
        return str(wanted)
    matches = [name for name, known in names.items() if wanted in known]
    if len(matches) == 1:
        return matches[0]
    near = near_match(wanted, {each for known in names.values() for each in known}) if wanted else None
    raise UsageError(
        f"the file holds no mesh called {wanted!r}" if wanted and not matches else "the file holds several meshes",
        where=str(path),
        got=listed(sorted(names)),
        next_step=f"did you mean --mesh {near!r}?" if near and not matches else "choose one with --mesh NAME",
    )


def listed(names: Sequence[str]) -> str:
    """The first ten names, and how many there are more."""
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
