"""Estimate what a run will take: a few images are rendered, and nothing is written."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from m3di import data
from m3di.errors import UsageError
from m3di.generate.destinations import Machines, destination
from m3di.generate.options import RenderOptions
from m3di.generate.plan import prepare
from m3di.generate.shards import ContentsOf, NoPool, Progress, job_of
from m3di.generate.workers import open_pool
from m3di.latents import Samples, Spec, sample, told_given, told_splits
from m3di.render import PoolEvent, RenderedImage, RenderPool, Watch

BLOCK = 512
IMAGES_PER_WORKER = 4
"""Rendered to measure. The first half is not counted: it opens the scene and renders pictures that are kept."""
IMAGES_PER_WORKER_ON_GPU = 24
"""On a GPU an image takes hundredths of a second; kept pictures come with the first image of each shape."""


@dataclass(frozen=True)
class Estimate:
    """What a run will take.

    Attributes:
        title: A few words on what is rendered.
        n_samples: Samples of each split.
        n_views: Images of each sample.
        n_shards: Shards of all splits.
        n_done: Samples that are finished already.
        n_measured: Images rendered to measure the speed.
        n_workers: Workers that rendered them.
        images_per_s: Speed of all workers together.
        sample_bytes: Mean size of a sample in its shard.
        n_tables: Tables that the run writes; 0 for a part.
        given: The condition of the spec, and the share of draws that fulfil it; empty where there is none.
        splits: What is another one in splits that have a process of their own.
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
    given: str = ""
    splits: tuple[str, ...] = ()

    @property
    def n_bytes(self) -> int:
        """Bytes of all shards."""
        return round(sum(self.n_samples.values()) * self.sample_bytes)

    @property
    def hours(self) -> float:
        """Hours until all is rendered."""
        left = (sum(self.n_samples.values()) - self.n_done) * self.n_views
        return left / self.images_per_s / 3600.0 if left else 0.0

    def __str__(self) -> str:
        counts = ", ".join(f"{name} {n:,}" for name, n in self.n_samples.items())
        speed = f"{self.n_measured} images, just now, {self.n_workers} workers: {self.images_per_s:.2f} images/s, "
        if not self.n_views:
            speed = "nothing is rendered; "
        return "\n".join(
            [
                f"plan      {self.title}",
                f"samples   {counts}; {self.n_views} image{'s' * (self.n_views != 1)} each",
                *([f"given     {self.given}"] if self.given else []),
                *(f"split     {each}" for each in self.splits),
                f"done      {self.n_done:,} samples are there already",
                f"files     {self.n_shards:,} shards, {self.n_tables} tables",
                f"measured  {speed}{self.sample_bytes / 1e3:,.1f} kB a sample",
                f"bytes     about {self.n_bytes / 1e9:,.3g} GB in shards",
                f"time      about {self.hours:,.1f} hours",
                "nothing was written",
            ]
        )


def dry_run(
    options: RenderOptions,
    watch: Watch | None = None,
    progress: Progress | None = None,
    *,
    machines: Machines | None = None,
) -> Estimate:
    """Plan a run: count samples and shards by the spec; measure speed and bytes with a few images on this machine.

    Args:
        options: What to render, how, and where to.
        watch: Called with everything that happens in the workers.
        progress: Called with images rendered to measure, and images in all.
        machines: The machines that will render; None for this one.

    Raises:
        UsageError: An option is out of range or excludes another, there is no such spec or part, or a Ray cluster is to
            render.
        M3diError: The folder holds something else, Blender or a GPU is missing, or an image failed.
    """
    machines = machines or Machines()
    to = destination(options.out, machines)
    if machines.ray:
        raise UsageError(
            "--dry-run measures this machine, not a Ray cluster",
            where=f"--ray {machines.ray}",
            next_step="leave --ray out, on a node of the cluster: a task with as many --workers is as quick",
        )
    spec, options, user_shapes, plan = prepare(options)
    shards = to.shards(plan)
    data.check_claim(to.folder, plan)
    ends: dict[int, list[float]] = defaultdict(list)

    def note_end(event: PoolEvent) -> None:
        if event.kind == "image":
            ends[event.worker].append(time.monotonic())
        if watch:
            watch(event)

    with open_pool(spec, options, user_shapes, note_end) as pool:
        n_workers, began = pool.n_started, time.monotonic()
        samples, shown = _few(pool, spec, options, progress)
    contents_of = ContentsOf(plan, samples)
    sizes = [sum(map(_in_tar, contents_of(row, each).values())) for row, each in enumerate(shown)]
    n_samples = {split: sum(shard.n for shard in shards if shard.split == split) for split in plan.n_samples}
    return Estimate(
        title=f"{spec.name} into {to}"
        + (f", {options.size_px} px, quality {options.quality}" if spec.rendered else ""),
        n_samples=n_samples,
        n_views=len(spec.rendered),
        n_shards=len(shards),
        n_done=to.n_done(spec, plan),
        n_measured=sum(map(len, shown)),
        n_workers=n_workers,
        images_per_s=rate(list(ends.values()), began),
        sample_bytes=sum(sizes) / len(shown),
        n_tables=0 if to.part else sum(n > 0 for n in n_samples.values()),
        given=told_given(spec),
        splits=tuple(f"{split}: {each}" for split, each in told_splits(spec).items()),
    )


def _few(
    pool: RenderPool | NoPool, spec: Spec, options: RenderOptions, progress: Progress | None
) -> tuple[Samples, list[dict[str, RenderedImage]]]:
    """Render a few samples: those, and the images of each by view."""
    views = list(spec.rendered)
    n_images = pool.n_started * (IMAGES_PER_WORKER_ON_GPU if options.gpu else IMAGES_PER_WORKER)
    n_rows = max(2, -(-n_images // max(1, len(views))))
    samples = sample(spec, "train", n_rows, seed=options.seed)
    places = [(row, view) for row in range(n_rows) for view in views]
    shown: list[dict[str, RenderedImage]] = [{} for _ in range(n_rows)]
    images = pool.render(job_of(samples, row, view) for row, view in places)
    for number, ((row, view), image) in enumerate(zip(places, images, strict=True), start=1):
        shown[row][view] = image
        if progress:
            progress(number, len(places))
    return samples, shown


def images_left(options: RenderOptions, machines: Machines) -> int:
    """Count the images that a run has still to render.

    Raises:
        UsageError: An option is out of range or excludes another, or there is no such spec or part.
        M3diError: The folder holds something else, or Blender is missing.
    """
    to = destination(options.out, machines)
    spec, options, _, plan = prepare(options)
    data.check_claim(to.folder, plan)
    return (sum(shard.n for shard in to.shards(plan)) - to.n_done(spec, plan)) * len(spec.rendered)


def rate(ends: Sequence[Sequence[float]], began: float) -> float:
    """Return images a second of all workers together; each is measured after its first half.

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
    """Return the bytes of a file in a tar archive, with its header."""
    return BLOCK + -(-len(content) // BLOCK) * BLOCK
