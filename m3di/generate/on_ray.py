"""Shards as tasks of a Ray cluster: Ray places and repeats them, and each brings its shard to its folder itself."""

from __future__ import annotations

import importlib.util
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from m3di import __version__, data
from m3di.errors import M3diError, UsageError
from m3di.generate.finish import finish_folder
from m3di.generate.options import RenderOptions, render_settings
from m3di.generate.plan import Shard, blender_version, make_plan, shards_of, user_shapes_of
from m3di.generate.run import check_failures
from m3di.generate.shards import Failure, NoPool, Progress
from m3di.generate.staged import Delivery, default_staging, deliver_missing, finished
from m3di.latents import Spec, run_plugin, spec_from_dict
from m3di.render import RenderPool, check_blender, default_workers_per_gpu

N_RETRIES = 3
POLL_S = 1.0
TASKS_PER_CORE = 2  # waiting in the cluster; the others wait here, where they take no memory of the cluster


@dataclass(frozen=True)
class RayOptions:
    """How the tasks are run.

    Attributes:
        address: `HOST:PORT` of the head node, `ray://HOST:PORT` from outside the cluster, `auto` on a node of it, or
            `local` for a cluster of this machine alone.
        staging: Folder on each node for shards that are not finished.
    """

    address: str
    staging: Path | None = None


@dataclass(frozen=True)
class ShardTask:
    """All that a node needs to know."""

    root: str
    plan: data.Plan
    options: RenderOptions
    shard: Shard
    staging: Path | None


def render_on_ray(
    folder: data.Folder, options: RenderOptions, ray_options: RayOptions, progress: Progress | None = None
) -> data.Manifest:
    """Render a dataset on a Ray cluster, one task a shard, and finish it.

    A task that dies with its worker or its node, or fails, is repeated three times, wherever Ray finds room. Each uses
    `n_workers` cores, and with `gpu` one GPU that its workers share: one worker unless the options say otherwise, on a
    GPU up to eight. The folder must be one that all
    nodes reach. Nodes need m3di, Blender and user shapes as this machine has them, and their own access to the folder.

    Args:
        folder: Where the dataset goes.
        options: What to render, and how; `options.out` is not looked at.
        ray_options: The cluster.
        progress: Called with samples done and samples in all, at the start and about once a second.

    Raises:
        UsageError: An option is out of range, or there is no such spec.
        M3diError: Ray is not installed, the cluster cannot be reached or has no GPU where one is asked for, the folder
            holds something else or cannot be written, or shards could not be rendered. What is finished is kept.
    """
    if options.gpu_devices:
        raise UsageError(
            "--gpu-devices means nothing on a Ray cluster: Ray gives each task a GPU of its own",
            where="--gpu-devices",
            got=",".join(map(str, options.gpu_devices)),
            next_step="leave it out; set CUDA_VISIBLE_DEVICES where a node's `ray start` runs to keep a card from Ray",
        )
    spec = options.load_spec()
    options = replace(options.resolved(spec), n_workers=options.n_workers)  # how many is for the cluster to say
    user_shapes_of(spec)
    if spec.rendered:
        check_blender()
    check_ray()
    plan = make_plan(spec, options)
    if isinstance(folder, data.LocalFolder):
        folder = data.LocalFolder(folder.root.resolve())  # tasks run in other folders
    data.check_claim(folder, plan)
    manifest = finished(folder)
    if manifest is not None:
        return manifest
    with connected(ray_options.address):
        options = replace(options, n_workers=options.n_workers or default_workers(options.gpu))
        check_cluster(options, ray_options.address)
        data.claim(folder, plan)
        failures = _run_tasks(folder, plan, options, ray_options, progress or (lambda done, total: None))
    check_failures(folder, failures)
    return finish_folder(folder, spec, plan)


def check_ray() -> None:
    """Raise unless Ray is installed; does not import it.

    Raises:
        M3diError: It is not.
    """
    if importlib.util.find_spec("ray") is None:
        raise M3diError("--ray needs Ray, which is not installed", where="--ray", next_step="pip install 'm3di[ray]'")


@contextmanager
def connected(address: str) -> Iterator[None]:
    """A connection to a cluster; tasks that are still running at its end are stopped.

    Raises:
        M3diError: There is no cluster at this address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody is told that you use it, unless you say so
    import ray

    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        raise M3diError(
            "there is no Ray cluster to be reached",
            where=f"--ray {address}",
            got=error,
            expected="the address of a cluster: HOST:PORT, ray://HOST:PORT, auto on one of its nodes, or local",
            next_step="ray start --head  on one machine, then  ray start --address HOST:6379  on each of the others",
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def default_workers(gpu: bool) -> int:
    """Workers of a task unless one says how many: one, or as many as share a GPU well on every node that has one."""
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    shares = [default_workers_per_gpu(int(node.get("CPU", 1)), int(node["GPU"])) for node in nodes if node.get("GPU")]
    return min(shares, default=1) if gpu else 1


def check_cluster(options: RenderOptions, address: str) -> None:
    """Raise where no task could ever start.

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


