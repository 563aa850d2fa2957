"""Note the GPUs that rendered a dataset: beside it while it is made, then in its manifest. The CPU is not noted."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from pathlib import Path

from m3di.system.files import PARTIAL, write_atomically

DEVICES = f"devices.json{PARTIAL}"


def note_devices(root: Path, devices: Iterable[str]) -> None:
    """Add to the devices that render into a folder; earlier runs may have used others.

    Raises:
        OSError: The note cannot be written.
    """
    known = noted_devices(root)
    every = sorted({*known, *devices})
    if every != list(known):
        write_atomically(root / DEVICES, json.dumps(every, ensure_ascii=False).encode())


def noted_devices(root: Path) -> tuple[str, ...]:
    """Return the devices that have rendered into a folder so far; an unreadable note counts as none."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads((root / DEVICES).read_bytes())
        if isinstance(found, list):
            return tuple(sorted(str(each) for each in found))
    return ()
