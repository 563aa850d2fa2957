"""Latents to images to shards: the only place that knows both halves."""

from m3di.generate.anywhere import Machines, dry_run_anywhere, render_anywhere
from m3di.generate.estimate import Estimate, dry_run
from m3di.generate.finish import finalize, finish, finish_folder, receipt_of
from m3di.generate.on_ray import RayOptions, render_on_ray
from m3di.generate.options import RenderOptions, render_settings
from m3di.generate.parts import Part
from m3di.generate.plan import Shard, blender_version, make_plan, shards_of, user_shapes_of
from m3di.generate.preview import Preview, preview
from m3di.generate.run import check_failures, render
from m3di.generate.shards import Failure, NoPool, Progress, Renders, jobs, render_missing, render_shards
from m3di.generate.staged import Delivery, deliver_missing, render_to

__all__ = [
    "Delivery",
    "Estimate",
    "Failure",
    "Machines",
    "NoPool",
    "Part",
    "Preview",
    "Progress",
    "RayOptions",
    "RenderOptions",
    "Renders",
    "Shard",
    "blender_version",
    "check_failures",
    "deliver_missing",
    "dry_run",
    "dry_run_anywhere",
    "finalize",
    "finish",
    "finish_folder",
    "jobs",
    "make_plan",
    "preview",
    "receipt_of",
    "render",
    "render_anywhere",
    "render_missing",
    "render_on_ray",
    "render_settings",
    "render_shards",
    "render_to",
    "shards_of",
    "user_shapes_of",
]
