"""What this machine has for rendering: the packages, and the cores."""

from __future__ import annotations

import importlib.util
import os
import sys

from m3di.errors import M3diError


def missing_packages() -> list[str]:
    """Packages that rendering needs and that are not installed; imports none of them."""
    return [name for name in ("bpy", "OpenEXR", "pebble", "psutil") if importlib.util.find_spec(name) is None]


def check_blender() -> None:
    """Raise unless all that rendering needs is installed; imports none of it.

    Raises:
        M3diError: A package of the extra `render` is missing.
    """
    missing = missing_packages()
    if missing:
        raise M3diError(
            f"rendering needs Blender's Python module, and {', '.join(missing)} is not installed",
            got=f"Python {sys.version_info.major}.{sys.version_info.minor} without {', '.join(missing)}",
            expected="Python 3.11 (bpy exists for no other version) with the extra `render`",
            next_step="with Python 3.11: pip install 'm3di[render]'",
        )


def default_n_workers() -> int:
    """One worker a core that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
