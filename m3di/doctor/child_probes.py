"""Ask what may crash, hang or take long in a process of its own: Blender, torch, a driver."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.util import find_spec
from tempfile import TemporaryDirectory
from typing import Any

from m3di.render import missing_packages, nvidia_cards

TIMEOUT_S = 60.0
"""A cold disk takes long to give Blender; it is there in about two seconds else."""
MARK = "m3di-doctor:"

BLENDER = """
import json, sys
from pathlib import Path
from m3di.render.environment import prepare_blender
prepare_blender(Path(sys.argv[1]))
from m3di.render.worker import import_blender, list_gpus
import_blender()
version = sys.modules["bpy"].app.version_string
gpus = next((found for each in sys.argv[2:] if (found := list_gpus(each))), [])
print({mark!r} + json.dumps({{"version": version, "gpus": [each.described() for each in gpus]}}))
"""
TORCH = """
import json
import torch
from m3di.learn.training.precision import resolve_precision
has_gpu = torch.cuda.is_available()
names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count() if has_gpu else 0)]
bf16 = resolve_precision("auto", "cuda" if has_gpu else "cpu") == "bf16"
found = {{"version": torch.__version__, "n_threads": torch.get_num_threads(), "gpus": names, "bf16": bf16}}
print({mark!r} + json.dumps(found))
"""


@dataclass(frozen=True)
class Answer:
    """What a process said.

    Attributes:
        values: What it found.
        lacks: Packages that are not installed; nothing was tried then.
        error: Why it has failed, in one line.
    """

    values: dict[str, Any] = field(default_factory=dict)
    lacks: tuple[str, ...] = ()
    error: str = ""


def ask_nvidia() -> list[str]:
    """Name the NVIDIA cards with their drivers; none where there is no such driver."""
    return [f"{name}, driver {driver}, {memory}" for name, driver, memory in nvidia_cards()]


def ask_blender(*, has_nvidia: bool) -> Answer:
    """Import Blender; with an NVIDIA card, list the GPUs of Cycles too. No driver of another vendor is asked."""
    lacks = tuple(missing_packages())
    if lacks:
        return Answer(lacks=lacks)
    with TemporaryDirectory(prefix="m3di-") as scratch:
        return run_probe(BLENDER, scratch, *(("OPTIX", "CUDA") if has_nvidia else ()))


def ask_torch() -> Answer:
    """Import torch, and ask it for GPUs."""
    return run_probe(TORCH) if find_spec("torch") else Answer(lacks=("torch",))


def run_probe(code: str, *arguments: str, timeout_s: float = TIMEOUT_S) -> Answer:
    """Run Python code that prints one marked line of JSON.

    Args:
        code: The code; `{mark!r}` stands for the mark.
        arguments: Its arguments.
        timeout_s: After so many seconds it is ended.
    """
    command = [sys.executable, "-c", code.format(mark=MARK), *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=timeout_s, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return Answer(error=f"no answer within {timeout_s:g} s")
    except OSError as error:
        return Answer(error=f"{type(error).__name__}: {error}")
    for line in done.stdout.splitlines():
        if line.startswith(MARK):
            return Answer(values=json.loads(line.removeprefix(MARK)))
    said = done.stderr.strip().splitlines()
    return Answer(error=said[-1].strip() if said else f"it ended with exit code {done.returncode}")
