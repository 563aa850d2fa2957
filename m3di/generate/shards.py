"""Build shards from images that come from any worker, in any order, in any number of runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from m3di import data
from m3di.errors import M3diError
from m3di.generate.plan import Shard
from m3di.latents import LATENTS, Samples, Spec, sample
from m3di.render import Gpu, Outcome, RenderedImage, RenderJob, scene_values

MAX_FAILURES_IN_A_ROW = 10
Progress = Callable[[int, int], None]


class Renders(Protocol):
    """Workers that render: a `RenderPool`, or a stand-in."""

    @property
    def gpus(self) -> Sequence[Gpu]:
        """The GPUs that render."""
        ...

    def outcomes(self, jobs: Iterable[RenderJob]) -> Iterator[Outcome]:
        """Yield the image of each job, or why there is none, in any order."""
        ...


class NoPool:
    """Stand-in for a `RenderPool` if a spec renders nothing: it starts no worker."""

    gpus: ClassVar[list[Gpu]] = []
    n_started = 0

    def __enter__(self) -> NoPool:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def check(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def outcomes(self, jobs: Iterable[RenderJob]) -> Iterator[Outcome]:
        """Yield nothing, but ask for the jobs, which writes the shards."""
        for job in jobs:
            raise ValueError(f"{job.name}: no worker renders it")
        yield from ()

    def render(self, jobs: Iterable[RenderJob]) -> Iterator[RenderedImage]:
        """Yield nothing."""
        yield from (outcome.image for outcome in self.outcomes(jobs) if outcome.image)


@dataclass(frozen=True)
class Failure:
    """An image that could not be rendered, and why."""

    image: str
    why: str

    def __str__(self) -> str:
        return f"{self.image}: {self.why}"


def jobs(samples: Samples, row: int) -> Iterator[RenderJob]:
    """Yield a job for each image view of a sample."""
    for view in samples.spec.rendered:
        yield job_of(samples, row, view)


def job_of(samples: Samples, row: int, view: str) -> RenderJob:
    """Make the job of one image view of a sample."""
    raw = {factor: values[row].item() for factor, values in samples.views[view].items()}
    values = scene_values(samples.spec, samples.spec.rendered[view], raw)
    return RenderJob(job_name(samples.split, data.sample_key(samples.start + row), view), values)


def job_name(split: str, key: str, view: str) -> str:
    """Name an image for messages and the log."""
    return f"{split} {key}, view {view}"


def render_shards(
    spec: Spec,
    plan: data.Plan,
    shards: Iterable[Shard],
    out: Path,
    pool: Renders,
    progress: Progress | None = None,
    on_shard: Callable[[str], None] | None = None,
) -> list[Failure]:
    """Render and write missing shards. A shard depends on spec, plan and its number only.

    An unfinished shard keeps its finished images, and the folder notes the GPUs that they come from. The next shard
    starts while the last images of this one are rendered, so no worker waits.

    Args:
        spec: The spec.
        plan: The plan of the dataset.
        shards: The shards to render.
        out: Folder of the shards.
        pool: What renders.
        progress: Called with samples done and samples in all, at the start and after every sample.
        on_shard: Called with the name of each shard that is finished.

    Returns:
        The images that could not be rendered. Their shards stay unfinished; another run tries these images only.

    Raises:
        M3diError: Many images in a row could not be rendered: something is wrong with all of them.
        OSError: A file could not be written.
    """
    watching = _Watching(progress or (lambda done, total: None), on_shard or (lambda name: None))
    run = _ShardRun(spec, plan, list(shards), out, watching)
    try:
        for outcome in noting_devices(pool, run.queue(), out):
            run.take(outcome)
    finally:
        run.close()
    return run.failures


def noting_devices(pool: Renders, wanted: Iterable[RenderJob], out: Path) -> Iterator[Outcome]:
    """Yield the outcomes of jobs; note the GPUs in a folder before its first image from them, and not without one."""
    has_image = False
    for outcome in pool.outcomes(wanted):
        if outcome.image is not None and not has_image:
            has_image = True
            data.note_devices(out, [gpu.described() for gpu in pool.gpus])
        yield outcome


def n_finished(spec: Spec, shard: Shard, out: Path) -> int:
    """Count the samples of a shard that earlier runs have finished."""
    if (out / shard.name).exists():
        return shard.n
    views = spec.rendered
    found = data.finished_images(out / shard.name)
    return sum(all((key, view) in found for view in views) for key in shard.keys) if found else 0


@dataclass(frozen=True)
class _Watching:
    """The callbacks of a run."""

    progress: Progress
    on_shard: Callable[[str], None]


class _ShardRun:
    """Several unfinished shards: each image goes to the shard that asked for it."""

    def __init__(self, spec: Spec, plan: data.Plan, shards: list[Shard], out: Path, watching: _Watching) -> None:
        self.spec, self.plan, self.shards, self.out = spec, plan, shards, out
        self.failures: list[Failure] = []
        self._n_failed_in_a_row = 0
        self._waiting: dict[str, _OpenShard] = {}
        self._watching = watching
        self._n_samples = sum(shard.n for shard in shards)
        self._n_done = 0
        self._count(sum(n_finished(spec, shard, out) for shard in shards))

    def queue(self) -> Iterator[RenderJob]:
        """Yield the missing jobs; a shard is opened when its first image is asked for."""
        for shard in self.shards:
            if (self.out / shard.name).exists():
                continue
            opened = _OpenShard(self.spec, self.plan, shard, self.out)
            self._waiting |= dict.fromkeys(opened.missing, opened)
            if not opened.missing:
                try:
                    self._finish(opened)
                finally:
                    opened.close()
                if not opened.views:
                    self._count(shard.n)
            yield from opened.jobs()

    def take(self, outcome: Outcome) -> None:
        """Keep an image, and finish its shard with the last one."""
        name = outcome.job.name
        opened = self._waiting[name]
        if outcome.image is None:
            self._fail(Failure(name, outcome.error))
        else:
            self._n_failed_in_a_row = 0
            if opened.keep(name, outcome.image):
                self._count(1)
        opened.n_waiting -= 1
        if not opened.missing:
            self._finish(opened)
        elif opened.n_waiting == 0:
            opened.close()
        del self._waiting[name]

    def close(self) -> None:
        """Close unfinished shards; they stay on the disk."""
        for opened in set(self._waiting.values()):
            opened.close()

    def _finish(self, opened: _OpenShard) -> None:
        opened.finish()
        self._watching.on_shard(opened.path.name)

    def _count(self, n: int) -> None:
        self._n_done += n
        self._watching.progress(self._n_done, self._n_samples)

    def _fail(self, failure: Failure) -> None:
        self.failures.append(failure)
        self._n_failed_in_a_row += 1
        if self._n_failed_in_a_row == MAX_FAILURES_IN_A_ROW:
            raise M3diError(
                f"the last {MAX_FAILURES_IN_A_ROW} images could not be rendered, so the run stops",
                where=failure.image,
                got=failure.why,
                next_step="look for the cause, then run the same command again; finished images are kept",
            )


class _OpenShard:
    """An unfinished shard.

    Attributes:
        missing: Row and view of each missing image, by the name of its job.
        n_waiting: Images that have neither arrived nor failed.
    """

    def __init__(self, spec: Spec, plan: data.Plan, shard: Shard, out: Path) -> None:
        self.plan = plan
        self.path = out / shard.name
        self.samples = sample(spec, shard.split, shard.n, seed=plan.seed, start=shard.start)
        self.views = list(spec.rendered)
        self.journal = data.ImageJournal(self.path)
        self.missing = {
            job_name(shard.split, key, view): (row, view)
            for row, key in enumerate(shard.keys)
            for view in self.views
            if (key, view) not in self.journal
        }
        self.n_waiting = len(self.missing)
        self._n_missing = Counter(row for row, _ in self.missing.values())

    def jobs(self) -> Iterator[RenderJob]:
        """Yield a job for each missing image."""
        for row, view in list(self.missing.values()):
            yield job_of(self.samples, row, view)

    def keep(self, name: str, image: RenderedImage) -> bool:
        """Keep an image; return whether it completes its sample."""
        row, view = self.missing[name]
        files = {data.JOURNAL_IMAGE: image.png, **image.passes}
        self.journal.append(data.JournalEntry(self._key(row), view, image.annotation, files))
        del self.missing[name]
        self._n_missing[row] -= 1
        return self._n_missing[row] == 0

    def finish(self) -> None:
        """Write the shard, samples in order, and remove the journal."""
        writer = data.ShardWriter(self.path, tuple(self.plan.extensions.values()))
        try:
            for key, contents in self._contents():
                writer.add(key, contents)
            writer.finish()
        finally:
            writer.close()
        self.journal.remove()

    def close(self) -> None:
        """Close the journal; it stays for the next run."""
        self.journal.close()

    def _key(self, row: int) -> str:
        return data.sample_key(self.samples.start + row)

    def _contents(self) -> Iterator[tuple[str, dict[str, bytes]]]:
        """Yield key and files of each sample."""
        contents_of = ContentsOf(self.plan, self.samples)
        for row in range(self.samples.n):
            key = self._key(row)
            found = {view: self.journal.read(key, view) for view in self.views}
            images = {
                view: RenderedImage(each.files.pop(data.JOURNAL_IMAGE), each.annotation, each.files)
                for view, each in found.items()
            }
            yield key, contents_of(row, images)


class ContentsOf:
    """Makes the files of samples from their images.

    Args:
        plan: The plan of the dataset.
        samples: Some samples of it.
    """

    def __init__(self, plan: data.Plan, samples: Samples) -> None:
        self.extensions = plan.extensions
        self._noted = tuple(plan.noted)
        spec = samples.spec
        self._made = {name: data.files_of(samples, name) for name in (*spec.told, *spec.made)}
        self._columns = samples.columns()

    def __call__(self, row: int, images: Mapping[str, RenderedImage]) -> dict[str, bytes]:
        """Return the files of a sample by extension.

        Args:
            row: Which of the samples.
            images: The image of each image view.
        """
        nested = {
            view: {name: getattr(values[row], "item", lambda v=values[row]: v)() for name, values in each.items()}
            for view, each in self._columns.items()
        }
        contents = {self.extensions[name]: each[row] for name, each in self._made.items()}
        for view, image in images.items():
            nested[view] |= {name: image.annotation[name] for name in self._noted}
            contents[self.extensions[view]] = image.png
            contents |= {self.extensions[f"{view}.{name}"]: content for name, content in image.passes.items()}
        contents[self.extensions[LATENTS]] = data.nested_json(nested)
        return contents
