"""Latents to images to shards: the only place that knows both halves."""

from m3di.generate.destinations import Destination, InPlace, Machines, Staged, Workplace, default_staging, destination
from m3di.generate.estimate import Estimate, dry_run
from m3di.generate.finishing import finalize, finish, receipt_of
from m3di.generate.missing_shards import check_failures, render_missing
from m3di.generate.options import RenderOptions, WorkerOptions
from m3di.generate.parts import Part
from m3di.generate.plan import Shard, blender_version, make_plan, shards_of, user_shapes_of
from m3di.generate.previewing import Preview, preview
from m3di.generate.run import render
from m3di.generate.shards import Failure, NoPool, Progress, Renders, jobs, render_shards

__all__ = [
    "Destination",
    "Estimate",
    "Failure",
    "InPlace",
    "Machines",
    "NoPool",
    "Part",
    "Preview",
    "Progress",
    "RenderOptions",
    "Renders",
    "Shard",
    "Staged",
    "WorkerOptions",
    "Workplace",
    "blender_version",
    "check_failures",
    "default_staging",
    "destination",
    "dry_run",
    "finalize",
    "finish",
    "jobs",
    "make_plan",
    "preview",
    "receipt_of",
    "render",
    "render_missing",
    "render_shards",
    "shards_of",
    "user_shapes_of",
]
