"""Which GPUs render. Works on the preferences of Cycles, which are given: nothing of Blender is imported here."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from m3di.errors import DeviceError, UsageError

GPU_BACKENDS = ("OPTIX", "CUDA", "HIP", "ONEAPI", "METAL")
"""In the order of preference."""
WORKERS_PER_GPU = 8
"""Most workers that share a GPU unless one says how many: one alone leaves it idle between its calls."""
CORES_PER_WORKER = 2
"""A worker waits for its GPU on a core of its own, at full speed: with as many workers as cores, all of them crawl."""
STATES_FACTOR = "0.125"
"""Part of its usual path states that Cycles keeps on a GPU. It keeps millions for an image of any size, gigabytes for
each worker; an eighth still is ten times the pixels of 224 x 224."""
WITHOUT_RAY_TRACING_CORES = ("6.0", "7.0", "8.0", "9.0", "10.0", "10.3")
"""Compute capabilities of NVIDIA's cards for data centres: P100, V100, A100 and A30, H100 and H200, B200, B300."""
_PCI_ADDRESS = re.compile(r"[0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}")
_DRIVER_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Gpu:
    """A device that Cycles can render on: its back end, its identity within that, and what people call it."""

    backend: str
    id: str
    name: str

    @property
    def pci_address(self) -> str:
        """Domain, bus and slot, such as `0000:01:00`; empty where the back end does not tell."""
        found = _PCI_ADDRESS.search(self.id)
        return found[0].lower() if found else ""

    def __str__(self) -> str:
        place = f", PCI {self.pci_address}" if self.pci_address else ""
        return f"{self.name} ({self.backend}{place})"

    def described(self) -> str:
        """Card, back end and driver: what decides how it rounds. The address is left out, which decides nothing."""
        driver = driver_version(self.backend)
        return f"{self.name} ({self.backend}{f', driver {driver}' if driver else ''})"


class OutOfGpuMemory(DeviceError):
    """A GPU has no memory left for this worker; others may hold it."""


def find_gpus(preferences: Any, backend: str) -> list[Gpu]:
    """Every device of a back end. No driver of another vendor is asked: some of them crash or hang.

    Args:
        preferences: Those of the add-on `cycles`.
        backend: Out of `GPU_BACKENDS`.
    """
    if not _select(preferences, backend):
        return []
    return [
        Gpu(backend, identity, name)
        for name, kind, identity, *_ in preferences.get_device_list(backend)
        if kind == backend
    ]


def use_gpu(preferences: Any, gpu: Gpu) -> None:
    """Render on this device and on no other.

    Raises:
        M3diError: The device is gone.
    """
    there = find_gpus(preferences, gpu.backend)
    for device in preferences.devices if there else ():
        device.use = (device.type, device.id) == (gpu.backend, gpu.id)
    if not any(each.id == gpu.id for each in there) or not any(device.use for device in preferences.devices):
        raise DeviceError(
            "a GPU that was there is gone",
            where="--gpu",
            got=", ".join(map(str, there)) or "no GPU",
            expected=str(gpu),
            next_step="look at the driver's messages, then run the same command again",
        )


def choose_gpus(found: Sequence[Gpu], numbers: Sequence[int] = (), backend: str | None = None) -> list[Gpu]:
    """The devices to render on: those of these numbers, or all.

    Args:
        found: The devices of one back end.
        numbers: Positions in `found`.
        backend: The back end that was asked for, or None: any.

    Raises:
        M3diError: There is none. Rendering never falls back to the CPU, or to another back end, by itself.
        UsageError: A number is none of a device.
    """
    if not found:
        raise DeviceError(
            "Cycles finds no GPU on this machine",
            where=f"--gpu-backend {backend.lower()}" if backend else "--gpu",
            got=f"no device for {backend or ', '.join(GPU_BACKENDS)}",
            expected="at least one GPU that Cycles can use",
            next_step=(
                "install the GPU's driver (`nvidia-smi` must list the card; NVIDIA: 535 or newer). In a container, run "
                "it with --gpus all and NVIDIA_DRIVER_CAPABILITIES=compute,utility,graphics. Or leave --gpu out to "
                "render on the CPU"
            ),
        )
    for number in numbers:
        if not 0 <= number < len(found):
            raise UsageError(
                f"there is no GPU {number}",
                where="--gpu-devices",
                got=",".join(map(str, numbers)),
                expected=f"some of {'; '.join(f'{index}: {gpu}' for index, gpu in enumerate(found))}",
            )
    return [found[number] for number in dict.fromkeys(numbers)] or list(found)


