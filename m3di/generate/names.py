"""The names of `m3di.generate`, see `m3di.system.lazy_names`."""

from __future__ import annotations

from m3di.generate.destinations import Machines, Staged, default_staging
from m3di.generate.estimate import Estimate, dry_run, images_left
from m3di.generate.finishing import finalize, finish
from m3di.generate.missing_shards import render_missing
from m3di.generate.options import RenderOptions, WorkerOptions
from m3di.generate.parts import Part
from m3di.generate.plan import make_plan, shards_of, user_shapes_of
from m3di.generate.previewing import Preview, preview
from m3di.generate.run import render
from m3di.generate.shards import Progress, jobs, render_shards

__all__ = [
    "Estimate",
    "Machines",
    "Part",
    "Preview",
    "Progress",
    "RenderOptions",
    "Staged",
    "WorkerOptions",
    "default_staging",
    "dry_run",
    "finalize",
    "finish",
    "images_left",
    "jobs",
    "make_plan",
    "preview",
    "render",
    "render_missing",
    "render_shards",
    "shards_of",
    "user_shapes_of",
]
