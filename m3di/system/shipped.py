"""Find the files of m3di that are not Python: base scene, shapes and caption templates."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def shipped(folder: str) -> Path:
    """Return the folder `blender_scenes` or `templates`: inside the installed package, beside it in a clone.

    No import finds it: an editable install puts the clone on the path as it is, so that the package `m3di` wins over
    a folder of that name beside the user's script (see `[editable_wheel]` in setup.cfg).
    """
    inside = PACKAGE / folder
    return inside if inside.is_dir() else PACKAGE.parent / folder
