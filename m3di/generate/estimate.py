"""What a run will take: a few images rendered for real, nothing written."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from m3di import data
from m3di.generate.options import RenderOptions, render_settings
from m3di.generate.parts import Part
from m3di.generate.plan import Shard, prepare, shards_of
from m3di.generate.shards import ContentsOf, NoPool, job_of, n_finished
from m3di.latents import Spec, sample
from m3di.render import PoolEvent, RenderedImage, RenderPool, Watch

BLOCK = 512
IMAGES_PER_WORKER = 4
"""Rendered to measure; the first half is not counted: it opens the scene, and renders pictures that are kept."""
IMAGES_PER_WORKER_ON_GPU = 24
"""There an image takes hundredths of a second, and what is kept comes with the first image of each shape."""


@dataclass(frozen=True)
class Estimate:
    """What a run will take.

    Attributes:
        title: What is rendered, in a few words.
        n_samples: Samples of each split.
        n_views: Images of each sample.
        n_shards: Shards of all splits.
        n_done: Samples that are there already.
        n_measured: Images rendered to measure the speed.
        n_workers: Workers that rendered them.
        images_per_s: Speed of all workers together.
        sample_bytes: Mean size of a sample in its shard.
        n_tables: Tables that the run writes; a part of a dataset writes none.
    """

    title: str
    n_samples: dict[str, int]
    n_views: int
    n_shards: int
    n_done: int
    n_measured: int
    n_workers: int
    images_per_s: float
    sample_bytes: float
    n_tables: int

    @property
    def n_bytes(self) -> int:
        """Bytes of all shards."""
        return round(sum(self.n_samples.values()) * self.sample_bytes)

    @property
    def hours(self) -> float:
        """Time until all is rendered."""
        left = (sum(self.n_samples.values()) - self.n_done) * self.n_views
        return left / self.images_per_s / 3600.0 if left else 0.0

    def __str__(self) -> str:
        counts = ", ".join(f"{name} {n:,}" for name, n in self.n_samples.items())
        return "\n".join(
            [
                f"plan      {self.title}",
                f"samples   {counts}; {self.n_views} image{'s' * (self.n_views != 1)} each",
                f"done      {self.n_done:,} samples are there already",
                f"files     {self.n_shards:,} shards, {self.n_tables} tables",
                f"measured  {self.n_measured} images, just now, {self.n_workers} workers: "
                f"{self.images_per_s:.2f} images/s, {self.sample_bytes / 1e3:,.1f} kB a sample",
                f"bytes     about {self.n_bytes / 1e9:,.3g} GB in shards",
                f"time      about {self.hours:,.1f} hours",
                "nothing was written",
            ]
        )


def dry_run(
    options: RenderOptions,
    folder: data.Folder | None = None,
    part: Part | None = None,
    watch: Watch | None = None,
) -> Estimate:
    """Plan a run: counts and shards from the spec, speed and bytes from a few images rendered now.

    Args:
        options: What to render, and how.
        folder: Where finished shards are to be brought; None where they are made in `options.out`.
        part: The part that this machine is to render; None for all.
        watch: Called with everything that happens in the workers.

    Raises:
        UsageError: An option is out of range, or there is no such spec or part.
        M3diError: The folder holds something else, Blender or a GPU is missing, or an image failed.
    """
    spec, options, yours, plan = prepare(options)
    views = list(spec.rendered)
    shards = part.shards(plan) if part else list(shards_of(plan))
    n_done = _n_done(spec, plan, shards, options.out if folder is None else folder)
    ends: dict[int, list[float]] = defaultdict(list)

    def see(event: PoolEvent) -> None:
        if event.kind == "image":
            ends[event.worker].append(time.monotonic())
        if watch:
            watch(event)

    settings = render_settings(options, yours)
    with RenderPool(settings, options.n_workers, options.limits, see) if spec.rendered else NoPool() as pool:
        pool.check()
        n_workers, began = pool.n_started, time.monotonic()
        n_images = n_workers * (IMAGES_PER_WORKER_ON_GPU if options.gpu else IMAGES_PER_WORKER)
        n_rows = max(2, -(-n_images // max(1, len(views))))
        samples = sample(spec, "train", n_rows, seed=options.seed)
        places = [(row, view) for row in range(n_rows) for view in views]
        images = list(pool.render(job_of(samples, row, view) for row, view in places))
    shown: list[dict[str, RenderedImage]] = [{} for _ in range(n_rows)]
    for (row, view), image in zip(places, images, strict=True):
        shown[row][view] = image
    contents_of = ContentsOf(plan, samples)
    sizes = [sum(map(_in_tar, contents_of(row, each).values())) for row, each in enumerate(shown)]
    place = f"{folder or options.out}{f', part {part}' if part else ''}"
    n_samples = {split: sum(shard.n for shard in shards if shard.split == split) for split in plan.n_samples}
    return Estimate(
        title=f"{spec.name} into {place}, {options.size_px} px, quality {options.quality}",
        n_samples=n_samples,
        n_views=len(views),
        n_shards=len(shards),
        n_done=n_done,
        n_measured=len(images),
        n_workers=n_workers,
        images_per_s=rate(list(ends.values()), began),
        sample_bytes=sum(sizes) / n_rows,
        n_tables=0 if part else sum(n > 0 for n in n_samples.values()),
    )


def _n_done(spec: Spec, plan: data.Plan, shards: Sequence[Shard], place: Path | data.Folder) -> int:
    """Samples that are there already; of a folder to which shards are brought, those of whole shards.

    Raises:
        M3diError: The folder holds something else.
    """
    if isinstance(place, Path):
        data.check_folder(place, plan)
        return sum(n_finished(spec, shard, place) for shard in shards)
    data.check_claim(place, plan)
    there = place.sizes()
    return sum(shard.n for shard in shards if shard.name in there)


def rate(ends: Sequence[Sequence[float]], began: float) -> float:
    """Images a second of all workers together: of each, by the clock, what it made after its first half.

    Args:
        ends: For each worker that has finished an image, when it finished each, in seconds.
        began: When all of them began.
    """
    found = 0.0
    for times in ends:
        half = len(times) // 2
        since = times[half - 1] if half else began
        found += (len(times) - half) / (times[-1] - since) if times[-1] > since else math.inf
    return found or math.inf


def _in_tar(content: bytes) -> int:
    """Bytes of a file in a tar archive, with its header."""
    return BLOCK + -(-len(content) // BLOCK) * BLOCK
