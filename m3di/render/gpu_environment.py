"""Environment of a worker on a GPU: where its driver keeps compiled kernels, how much memory Cycles takes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from m3di.render.gpu import STATES_FACTOR

CACHE_BYTES = 2 << 30
"""Of compiled kernels. The driver's own limit is 1 GiB, and one that is reached drops what is needed next."""


def gpu_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What is to be set before Blender is imported; what the user has set stays.

    Cards for which Blender ships no kernel of its own compile one at their first render. Without a place to keep it,
    every worker would compile, at every start.
    """
    wanted = {"CYCLES_CONCURRENT_STATES_FACTOR": STATES_FACTOR, "CUDA_CACHE_MAXSIZE": str(CACHE_BYTES)}
    if not _is_writable(Path(environment.get("HOME", "")) / ".nv"):
        wanted["CUDA_CACHE_PATH"] = str(_own_folder("cuda"))
    if not _is_writable(Path("/var/tmp")):  # where OptiX keeps its own
        wanted["OPTIX_CACHE_PATH"] = str(_own_folder("optix"))
    return {name: value for name, value in wanted.items() if name not in environment}


def _own_folder(name: str) -> Path:
    return Path(tempfile.gettempdir()) / f"m3di-kernels-{os.getuid() if hasattr(os, 'getuid') else 0}" / name


def _is_writable(folder: Path) -> bool:
    """Whether files can be made in a folder, or the folder itself can be made."""
    if not folder.is_absolute():
        return False
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK)
