"""Render shards as tasks of a Ray cluster: Ray places and repeats tasks, and each copies its shard to the folder."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from m3di import data
from m3di.errors import M3diError, UsageError
from m3di.generate.destinations import Destination, Machines, Staged, Workplace, default_staging
from m3di.generate.log import LogFile
from m3di.generate.missing_shards import check_failures, render_missing
from m3di.generate.options import RenderOptions
from m3di.generate.plan import QUALITY_DIGEST, Shard, makers, noted_makers, user_shapes_of
from m3di.generate.shards import Failure, Progress
from m3di.generate.workers import open_pool
from m3di.latents import Plugin, Spec, plugins_run, run_again, spec_from_dict
from m3di.render import QUALITIES, PoolEvent, UserShape, default_workers_per_gpu
from m3di.system.ray_cluster import check_ray, connected

N_RETRIES = 3
POLL_S = 1.0
TASKS_PER_CORE = 2  # submitted at a time; the others wait here and take no memory of the cluster


@dataclass(frozen=True)
class Tasks:
    """The settings of all tasks.

    Attributes:
        options: What to render, and how; `n_workers` is that of one task.
        staging: Folder on each node for unfinished shards; None takes a temporary one.
    """

    options: RenderOptions
    staging: Path | None


@dataclass(frozen=True)
class ShardTask:
    """One task: the folder of the dataset, its plan, the name of the shard to render, and plugins to run first."""

    root: str
    plan: data.Plan
    shard: str
    tasks: Tasks
    plugins: tuple[Plugin, ...] = ()


def check_ray_options(options: RenderOptions) -> None:
    """Check that the options make sense on a cluster.

    Raises:
        UsageError: One does not.
        M3diError: Ray is not installed.
    """
    if options.gpu_devices:
        raise UsageError(
            "--gpu-devices means nothing on a Ray cluster: Ray gives each task a GPU of its own",
            where="--gpu-devices",
            got=",".join(map(str, options.gpu_devices)),
            next_step="leave it out; set CUDA_VISIBLE_DEVICES where a node's `ray start` runs to keep a card from Ray",
        )
    check_ray()


@contextmanager
def cluster(options: RenderOptions, machines: Machines) -> Iterator[Tasks]:
    """Connect to a cluster that can render.

    Each task uses `n_workers` cores, and with `gpu` one GPU that its workers share: one worker unless the options say
    otherwise, on a GPU up to eight.

    Raises:
        M3diError: The cluster cannot be reached, or no node has what a task needs.
    """
    address = machines.ray or "auto"
    with connected(address):
        options = replace(options, n_workers=options.n_workers or default_workers(options.gpu))
        check_cluster(options, address)
        yield Tasks(options, machines.staging)


def default_workers(gpu: bool) -> int:
    """Return the default number of workers of a task: 1, or as many as share a GPU well on every node with one."""
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    shares = [default_workers_per_gpu(int(node.get("CPU", 1)), int(node["GPU"])) for node in nodes if node.get("GPU")]
    return min(shares, default=1) if gpu else 1


def check_cluster(options: RenderOptions, address: str) -> None:
    """Check that a task can start.

    Raises:
        M3diError: No node has a GPU, or enough cores.
    """
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    wanted = {"CPU": options.n_workers or 1, "GPU": int(options.gpu)}
    if any(all(node.get(name, 0) >= n for name, n in wanted.items()) for node in nodes):
        return
    has = [f"{int(node.get('CPU', 0))} cores and {int(node.get('GPU', 0))} GPUs" for node in nodes]
    raise M3diError(
        "no node of the Ray cluster has what a task needs",
        where=f"--ray {address}",
        got=f"nodes with {'; '.join(has)}" if has else "no node",
        expected=f"{wanted['CPU']} cores" + (" and a GPU" if options.gpu else ""),
        next_step="start such a node, ask for fewer --workers, or leave out --gpu",
    )


def render_on_cluster(
    to: Destination, place: Workplace, plan: data.Plan, tasks: Tasks, log: LogFile, progress: Progress
) -> None:
    """Render all missing shards on the cluster.

    Ray repeats a task that fails, or dies with its worker or node, up to three times. All nodes
    must reach the folder, with their own access, and have m3di, Blender and the user's meshes as this machine has them.

    Raises:
        M3diError: Shards could not be rendered, or another process has taken the run over. What is finished is kept.
    """
    import ray

    # Tasks run in other folders: the path must be absolute.
    root = str(to.folder.root.resolve() if isinstance(to.folder, data.LocalFolder) else to.folder)
    missing = to.missing(plan)
    total = sum(shard.n for shard in to.shards(plan))
    n_there = total - sum(shard.n for shard in missing)
    waiting = iter(missing)
    reports = ray.remote(_Reports).options(num_cpus=0, max_restarts=-1).remote()
    task = ray.remote(render_shard_task).options(
        num_cpus=tasks.options.n_workers or 1,
        num_gpus=int(tasks.options.gpu),
        max_retries=N_RETRIES,
        retry_exceptions=True,
    )
    progress = place.guarded(progress)
    running: dict[Any, Shard] = {}
    failures: list[Failure] = []
    progress(n_there, total)
    while True:
        room = TASKS_PER_CORE * max(1, int(ray.cluster_resources().get("CPU", 1)))
        for shard in waiting if len(running) < room else ():
            running[task.remote(ShardTask(root, plan, shard.name, tasks, plugins_run()), reports)] = shard
            if len(running) >= room:
                break
        if not running:
            _read(reports, [], log)
            break
        ready, _ = ray.wait(list(running), timeout=POLL_S)
        done = [running.pop(each) for each in ready]
        n_there += sum(shard.n for shard in done)
        progress(min(total, n_there + _read(reports, running.values(), log)), total)
        for shard, each in zip(done, ready, strict=True):
            failures += _failure(shard, each, log)
    check_failures(to.folder, failures, place.log.name)


def _failure(shard: Shard, done: Any, log: LogFile) -> list[Failure]:
    """Return why a task failed for good; nothing if its shard has arrived."""
    import ray

    try:
        ray.get(done)
    except ray.exceptions.RayTaskError as error:
        why = str(error.cause)
    except ray.exceptions.RayError as error:  # its worker or its node died each time
        why = str(error)
    else:
        log.write_shard(shard.name)
        return []
    log.write("failed", task=shard.name, why=why)
    return [Failure(shard.name, why)]


def _read(reports: Any, running: Iterable[Shard], log: LogFile) -> int:
    """Count the finished samples of running tasks, as far as known; write the workers' events to the log."""
    import ray

    try:
        done, events = ray.get(reports.read.remote(), timeout=POLL_S)
    except (ray.exceptions.RayError, TimeoutError):  # its node died or is busy: the bar waits for finished shards
        return 0
    for shard, event in events:
        log.write_pool_event(event, task=shard)
    return sum(done.get(shard.name, 0) for shard in running)


