"""Worker processes that render: Blender lives in them, so that what it prints, leaks or crashes stays there."""

from __future__ import annotations

import importlib.util
import itertools
import multiprocessing
import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from m3di.errors import M3diError
from m3di.render.annotation import annotate, encode_pass
from m3di.render.camera import DATASET_CAMERA, Camera
from m3di.render.image import encode_png, linear_to_srgb
from m3di.render.quality import Quality
from m3di.render.scene import SceneValues
from m3di.render.user_shapes import UserShape

if TYPE_CHECKING:
    from m3di.render.blender import BlenderScene

IMAGE_TIMEOUT_S = 600
IMAGES_PER_WORKER = 500  # bpy leaks slowly: workers are recycled
N_TRIES = 3


@dataclass(frozen=True)
class RenderSettings:
    """What all images of a dataset share.

    Attributes:
        size_px: Side of the square image.
        quality: How an image is sampled.
        n_threads: Threads a worker may use.
        gpu: Render on the GPU.
        camera: Where the images are taken from.
        user_shapes: Meshes of the user that the images may show.
        passes: Names of the passes that are kept, out of `PASSES`.
    """

    size_px: int
    quality: Quality
    n_threads: int = 1
    gpu: bool = False
    camera: Camera = DATASET_CAMERA
    user_shapes: tuple[UserShape, ...] = ()
    passes: tuple[str, ...] = ()


@dataclass(frozen=True)
class RenderJob:
    """One image to render: a name for messages, and the scene."""

    name: str
    values: SceneValues


@dataclass(frozen=True)
class RenderedImage:
    """An image, and what is known of it.

    Attributes:
        png: The image.
        annotation: See `annotate`.
        passes: File content of each pass that was asked for.
    """

    png: bytes
    annotation: dict[str, int | float]
    passes: dict[str, bytes]


@dataclass(frozen=True)
class Outcome:
    """What became of a job: its image, or why there is none."""

    job: RenderJob
    image: RenderedImage | None
    error: str = ""


def check_blender() -> None:
    """Raise unless all that rendering needs is installed; imports none of it.

    Raises:
        M3diError: A package of the extra `render` is missing.
    """
    missing = [name for name in ("bpy", "OpenEXR", "pebble") if importlib.util.find_spec(name) is None]
    if missing:
        raise M3diError(
            f"rendering needs Blender's Python module, and {', '.join(missing)} is not installed",
            got=f"Python {sys.version_info.major}.{sys.version_info.minor} without {', '.join(missing)}",
            expected="Python 3.11 (bpy exists for no other version) with the extra `render`",
            next_step="with Python 3.11: pip install 'm3di[render]'",
        )


class RenderPool:
    """Renders jobs in worker processes; results come in the order of the jobs.

    A worker that dies or hangs costs the image in flight, which is tried again.

    Args:
        settings: What all images share.
        n_workers: Number of processes.
    """

    def __init__(self, settings: RenderSettings, n_workers: int) -> None:
        import pebble

        self.settings = settings
        self.n_workers = n_workers
        # Spawned, not forked: Blender does not survive a fork, and neither do torch's threads.
        self._pool = pebble.ProcessPool(
            max_workers=n_workers, max_tasks=IMAGES_PER_WORKER, context=multiprocessing.get_context("spawn")
        )

    def __enter__(self) -> RenderPool:
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.stop() if any(error) else self._pool.close()
        self._pool.join()

    def check(self) -> None:
        """Open the scene in a worker, so that what is wrong shows before anything is written.

        Raises:
            M3diError: Blender does not start, or there is no GPU where one was asked for.
        """
        self._result("the base scene", self._schedule(_open))

    def render(self, jobs: Iterable[RenderJob]) -> Iterator[RenderedImage]:
        """The image of each job, in order.

        Raises:
            M3diError: An image failed; the message names it.
        """
        waiting: deque[tuple[RenderJob, Any]] = deque()
        queue = iter(jobs)
        while True:
            # A few images ahead keep the workers busy, and memory flat.
            for job in itertools.islice(queue, 4 * self.n_workers - len(waiting)):
                waiting.append((job, self._schedule(_render, job.values)))
            if not waiting:
                return
            job, future = waiting.popleft()
            yield self._result(job.name, future, job.values)

    def outcomes(self, jobs: Iterable[RenderJob]) -> Iterator[Outcome]:
        """The image of each job, or why there is none, in any order."""
        queue: deque[RenderJob] = deque()

        def noted() -> Iterator[RenderJob]:
            for job in jobs:
                queue.append(job)
                yield job

        for image in self.render(noted()):
            yield Outcome(queue.popleft(), image)

    def _schedule(self, function: Any, *values: SceneValues) -> Any:
        return self._pool.schedule(function, args=[self.settings, *values], timeout=IMAGE_TIMEOUT_S)

    def _result(self, name: str, future: Any, *values: SceneValues) -> Any:
        from pebble import ProcessExpired

        for attempt in range(1, N_TRIES + 1):
            try:
                return future.result()
            except (ProcessExpired, FutureTimeoutError) as error:
                if attempt == N_TRIES:
                    raise M3diError(
                        f"the render worker failed {N_TRIES} times",
                        where=name,
                        got=error,
                        next_step="run the same command again; finished images are kept",
                    ) from error
                future = self._schedule(_render if values else _open, *values)
        raise AssertionError("unreachable")


def default_n_workers() -> int:
    """One worker a core that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _scene(settings: RenderSettings) -> BlenderScene:
    """The scene of this worker process: opened once, kept open."""
    from m3di.render.blender import BlenderScene

    return BlenderScene(
        settings.size_px,
        settings.quality,
        settings.n_threads,
        gpu=settings.gpu,
        camera=settings.camera,
        user_shapes=settings.user_shapes,
    )


def _open(settings: RenderSettings) -> None:
    _scene(settings)


def _render(settings: RenderSettings, values: SceneValues) -> RenderedImage:
    scene = _scene(settings)
    radiance, passes = scene.render(values)
    pixels = linear_to_srgb(radiance)
    return RenderedImage(
        encode_png(pixels),
        annotate(pixels, passes.mask, settings.camera.project(passes.center_m, settings.size_px)),
        {name: encode_pass(name, passes.mask, passes.depth_m, passes.normal) for name in settings.passes},
    )
