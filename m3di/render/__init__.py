"""Scene values to images. Blender (`bpy`) is imported in this room only, and only inside worker processes."""

from m3di.render.pool import RenderJob, RenderPool, RenderSettings, check_blender, default_n_workers
from m3di.render.quality import QUALITIES, Quality
from m3di.render.scene import SceneValues, scene_values

__all__ = [
    "QUALITIES",
    "Quality",
    "RenderJob",
    "RenderPool",
    "RenderSettings",
    "SceneValues",
    "check_blender",
    "default_n_workers",
    "scene_values",
]
