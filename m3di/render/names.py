"""The names of `m3di.render`, see `m3di.system.lazy_names`."""

from __future__ import annotations

from m3di.latents import ANNOTATIONS, builtin_shapes
from m3di.render.agreement import agree
from m3di.render.camera import DATASET_CAMERA, Camera
from m3di.render.choices import LEAST_SIZE_PX, PASSES
from m3di.render.gpu import GPU_BACKENDS, Gpu, default_workers_per_gpu, nvidia_cards
from m3di.render.gpu_environment import kernel_folder
from m3di.render.job import (
    GB,
    Outcome,
    PoolEvent,
    RenderedImage,
    RenderJob,
    RenderSettings,
    Watch,
    WorkerLimits,
)
from m3di.render.library.import_mesh import ImportOptions, import_shape
from m3di.render.library.user_shapes import UserShape, find_shapes, remove_user_shape, user_shapes
from m3di.render.machine import check_blender, default_n_workers, missing_packages
from m3di.render.pool import RenderPool
from m3di.render.quality import QUALITIES, Quality, quality_digest
from m3di.render.scene import SceneValues, scene_values
from m3di.render.turntable import Turntable, check_sizes, turntables

__all__ = [
    "ANNOTATIONS",
    "DATASET_CAMERA",
    "GB",
    "GPU_BACKENDS",
    "LEAST_SIZE_PX",
    "PASSES",
    "QUALITIES",
    "Camera",
    "Gpu",
    "ImportOptions",
    "Outcome",
    "PoolEvent",
    "Quality",
    "RenderJob",
    "RenderPool",
    "RenderSettings",
    "RenderedImage",
    "SceneValues",
    "Turntable",
    "UserShape",
    "Watch",
    "WorkerLimits",
    "agree",
    "builtin_shapes",
    "check_blender",
    "check_sizes",
    "default_n_workers",
    "default_workers_per_gpu",
    "find_shapes",
    "import_shape",
    "kernel_folder",
    "missing_packages",
    "nvidia_cards",
    "quality_digest",
    "remove_user_shape",
    "scene_values",
    "turntables",
    "user_shapes",
]
