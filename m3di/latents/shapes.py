"""Names of the shapes that an image can show: those that come with m3di, and the meshes that the user has imported."""

from __future__ import annotations

import os
from pathlib import Path

from m3di.system.shipped import shipped

DATA_HOME = "M3DI_DATA_HOME"


def shape_folder() -> Path | None:
    """Where meshes of the user are kept; the environment variable M3DI_DATA_HOME overrides the usual data folder.

    None where nothing can be kept: platformdirs, which comes with the extra `render`, is not installed.
    """
    home = os.environ.get(DATA_HOME)
    if home:
        return Path(home) / "shapes"
    try:
        from platformdirs import user_data_path
    except ImportError:
        return None
    return user_data_path("m3di", appauthor=False) / "shapes"


def builtin_shapes() -> list[str]:
    """Names of the shapes that come with m3di."""
    return sorted(path.stem for path in (shipped("blender_scenes") / "shapes").glob("*.blend"))


def user_shape_names() -> list[str]:
    """Names of the user's meshes."""
    folder = shape_folder()
    return sorted(path.stem for path in folder.glob("*.npz")) if folder is not None else []


def shape_names() -> list[str]:
    """Names of all shapes that are here."""
    return sorted({*builtin_shapes(), *user_shape_names()})
