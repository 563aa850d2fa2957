"""Shapes from all sides: what `m3di shapes preview` shows."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from m3di.errors import UsageError
from m3di.render.camera import Camera
from m3di.render.choices import LEAST_SIZE_PX
from m3di.render.job import RenderJob, RenderSettings
from m3di.render.library.user_shapes import UserShape
from m3di.render.pool import RenderPool
from m3di.render.quality import Quality
from m3di.render.scene import SceneValues

N_ANGLES = 8
CLOSE_CAMERA = Camera((10.4, 0.0, 3.8), focal_mm=74.0)
"""About 20 degrees above the horizon, and so near that a shape fills the image."""
QUALITY = Quality(24, 0, 0.0, light_passes=False, denoise=True)
"""Few samples and a denoiser: from near, a shape covers most of the image, and a clean one would take long."""


@dataclass(frozen=True)
class Turntable:
    """Pictures of one shape.

    Attributes:
        name: The shape.
        turned: From near, turned by a further 45 degrees each; uint8 [8, height, width, 3]. The first shows the front.
        in_dataset: As the datasets show it, turned by 45 degrees; uint8 [height, width, 3].
    """

    name: str
    turned: NDArray[np.uint8]
    in_dataset: NDArray[np.uint8]


def check_sizes(size_px: int, n_workers: int) -> None:
    """Raise where pictures of shapes cannot be of this size, or rendered by so many workers.

    Raises:
        UsageError: It names the option.
    """
    for option, value, least in (("--size", size_px, LEAST_SIZE_PX), ("--workers", n_workers, 1)):
        if value < least:
            raise UsageError(f"{option} is too small", where=option, got=value, expected=f"{least} or more")


def turntables(
    names: Sequence[str],
    *,
    size_px: int,
    dataset_size_px: int = 224,
    n_workers: int = 1,
    user_shapes: tuple[UserShape, ...] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Turntable]:
    """Render shapes from eight sides, and once as datasets show them.

    Raises:
        UsageError: The size or the number of workers is too small.
        M3diError: Blender is missing, or an image failed.
    """
    check_sizes(size_px, n_workers)
    total = len(names) * (N_ANGLES + 1)

    def images(size: int, camera: Camera, angles: Sequence[float], before: int) -> NDArray[np.uint8]:
        settings = RenderSettings(size, QUALITY, camera=camera, user_shapes=user_shapes)
        jobs = [RenderJob(f"shape {name}", _values(name, angle)) for name in names for angle in angles]
        with RenderPool(settings, n_workers) as pool:
            shown = []
            for done, image in enumerate(pool.render(jobs), start=before + 1):
                shown.append(np.asarray(Image.open(io.BytesIO(image.png))))
                progress(done, total)
        return np.stack(shown).reshape(len(names), len(angles), size, size, 3)

    angles = [2.0 * math.pi * step / N_ANGLES for step in range(N_ANGLES)]
    near = images(size_px, CLOSE_CAMERA, angles, 0)
    far = images(dataset_size_px, Camera(), angles[1:2], total - len(names))
    return [Turntable(name, near[row], far[row, 0]) for row, name in enumerate(names)]


def _values(name: str, angle_rad: float) -> SceneValues:
    return SceneValues(
        shape=name,
        material="rubber",
        location_m=(0.0, 0.0, 0.0),
        rotation_rad=(0.0, 0.0, angle_rad),
        object_rgb=(0.75, 0.32, 0.06),
        spotlight_rgb=(2.0, 2.0, 2.0),
        ground_rgb=(0.5, 0.55, 0.62),
        spotlight_angle_rad=0.9,
        seed=0,
    )
