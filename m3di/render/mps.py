"""NVIDIA's Multi-Process Service: the kernels of several workers at the same time on one card, rather than in turns.

An image of some hundred pixels a side fills a small part of a large GPU, and without the service only one process has
the card at a time: on an H100, eight workers made 44 images a second with it and 8 without (benchmarks/RESULTS.md).
m3di runs one of its own that its workers alone talk to, and ends it with them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CONTROL = "nvidia-cuda-mps-control"
PIPE = "CUDA_MPS_PIPE_DIRECTORY"
LOG = "CUDA_MPS_LOG_DIRECTORY"
TIMEOUT_S = 20.0
MPS_BACKENDS = ("OPTIX", "CUDA")
"""Back ends that work through it."""
_END_WITH_PARENT = 'while read -r _; do :; done; echo "quit -t 1" | "$0"'
"""For a shell: wait until every process that could write to its input has ended, then tell the service to end."""


@dataclass(frozen=True)
class Mps:
    """A service that runs.

    Attributes:
        environment: What its clients need in their environment.
        guard: A process that ends it with this one: what it waits for is the end of its input.
    """

    environment: Mapping[str, str]
    guard: subprocess.Popen[bytes]

    def stop(self) -> None:
        """End it."""
        if self.guard.stdin is not None:
            self.guard.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):  # it goes on waiting for the service by itself
            self.guard.wait(TIMEOUT_S)


def is_chosen() -> bool:
    """Whether the user has chosen a service, or none, by the environment."""
    return PIPE in os.environ


def start_mps(folder: Path) -> Mps | None:
    """Start the service, with its pipes and logs in a folder.

    Args:
        folder: A folder of this run's own, with a short path: it holds sockets.

    Returns:
        None where there is no such service, it does not start, or the user has chosen one.
    """
    command = shutil.which(CONTROL)
    if command is None or is_chosen():
        return None
    found = {PIPE: str(folder / "mps"), LOG: str(folder / "mps-log")}
    for path in found.values():
        Path(path).mkdir(mode=0o700, exist_ok=True)
    # Cards are hidden from clients, each as its own environment says, and never twice.
    environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"} | found
    # A service is a daemon: it outlives a process that is killed, unless another one is there to end it. That one
    # starts first, and Ctrl-C on a terminal does not reach it. What both print goes nowhere: a daemon would hold a
    # pipe of ours open.
    guard = subprocess.Popen(
        ["/bin/sh", "-c", _END_WITH_PARENT, command],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    service = Mps(found, guard)
    if _starts([command, "-d"], environment):
        return service
    service.stop()  # it may have come half way
    return None


def _starts(command: list[str], environment: Mapping[str, str]) -> bool:
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0
