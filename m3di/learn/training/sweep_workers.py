"""Members of a sweep side by side: one process a GPU, or tasks of a Ray cluster."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from m3di.errors import M3diError
from m3di.latents import Plugin, plugins_run, run_again
from m3di.learn.training.config import TrainConfig
from m3di.learn.training.device import resolve_device
from m3di.learn.training.loading import MOST_WORKERS, n_cores
from m3di.learn.training.run_folder import read_summary
from m3di.learn.training.sweep import MEMBERS, read_sweep, run_member
from m3di.learn.training.sweep_share import command_of, write_plugins
from m3di.system.member_failures import check_none_failed
from m3di.system.plugins import import_modules, imported_modules
from m3di.system.ray_cluster import connected


def n_devices(folder: Path) -> int:
    """How many members of a sweep can train at a time on this machine: one a GPU, or one on the CPU."""
    on_gpu = resolve_device(read_sweep(folder).config.device) == "cuda"
    return max(1, torch.cuda.device_count()) if on_gpu else 1


def run_on_each_device(folder: Path, n_processes: int) -> None:
    """Run a whole sweep in processes of this machine, each with a GPU and every `n_processes`-th member.

    The processes share out the cores: for the threads of torch (unless OMP_NUM_THREADS is set) and of the loader.

    Raises:
        M3diError: Some members failed; raised after all have run. What they said is above it.
    """
    n_threads = str(max(1, n_cores() // n_processes))
    shared = {"LOCAL_WORLD_SIZE": str(n_processes)}  # as torchrun says it; `n_cores` reads it
    with TemporaryDirectory(prefix="m3di-") as temporary:
        plugins = write_plugins(Path(temporary))
        processes = [
            subprocess.Popen(
                command_of(folder, f"{number}/{n_processes}", imported_modules(), plugins),
                env={"OMP_NUM_THREADS": n_threads, **os.environ, "CUDA_VISIBLE_DEVICES": _visible(number), **shared},
            )
            for number in range(n_processes)
        ]
        try:
            for process in processes:
                process.wait()
        finally:
            for process in processes:
                process.terminate()
    members = read_sweep(folder).members
    failures = {name: "not finished; see above" for name in members if read_summary(folder / name) is None}
    check_none_failed(folder, len(members), failures, MEMBERS)


def _visible(number: int) -> str:
    """The device that a process gets, where only some may be used."""
    allowed = [each for each in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if each]
    return allowed[number] if number < len(allowed) else str(number)


def run_on_ray(folder: Path, names: Sequence[str], address: str) -> None:
    """Run members as tasks of a Ray cluster, whose machines must all see the folder and the data by the same paths.

    Args:
        folder: The sweep's folder.
        names: Members to run.
        address: Of the cluster; "local" starts one in this machine.

    Raises:
        M3diError: Ray is not installed, no cluster answers, or some members failed; raised after all have run.
    """
    sweep = read_sweep(folder)
    with connected(address):
        import ray

        task = ray.remote(_run_and_report)
        nodes = [dict(node["Resources"]) for node in ray.nodes() if node["Alive"]]
        asked = [_asked_of_ray(sweep.config_of(name), nodes) for name in names]
        reasons = ray.get(
            [
                task.options(num_gpus=each.n_gpus, num_cpus=each.n_cpus).remote(
                    (str(folder.resolve()), str(sweep.data_root.resolve())),  # tasks run in other folders
                    name,
                    each.n_workers,
                    imported_modules(),
                    plugins_run(),
                )
                for name, each in zip(names, asked, strict=True)
            ]
        )
    failures = {name: why for name, why in zip(names, reasons, strict=True) if why}
    check_none_failed(folder, len(names), failures, MEMBERS)


@dataclass(frozen=True)
class _Resources:
    """Resources of a member on a cluster, and the workers that load its samples."""

    n_gpus: int
    n_cpus: int
    n_workers: int | None


def _asked_of_ray(config: TrainConfig, nodes: Sequence[Mapping[str, float]]) -> _Resources:
    """A GPU where there is one, and a core for the training and each worker, but no more than a node has for a GPU."""
    fit = [node for node in nodes if node.get("GPU", 0) >= 1] if config.device != "cpu" else []
    n_gpus = 1 if fit else 0
    cores = max((int(node.get("CPU", 1) // (node["GPU"] if fit else 1)) for node in fit or nodes), default=1)
    n_workers = config.n_workers
    if n_workers is None and n_gpus:
        n_workers = min(MOST_WORKERS, max(1, cores - 1))
    return _Resources(n_gpus, max(1, min(cores, 1 + (n_workers or 0))), n_workers)


def _run_and_report(
    places: tuple[str, str], name: str, n_workers: int | None, modules: Sequence[str], plugins: Sequence[Plugin]
) -> str | None:
    """Why a member failed, or None; `places` are the sweep's folder and its data."""
    folder, data_root = map(Path, places)
    try:
        run_again(plugins)
        import_modules(modules)
        run_member(folder, name, n_workers=n_workers, data_root=data_root)
    except M3diError as error:
        return str(error)
    return None