class _Reports:
    """An actor that collects the progress of each shard, and the events since it was last read."""

    def __init__(self) -> None:
        self._done: dict[str, int] = {}
        self._events: list[tuple[str, PoolEvent]] = []

    def count(self, shard: str, n: int) -> None:
        self._done[shard] = n

    def tell(self, shard: str, event: PoolEvent) -> None:
        self._events.append((shard, event))

    def read(self) -> tuple[dict[str, int], list[tuple[str, PoolEvent]]]:
        events, self._events = self._events, []
        return self._done, events


def render_shard_task(task: ShardTask, reports: Any) -> None:
    """Render one shard on a node, and copy it to the folder.

    Raises:
        M3diError: The node does not have what the plan asks for, images failed, or the folder cannot be written.
    """
    plan, options = task.plan, task.tasks.options

    def report(event: PoolEvent) -> None:
        if event.kind != "begin":
            reports.tell.remote(task.shard, event)

    run_again(task.plugins)  # the user ran them at the start of the job
    spec = spec_from_dict(plan.spec, where=task.root)
    shapes = user_shapes_of(spec)
    check_node(spec, shapes, plan)
    to = Staged(data.open_folder(task.root), task.tasks.staging or default_staging(), task=task.shard)
    # One thread a worker: Ray hands out cores, and further threads would use those of other tasks.
    with to.workplace(plan) as place, open_pool(spec, options, shapes, report, n_threads=1) as pool:
        render_missing(to, place, spec, plan, pool, lambda done, total: reports.count.remote(task.shard, done))


def check_node(spec: Spec, shapes: Sequence[UserShape], plan: data.Plan) -> None:
    """Check that this node renders what the plan says.

    Raises:
        M3diError: Blender is missing, or versions, meshes or the quality differ.
    """
    quality = plan.render["quality"]
    made = noted_makers(plan)
    own = makers(spec, quality) if quality in QUALITIES else {**made, QUALITY_DIGEST: "not registered"}
    here, wanted = own | {shape.name: shape.sha256 for shape in shapes}, made | plan.shapes
    other = [name for name in wanted | here if here.get(name) != wanted.get(name)]
    if other:
        raise M3diError(
            "a node of the Ray cluster would render something else",
            where=socket.gethostname(),
            got=", ".join(f"{name} {here.get(name, 'none')}" for name in other),
            expected=", ".join(f"{name} {wanted.get(name, 'none')}" for name in other),
            next_step="install the same versions, meshes and qualities on all nodes",
        )
