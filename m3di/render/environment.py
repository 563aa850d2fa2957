"""What a process sees of its environment once Blender is imported in it: nothing that changes an image unasked."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

HIDDEN = ("OCIO", "BLENDER_", "CYCLES_")
"""Variables of these names, or that begin so, choose colour management, scripts that run at the start, and how Cycles
samples: a script in BLENDER_SYSTEM_SCRIPTS can hide the object in every image."""


def is_hidden(name: str) -> bool:
    """Whether Blender is not to see an environment variable."""
    return any(name.startswith(each) if each.endswith("_") else name == each for each in HIDDEN)


def prepare_blender(scratch: Path, environment: Mapping[str, str] | None = None) -> None:
    """Call this in a process before it imports Blender.

    Args:
        scratch: Folder for temporary files, Blender's own among them: it is made here, and the caller removes it.
        environment: Environment variables to set.
    """
    for name in [name for name in os.environ if is_hidden(name)]:
        del os.environ[name]
    scratch.mkdir(mode=0o700, exist_ok=True)
    os.environ.update(environment or {})
    os.environ.update(TMPDIR=str(scratch), TEMP=str(scratch))  # Blender makes `blender_XXXXXX` there, and leaves it
    tempfile.tempdir = str(scratch)
