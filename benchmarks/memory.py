"""Does memory stay flat? Many tiny renders in one run: the memory of each worker, and its peak, as it goes.

A worker is replaced after `--per-worker` images, as in every run; 0 never replaces it, and shows what it would leak.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from m3di.generate import jobs
from m3di.latents import load_spec, sample
from m3di.render import GPU_BACKENDS, QUALITIES, PoolEvent, RenderPool, RenderSettings, WorkerLimits, default_n_workers


def peak_mb(pid: int) -> float:
    """Most memory that a process has held (VmHWM of Linux); 0 where that is not known."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM")), 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=2000, help="images")
    parser.add_argument("--size", type=int, default=16, help="side in pixels")
    parser.add_argument("--workers", type=int, default=default_n_workers())
    parser.add_argument("--per-worker", type=int, default=WorkerLimits().n_images, help="images until it is replaced")
    parser.add_argument("--gpu", choices=GPU_BACKENDS, help="render on the GPUs of this back end")
    parser.add_argument("--points", type=int, default=10, help="rows of the table")
    arguments = parser.parse_args()
    memory: dict[int, list[float]] = defaultdict(list)
    peaks: dict[int, list[float]] = defaultdict(list)
    restarts: dict[int, int] = defaultdict(int)

    def watch(event: PoolEvent) -> None:
        if event.kind == "image":
            memory[event.worker].append(event.memory_bytes / 1e6)
            peaks[event.worker].append(peak_mb(event.pid))
        restarts[event.worker] += event.kind == "restart"

    samples = sample(load_spec("m3di"), "train", arguments.n, seed=0)
    limits = WorkerLimits(n_images=arguments.per_worker or sys.maxsize, age_s=0.0)
    settings = RenderSettings(
        arguments.size, QUALITIES["draft"], gpu=arguments.gpu is not None, gpu_backend=arguments.gpu
    )
    start = time.perf_counter()
    with RenderPool(settings, arguments.workers, limits, watch) as pool:
        n = sum(
            outcome.image is not None
            for outcome in pool.outcomes(job for row in range(arguments.n) for job in jobs(samples, row))
        )
    seconds = time.perf_counter() - start
    columns = [f"worker {worker} {what} (MB)" for worker in sorted(memory) for what in ("now", "peak")]
    table = Table("images of the worker", *columns, title=f"{n} images of {arguments.size} px in {seconds:.0f} s")
    n_each = min(map(len, memory.values()))
    for index in sorted({round(point * (n_each - 1) / arguments.points) for point in range(arguments.points + 1)}):
        cells = [f"{each[worker][index]:.0f}" for worker in sorted(memory) for each in (memory, peaks)]
        table.add_row(f"{index + 1}", *cells)
    console = Console(width=120)
    console.print(table)
    for worker in sorted(memory):
        series = memory[worker]
        console.print(
            f"worker {worker}: {len(series)} images, {restarts[worker]} times replaced; after its first image "
            f"{series[0]:.0f} MB, most after an image {max(series):.0f} MB, "
            f"peak of a process {max(peaks[worker]):.0f} MB"
        )
    replaced = f"replaced after {arguments.per_worker} images" if arguments.per_worker else "never replaced"
    console.print(
        f"{arguments.workers} workers on {os.cpu_count()} cores, {replaced}; "
        f"{platform.machine()}, Python {platform.python_version()}, bpy {version('bpy')}"
    )


if __name__ == "__main__":
    main()
