"""Environment of a worker on a GPU: where its driver keeps compiled kernels, how much memory Cycles takes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from m3di.render.gpu import STATES_FACTOR
from m3di.system.private_folder import make_private, own_temporary_folder

STATES = "CYCLES_CONCURRENT_STATES_FACTOR"
CACHE_BYTES = 2 << 30
"""Of compiled kernels. The driver's own limit is 1 GiB, and one that is reached drops what is needed next."""


def gpu_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What is to be set before Blender is imported; what the user has set stays as it is.

    Cards for which Blender ships no kernel of its own compile one at their first render. Without a place to keep it,
    every worker would compile, at every start. A user who can write there could make us run kernels of their own.

    Raises:
        M3diError: The place for them in the folder for temporary files is not this user's alone.
    """
    wanted = {STATES: STATES_FACTOR, "CUDA_CACHE_MAXSIZE": str(CACHE_BYTES)}
    if "CUDA_CACHE_PATH" not in environment and not _is_writable(Path(environment.get("HOME", "")) / ".nv"):
        wanted["CUDA_CACHE_PATH"] = str(_own_folder("cuda"))
    if "OPTIX_CACHE_PATH" not in environment and not _is_writable(Path("/var/tmp")):  # where OptiX keeps its own
        wanted["OPTIX_CACHE_PATH"] = str(_own_folder("optix"))
    # Given although it is set: workers see no variable of Cycles but those they are given, see `prepare_blender`.
    kept = {name: environment[name] for name in (STATES,) if name in environment}
    return {name: value for name, value in wanted.items() if name not in environment} | kept


def kernel_folder() -> Path:
    """Return the folder for compiled kernels where the driver has none of its own; make nothing."""
    return own_temporary_folder("kernels")


def _own_folder(name: str) -> Path:
    return make_private(make_private(kernel_folder()) / name)


def _is_writable(folder: Path) -> bool:
    """Whether files can be made in a folder, or the folder itself can be made."""
    if not folder.is_absolute():
        return False
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK)
