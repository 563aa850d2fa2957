"""Which machine a benchmark ran on: processor, card, driver and versions."""

from __future__ import annotations

import importlib.util
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from typing import Any


def machine() -> dict[str, Any]:
    """All that is needed to repeat a figure; what is not known is left out."""
    found: dict[str, Any] = {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "processor": _processor(),
        "python": platform.python_version(),
    }
    for name in ("m3di", "bpy", "torch"):
        if importlib.util.find_spec(name) is not None:
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                continue
    found["gpus"] = ask_driver("name,driver_version,memory.total,pci.bus_id")
    return found


def ask_driver(fields: str, form: str = "csv,noheader") -> list[str]:
    """Ask `nvidia-smi` for a line a card; return nothing if the tool is missing or fails."""
    command = ["nvidia-smi", f"--query-gpu={fields}", f"--format={form}"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in answer.splitlines() if line.strip()]


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:  # noqa: PTH123 (not a file of ours)
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