def _run_tasks(
    folder: data.Folder, plan: data.Plan, options: RenderOptions, ray_options: RayOptions, progress: Progress
) -> list[Failure]:
    """Keep the cluster busy until every shard is there; what failed for good."""
    import ray

    there = folder.sizes()
    every = list(shards_of(plan))
    waiting = iter([shard for shard in every if shard.name not in there])
    total = sum(shard.n for shard in every)
    n_there = sum(shard.n for shard in every if shard.name in there)
    counter = ray.remote(_Counter).options(num_cpus=0, max_restarts=-1).remote()
    task = ray.remote(render_shard_task).options(
        num_cpus=options.n_workers or 1, num_gpus=int(options.gpu), max_retries=N_RETRIES, retry_exceptions=True
    )
    running: dict[Any, Shard] = {}
    failures: list[Failure] = []
    progress(n_there, total)
    while True:
        room = TASKS_PER_CORE * max(1, int(ray.cluster_resources().get("CPU", 1)))
        for shard in waiting if len(running) < room else ():
            described = ShardTask(str(folder), plan, options, shard, ray_options.staging)
            running[task.remote(described, counter)] = shard
            if len(running) >= room:
                break
        if not running:
            return failures
        ready, _ = ray.wait(list(running), timeout=POLL_S)
        for each in ready:
            shard = running.pop(each)
            failures += _failure(shard, each)
            n_there += shard.n
        progress(min(total, n_there + _count(counter, list(running.values()))), total)


def _failure(shard: Shard, done: Any) -> list[Failure]:
    """Why a task failed for good; nothing where it did not."""
    import ray

    try:
        ray.get(done)
    except ray.exceptions.RayTaskError as error:
        return [Failure(shard.name, str(error.cause))]
    except ray.exceptions.RayError as error:  # its worker or its node died each time
        return [Failure(shard.name, str(error))]
    return []


def _count(counter: Any, shards: list[Shard]) -> int:
    """Samples done of shards that are on their way, as far as is known."""
    import ray

    try:
        done = ray.get(counter.done.remote(), timeout=POLL_S)
    except (ray.exceptions.RayError, TimeoutError):  # its node died or is busy: the bar waits for finished shards
        return 0
    return sum(done.get(shard.name, 0) for shard in shards)


class _Counter:
    """An actor that knows how far each shard is, for the progress bar only."""

    def __init__(self) -> None:
        self._done: dict[str, int] = {}

    def count(self, shard: str, n: int) -> None:
        self._done[shard] = n

    def done(self) -> dict[str, int]:
        return self._done


def render_shard_task(task: ShardTask, counter: Any) -> None:
    """Render one shard on a node, and bring it to the folder.

    Raises:
        M3diError: The node does not have what the plan asks for, images failed, or the folder cannot be written.
    """
    plan, shard = task.plan, task.shard
    for name, text in plan.spec.get("plugins", {}).items():
        run_plugin(text, name)  # whoever started the job ran it too, and sent it
    spec = spec_from_dict(plan.spec, where=task.root)
    check_node(spec, plan)
    delivery = Delivery(data.open_folder(task.root), task.staging or default_staging(), task=shard.name)
    # A core a worker: Ray hands out cores, and a worker with more threads would take those of other tasks.
    settings = replace(render_settings(task.options, user_shapes_of(spec)), n_threads=1)
    n_workers, limits = task.options.n_workers or 1, task.options.limits
    with RenderPool(settings, n_workers, limits) if spec.rendered else NoPool() as pool:
        pool.check()
        delivery = replace(delivery, devices=tuple(gpu.described() for gpu in pool.gpus))
        failures = deliver_missing(
            delivery, spec, plan, [shard], pool, lambda done, total: counter.count.remote(shard.name, done)
        )
    check_failures(delivery.folder, failures)


def check_node(spec: Spec, plan: data.Plan) -> None:
    """Raise where this node would render something else than the plan says.

    Raises:
        M3diError: Blender is missing, or versions or meshes differ.
    """
    if spec.rendered:
        check_blender()
    here = {"m3di": __version__, "bpy": blender_version(spec)}
    here |= {shape.name: shape.sha256 for shape in user_shapes_of(spec)}
    wanted = {name: plan.render[name] for name in ("m3di", "bpy")} | plan.shapes
    if here != wanted:
        raise M3diError(
            "a node of the Ray cluster would render something else",
            where=socket.gethostname(),
            got=", ".join(f"{name} {here.get(name)}" for name in wanted if here.get(name) != wanted[name]),
            expected=", ".join(f"{name} {wanted[name]}" for name in wanted if here.get(name) != wanted[name]),
            next_step="install the same versions and meshes on all nodes",
        )
