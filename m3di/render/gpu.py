"""Which GPUs render. Works on the preferences of Cycles, which are given: nothing of Blender is imported here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from m3di.errors import M3diError, UsageError

GPU_BACKENDS = ("OPTIX", "CUDA", "HIP", "ONEAPI", "METAL")
"""In the order of preference."""


@dataclass(frozen=True)
class Gpu:
    """A device that Cycles can render on: its back end, its identity within that, and what people call it."""

    backend: str
    id: str
    name: str

    def __str__(self) -> str:
        return f"{self.name} ({self.backend})"


def find_gpus(preferences: Any) -> list[Gpu]:
    """Every device of the best back end that has one; none where no back end has any.

    Args:
        preferences: Those of the add-on `cycles`.
    """
    for backend in GPU_BACKENDS:
        if _select(preferences, backend):
            found = [device for device in preferences.devices if device.type == backend]
            if found:
                return [Gpu(backend, device.id, device.name) for device in found]
    return []


def use_gpu(preferences: Any, gpu: Gpu) -> None:
    """Render on this device and on no other.

    Raises:
        M3diError: The device is gone.
    """
    known = _select(preferences, gpu.backend)
    for device in preferences.devices if known else ():
        device.use = (device.type, device.id) == (gpu.backend, gpu.id)
    if not known or not any(device.use for device in preferences.devices):
        raise M3diError(
            "a GPU that was there is gone",
            where="--gpu",
            got=", ".join(map(str, find_gpus(preferences))) or "no GPU",
            expected=str(gpu),
            next_step="look at the driver's messages, then run the same command again",
        )


def choose_gpus(found: Sequence[Gpu], numbers: Sequence[int] = ()) -> list[Gpu]:
    """The devices to render on: those of these numbers, or all.

    Raises:
        M3diError: There is none. Rendering never falls back to the CPU by itself.
        UsageError: A number is none of a device.
    """
    if not found:
        raise M3diError(
            "Cycles finds no GPU on this machine",
            where="--gpu",
            got=f"no device for {', '.join(GPU_BACKENDS)}",
            expected="at least one GPU that Cycles can use",
            next_step="install the GPU's driver, or leave --gpu out to render on the CPU",
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


def deal(gpus: Sequence[Gpu], n_workers: int | None) -> list[Gpu]:
    """The device of each worker: one worker a device, or `n_workers` in all, dealt out to the devices in turn.

    Raises:
        UsageError: There are fewer workers than devices.
    """
    n = len(gpus) if n_workers is None else n_workers
    if n < len(gpus):
        raise UsageError(
            "a GPU needs a worker of its own",
            where="--workers",
            got=f"{n}",
            expected=f"{len(gpus)} or more, for {', '.join(map(str, gpus))}",
            next_step="choose fewer devices with --gpu-devices, or leave --workers out",
        )
    return [gpus[index % len(gpus)] for index in range(n)]


def _select(preferences: Any, backend: str) -> bool:
    """Choose a back end; whether this build of Blender knows it."""
    try:
        preferences.compute_device_type = backend
    except TypeError:
        return False
    preferences.refresh_devices()
    return True
