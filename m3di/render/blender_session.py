"""Blender as a process: what it prints, and the GPUs it finds. Imported in worker processes only."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator

import bpy

from m3di.errors import M3diError

GPU_BACKENDS = ("OPTIX", "CUDA", "HIP", "ONEAPI", "METAL")


def enable_gpu() -> list[str]:
    """Turn on every device of the best GPU back end Cycles finds, and name them.

    Raises:
        M3diError: No back end has a device. Rendering never falls back to the CPU by itself.
    """
    preferences = bpy.context.preferences.addons["cycles"].preferences
    for backend in GPU_BACKENDS:
        try:
            preferences.compute_device_type = backend
        except TypeError:  # this build of Blender does not know the back end
            continue
        preferences.refresh_devices()
        found = [device for device in preferences.devices if device.type == backend]
        if found:
            for device in preferences.devices:
                device.use = device.type == backend
            return [device.name for device in found]
    raise M3diError(
        "Cycles finds no GPU on this machine",
        where="--gpu",
        got=f"no device for {', '.join(GPU_BACKENDS)}",
        expected="at least one GPU that Cycles can use",
        next_step="install the GPU's driver, or leave --gpu out to render on the CPU",
    )


@contextlib.contextmanager
def quiet() -> Iterator[list[str]]:
    """Keep what Blender prints at C level away from the terminal; the lines are in the list afterwards."""
    lines: list[str] = []
    with tempfile.TemporaryFile() as sink:
        saved = [os.dup(1), os.dup(2)]
        try:
            os.dup2(sink.fileno(), 1)
            os.dup2(sink.fileno(), 2)
            yield lines
        finally:
            for stream, copy in zip((1, 2), saved, strict=True):
                os.dup2(copy, stream)
                os.close(copy)
            sink.seek(0)
            lines.extend(sink.read().decode(errors="replace").splitlines())
