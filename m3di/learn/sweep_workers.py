"""Members of a sweep side by side: one process a GPU, or tasks of a Ray cluster."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from m3di.errors import M3diError
from m3di.learn.device import resolve_device
from m3di.learn.run_folder import read_summary
from m3di.learn.sweep import check_none_failed, read_sweep, run_member


def n_devices(folder: Path) -> int:
    """How many members of a sweep can train at a time on this machine: one a GPU, or one on the CPU."""
    on_gpu = resolve_device(read_sweep(folder).config.device) == "cuda"
    return max(1, torch.cuda.device_count()) if on_gpu else 1


def run_on_each_device(folder: Path, n_processes: int) -> None:
    """Run a whole sweep in processes of this machine, each with a GPU and every `n_processes`-th member.

    Raises:
        M3diError: Some members failed; raised after all have run. What they said is above it.
    """
    command = [sys.executable, "-c", "from m3di.cli import main; main()", "train", "--run", str(folder)]
    processes = [
        subprocess.Popen(
            [*command, "--sweep-member", f"{number}/{n_processes}"],
            env={**os.environ, "CUDA_VISIBLE_DEVICES": _visible(number)},
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
    check_none_failed(folder, len(members), failures)


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
        M3diError: Ray is not installed, or some members failed; raised after all have run.
    """
    try:
        import ray
    except ModuleNotFoundError as error:
        raise M3diError("Ray is not installed", got=error, next_step="pip install 'm3di[ray]'") from error
    on_gpu = read_sweep(folder).config.device != "cpu"
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError) as error:
        raise M3diError(
            "no Ray cluster answers",
            where=f"--ray {address}",
            got=error,
            expected="the address of a cluster: HOST:PORT, auto on one of its nodes, or local",
        ) from error
    n_gpus = 1 if on_gpu and ray.cluster_resources().get("GPU", 0) >= 1 else 0
    task = ray.remote(num_gpus=n_gpus)(_run_and_report)
    try:
        reasons = ray.get([task.remote(str(folder.resolve()), name) for name in names])
    finally:
        ray.shutdown()
    check_none_failed(folder, len(names), {name: why for name, why in zip(names, reasons, strict=True) if why})


def _run_and_report(folder: str, name: str) -> str | None:
    """Why a member failed, or None."""
    try:
        run_member(Path(folder), name)
    except M3diError as error:
        return str(error)
    return None
