"""NVIDIA's Multi-Process Service: the kernels of several workers at the same time on one card, rather than in turns.

An image of some hundred pixels a side fills a small part of a large GPU, and without the service only one process has
the card at a time: on an H100, eight workers made 44 images a second with it and 8 without (benchmarks/RESULTS.md).
m3di runs one of its own that its workers alone talk to, and ends it with them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

CONTROL = "nvidia-cuda-mps-control"
PIPE = "CUDA_MPS_PIPE_DIRECTORY"
LOG = "CUDA_MPS_LOG_DIRECTORY"
TIMEOUT_S = 20.0
MPS_BACKENDS = ("OPTIX", "CUDA")
"""Back ends that work through it."""


def start_mps(folder: Path) -> dict[str, str]:
    """Start the service, with its pipes and logs in a folder.

    Args:
        folder: A folder of this run's own, with a short path: it holds sockets.

    Returns:
        What clients need in their environment; empty where there is no such service, it does not start, or the user has
        chosen one by the environment already.
    """
    command = shutil.which(CONTROL)
    if command is None or PIPE in os.environ:
        return {}
    found = {PIPE: str(folder / "mps"), LOG: str(folder / "mps-log")}
    for path in found.values():
        Path(path).mkdir(mode=0o700, exist_ok=True)
    # Cards are hidden from clients, each as its own environment says, and from nobody twice.
    environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"} | found
    return found if _run([command, "-d"], environment) else {}


def stop_mps(environment: Mapping[str, str]) -> None:
    """Stop the service that `start_mps` has started; nothing where there is none.

    Args:
        environment: What `start_mps` gave, or an environment that holds it.
    """
    command = shutil.which(CONTROL)
    if command is None or PIPE not in environment:
        return
    _run([command], {**os.environ, **environment}, b"quit -t 1\n")


def _run(command: list[str], environment: Mapping[str, str], said: bytes = b"") -> bool:
    """Whether a command ends well. What it prints goes nowhere: a service would hold a pipe of ours open."""
    try:
        done = subprocess.run(
            command,
            env=environment,
            input=said,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0
