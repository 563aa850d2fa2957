"""What goes into the render workers, and what comes back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from m3di.render.camera import DATASET_CAMERA, Camera
from m3di.render.gpu import Gpu
from m3di.render.library.user_shapes import UserShape
from m3di.render.quality import Quality
from m3di.render.scene import SceneValues

GB = 1_000_000_000


@dataclass(frozen=True)
class RenderSettings:
    """What all images of a dataset share.

    Attributes:
        size_px: Side of the square image.
        quality: How an image is sampled.
        n_threads: Threads a worker may use; None shares out the cores among the workers.
        gpu: Render on the GPU.
        camera: Where the images are taken from.
        user_shapes: Meshes of the user that the images may show.
        passes: Names of the passes that are kept, out of `PASSES`.
        gpu_devices: Numbers of the GPUs to use; all of the back end if empty.
        gpu_backend: Back end to render with, out of `GPU_BACKENDS`; the best one that has a device if None.
        device: The GPU of one worker; filled in by the pool.
    """

    size_px: int
    quality: Quality
    n_threads: int | None = None
    gpu: bool = False
    camera: Camera = DATASET_CAMERA
    user_shapes: tuple[UserShape, ...] = ()
    passes: tuple[str, ...] = ()
    gpu_devices: tuple[int, ...] = ()
    gpu_backend: str | None = None
    device: Gpu | None = None


@dataclass(frozen=True)
class WorkerLimits:
    """When a worker process is ended, and a new one takes its place. None of this changes an image.

    Attributes:
        n_images: After that many images: Blender leaks slowly.
        age_s: But not before it is this old: a start costs seconds, and where images are quick the memory tells.
        memory_bytes: After an image, where it holds more memory than this.
        image_timeout_s: Where an image takes longer; it has failed then.
        n_tries: How often an image is tried.
        kernel_timeout_s: What the first render of a process may take besides, on a GPU: the driver may compile.
        list_timeout_s: Where a driver takes longer to tell its GPUs.
    """

    n_images: int = 500
    age_s: float = 900.0
    memory_bytes: int = 4 * GB
    image_timeout_s: float = 600.0
    n_tries: int = 3
    kernel_timeout_s: float = 1800.0
    list_timeout_s: float = 60.0


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
    n_tries: int = 1


@dataclass(frozen=True)
class PoolEvent:
    """Something that happened in a pool.

    Attributes:
        kind: `begin` and `image`: a worker has begun an image, has finished it. `retry`: an image failed and is tried
            again. `failed`: it failed for the last time. `restart`: a worker process was ended and another one takes
            its place. `warm-up`: a GPU is about to render for the first time. `unshared`: the workers of a GPU take
            turns, where they were to render at the same time. `retire`: a worker was ended for good.
        worker: Number of the worker, from 0.
        pid: Its process; 0 where that is not known yet.
        image: Name of the image.
        seconds: Time that the image took in the worker.
        memory_bytes: Memory that the worker holds after the image.
        why: What failed, or why the worker was ended.
    """

    kind: Literal["begin", "image", "retry", "failed", "restart", "warm-up", "unshared", "retire"]
    worker: int
    pid: int = 0
    image: str = ""
    seconds: float = 0.0
    memory_bytes: int = 0
    why: str = ""


Watch = Callable[[PoolEvent], None]
