"""What runs inside a worker process: Blender lives here, so that what it prints, leaks or crashes stays here."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from m3di.render.annotation import annotate, encode_pass
from m3di.render.environment import prepare_blender
from m3di.render.gpu import Gpu
from m3di.render.image import check_image, encode_png, linear_to_srgb
from m3di.render.job import RenderedImage, RenderSettings
from m3di.render.scene import SceneValues

if TYPE_CHECKING:
    from m3di.render.blender.open_scene import BlenderScene


@dataclass(frozen=True)
class Report:
    """What a function returned in a worker, how long it took, and what it left the worker like."""

    result: Any
    seconds: float
    pid: int
    memory_bytes: int


def start_worker(lifeline: Connection, scratch: Path, environment: Mapping[str, str]) -> None:
    """Set up a worker process, before its first job.

    Args:
        lifeline: A pipe whose other end only the parent has: it closes when the parent closes it, or is gone.
        scratch: Folder for the worker's temporary files.
        environment: Environment variables to set before Blender is imported.
    """
    prepare_blender(scratch, environment)
    threading.Thread(target=_end_with_parent, args=(lifeline, scratch), daemon=True).start()


def _end_with_parent(lifeline: Connection, scratch: Path) -> None:
    with contextlib.suppress(OSError):  # how Windows says that the other end is closed
        lifeline.poll(None)  # nothing is ever sent: this is the end of the file
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join(0.1)
    # A parent that was killed cannot clear up.
    is_orphan = parent is not None and not parent.is_alive()
    shutil.rmtree(scratch.parent if is_orphan else scratch, ignore_errors=True)
    os._exit(0)  # even in the middle of a render


def report(function: Callable[..., Any], *arguments: Any) -> Report:
    """Call a function, and say what it cost."""
    import psutil

    start = time.perf_counter()
    result = function(*arguments)
    seconds = time.perf_counter() - start
    return Report(result, seconds, os.getpid(), psutil.Process().memory_info().rss)


def import_blender() -> None:
    """Import Blender, so that nothing after it pays for a cold disk."""
    import bpy  # noqa: F401


def list_gpus(backend: str) -> list[Gpu]:
    """Every GPU of a back end."""
    from m3di.render.blender.session import cycles_preferences, quiet
    from m3di.render.gpu import find_gpus

    with quiet():  # a back end that is not there complains
        return find_gpus(cycles_preferences(), backend)


def open_scene(settings: RenderSettings) -> None:
    """Open the scene, so that what is wrong with it shows; on a GPU, render a corner of it as well.

    Raises:
        M3diError: The GPU does not render.
    """
    scene = _scene(settings)
    if settings.device is not None:
        scene.warm_up()


def render_image(settings: RenderSettings, values: SceneValues) -> RenderedImage:
    """Render one image.

    Raises:
        M3diError: Blender reported an error, or what it rendered cannot be right.
    """
    radiance, passes = _scene(settings).render(values)
    pixels = linear_to_srgb(check_image(radiance, settings.size_px))
    return RenderedImage(
        encode_png(pixels),
        annotate(pixels, passes.mask, settings.camera.project(passes.center_m, settings.size_px)),
        {name: encode_pass(name, passes.mask, passes.depth_m, passes.normal) for name in settings.passes},
    )


@cache
def _scene(settings: RenderSettings) -> BlenderScene:
    """The scene of this worker process: opened once, kept open."""
    from m3di.render.blender.open_scene import BlenderScene

    return BlenderScene(
        settings.size_px,
        settings.quality,
        settings.n_threads or 1,
        gpu=settings.device,
        camera=settings.camera,
        user_shapes=settings.user_shapes,
    )
