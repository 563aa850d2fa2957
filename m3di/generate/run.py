"""The road of a run: prepare, hold the destination, start the workers, render and deliver shards, finish."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple

from m3di import data
from m3di.generate.destinations import Destination, Machines, Workplace, destination
from m3di.generate.finishing import finish
from m3di.generate.log import LogFile, logged
from m3di.generate.missing_shards import render_missing
from m3di.generate.options import RenderOptions
from m3di.generate.plan import Prepared, prepare
from m3di.generate.ray_tasks import check_ray_options, cluster, render_on_cluster
from m3di.generate.shards import Progress
from m3di.generate.workers import Watchers, open_pool
from m3di.render import Watch

THIS_MACHINE = Machines()


def render(
    options: RenderOptions,
    progress: Progress | None = None,
    watch: Watch | None = None,
    *,
    machines: Machines = THIS_MACHINE,
) -> data.Manifest | None:
    """Render a dataset, or what is missing of it, or a part: a finished image is never rendered again.

    Two machines with one part, or one URL, waste work and harm nothing.

    Args:
        options: What to render, how, and where to.
        progress: Called with samples done and samples in all, at the start and after every sample; with Ray, about once
            a second.
        watch: Called with everything that happens in the workers of this machine.
        machines: What renders: this machine (all, or a part), or a Ray cluster.

    Returns:
        The manifest of the finished dataset; None if only a part was rendered.

    Raises:
        UsageError: An option is out of range or excludes another, or there is no such spec or part.
        M3diError: The folder holds something else, cannot be written, is full, or another process renders into it;
            Blender, a GPU or the Ray cluster is missing; images failed. What was finished before is kept.
    """
    to = destination(options.out, machines)
    if machines.ray:
        check_ray_options(options)
    job = prepare(options)
    renderer = _cluster(options, machines, job, to) if machines.ray else _this_machine(job, to, watch)
    return _render_missing(job, to, renderer, progress)


def render_prepared(
    job: Prepared, progress: Progress | None = None, watch: Watch | None = None
) -> data.Manifest | None:
    """Render what is prepared already on this machine, as `render` does."""
    to = destination(job.options.out, THIS_MACHINE)
    return _render_missing(job, to, _this_machine(job, to, watch), progress)


def _render_missing(
    job: Prepared, to: Destination, workers: AbstractContextManager[_Renderer], progress: Progress | None
) -> data.Manifest | None:
    to.shards(job.plan)  # raises if there is no such part
    manifest = to.finished(job.plan)
    if manifest is not None:
        return manifest
    # Hold the place before Blender starts: of two runs that start together, the first one goes on.
    with to.workplace(job.plan) as place:
        manifest = to.finished(job.plan)  # another process may have been quicker
        if manifest is not None:
            return manifest
        with workers as renderer:
            return _render(job, to, place, renderer, progress)


class _Renderer(NamedTuple):
    """Workers, here or on a cluster.

    Attributes:
        gpus: Its GPUs, as far as known.
        render: Renders the missing shards, given the workplace, the log and a progress callback.
        close: Ends the workers before the tables are written, which need the memory.
    """

    gpus: list[str]
    render: Callable[[Workplace, LogFile, Progress], None]
    close: Callable[[], None]


def _render(
    job: Prepared, to: Destination, place: Workplace, renderer: _Renderer, progress: Progress | None
) -> data.Manifest | None:
    to.claim(job.plan)
    log = LogFile(place.log)
    with data.disk_errors(place.path), logged(log, job.plan, renderer.gpus, progress) as count:
        renderer.render(place, log, count)
        renderer.close()
        return finish(to.folder, job.spec, job.plan) if to.part is None else None


@contextlib.contextmanager
def _this_machine(job: Prepared, to: Destination, watch: Watch | None) -> Iterator[_Renderer]:
    watchers = Watchers(watch)
    with open_pool(job.spec, job.options, job.user_shapes, watchers) as pool:

        def render_here(place: Workplace, log: LogFile, progress: Progress) -> None:
            watchers.add(log.write_pool_event)
            render_missing(to, place, job.spec, job.plan, pool, progress, log.write_shard)

        yield _Renderer([gpu.described() for gpu in pool.gpus], render_here, pool.close)


@contextlib.contextmanager
def _cluster(options: RenderOptions, machines: Machines, job: Prepared, to: Destination) -> Iterator[_Renderer]:
    with cluster(options, machines) as tasks:

        def render_there(place: Workplace, log: LogFile, progress: Progress) -> None:
            render_on_cluster(to, place, job.plan, tasks, log, progress)

        yield _Renderer([], render_there, lambda: None)