def assign_gpus(gpus: Sequence[Gpu], n_workers: int | None, n_cores: int) -> list[Gpu]:
    """Give each worker a device, the devices in turn.

    Args:
        gpus: The devices.
        n_workers: Workers in all; None takes up to `WORKERS_PER_GPU` a device, and no more than one for two cores.
        n_cores: Cores that the workers may use.

    Raises:
        UsageError: There are fewer workers than devices.
    """
    n = len(gpus) * default_workers_per_gpu(n_cores, len(gpus)) if n_workers is None else n_workers
    if n < len(gpus):
        raise UsageError(
            "a GPU needs a worker of its own",
            where="--workers",
            got=f"{n}",
            expected=f"{len(gpus)} or more, for {', '.join(map(str, gpus))}",
            next_step="choose fewer devices with --gpu-devices, or leave --workers out",
        )
    return [gpus[index % len(gpus)] for index in range(n)]


def default_workers_per_gpu(n_cores: int, n_gpus: int) -> int:
    """How many workers share a GPU unless one says how many."""
    return max(1, min(WORKERS_PER_GPU, n_cores // (CORES_PER_WORKER * max(1, n_gpus))))


def driver_version(backend: str) -> str:
    """Version of the driver of a back end; empty where nothing tells it."""
    if backend in ("OPTIX", "CUDA"):
        return next((version for (version,) in _query_nvidia("driver_version")), "")
    module = {"HIP": Path("/sys/module/amdgpu/version"), "ONEAPI": Path("/sys/module/xe/version")}.get(backend)
    return module.read_text().strip() if module and module.is_file() else ""


def nvidia_cards() -> list[tuple[str, str, str]]:
    """Name, version of the driver and memory of each NVIDIA card; nothing where there is no driver."""
    return [(name, driver, memory) for name, driver, memory in _query_nvidia("name", "driver_version", "memory.total")]


def lack_ray_tracing_cores(gpus: Sequence[Gpu]) -> bool:
    """Whether none of some NVIDIA cards has cores that trace rays, as far as the driver's tool tells."""
    capabilities = _query_nvidia("pci.bus_id", "compute_cap")
    known = {_pci_key(address): capability for address, capability in capabilities}
    return bool(gpus) and all(known.get(_pci_key(gpu.pci_address)) in WITHOUT_RAY_TRACING_CORES for gpu in gpus)


def _pci_key(address: str) -> tuple[int, ...]:
    """Domain, bus and slot of a PCI address, however many digits it is written with."""
    return tuple(int(part, 16) for part in address.split(".", 1)[0].split(":") if part)


def _query_nvidia(*fields: str) -> list[list[str]]:
    """What the driver's tool tells of each card; nothing where there is no such tool."""
    command = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_DRIVER_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [[cell.strip() for cell in line.split(",")] for line in answer.stdout.splitlines()]
    return [row for row in rows if len(row) == len(fields)]


def is_out_of_memory(lines: Sequence[str]) -> bool:
    """Whether something that Cycles has said means that the GPU's memory is used up."""
    text = "\n".join(lines).lower()
    return "out of gpu" in text or "cuda_error_out_of_memory" in text or "out of memory" in text


def _select(preferences: Any, backend: str) -> bool:
    """Choose a back end; whether this build of Blender knows it and its driver answers."""
    try:
        preferences.compute_device_type = backend
    except TypeError:
        return False
    return True
