"""Latents to images to shards: the only place that knows both halves."""

from m3di.generate.estimate import Estimate, dry_run
from m3di.generate.finish import finish
from m3di.generate.options import RenderOptions, render_settings
from m3di.generate.plan import Shard, make_plan, shards_of, user_shapes_of
from m3di.generate.preview import Preview, preview
from m3di.generate.run import check_failures, render
from m3di.generate.shards import Failure, Progress, Renders, jobs, render_missing, render_shards

__all__ = [
    "Estimate",
    "Failure",
    "Preview",
    "Progress",
    "RenderOptions",
    "Renders",
    "Shard",
    "check_failures",
    "dry_run",
    "finish",
    "jobs",
    "make_plan",
    "preview",
    "render",
    "render_missing",
    "render_settings",
    "render_shards",
    "shards_of",
    "user_shapes_of",
]
