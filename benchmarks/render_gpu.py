"""Rendering on a GPU: images/s by preset, back end and number of workers; memory, first start, closeness to the CPU.

`--make-cpu FOLDER` renders what GPU images are compared with on the CPU, a converged reference first of all; a later
run on a GPU machine reads it with `--cpu FOLDER`. Without a GPU, `--device cpu` measures the same on the CPU.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import os
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from gpu_machine import machine
from numpy.typing import NDArray
from PIL import Image
from render import REFERENCE, chosen_jobs, psnr_db
from rich.console import Console
from rich.table import Table

from m3di.render import QUALITIES, PoolEvent, Quality, RenderJob, RenderPool, RenderSettings, WorkerLimits

WARM_UP_IMAGES = 14  # of each worker: by then it has met most shapes, and has pictures of their grounds
PIXEL_LEVELS = 8


def quality_of(name: str) -> Quality:
    """A preset, or one to try: `fixed:N` light by light, `frame:N` likewise in whole frames, `joint:N` all at once."""
    if name in QUALITIES:
        return QUALITIES[name]
    kind, _, n = name.partition(":")
    together = kind == "joint"
    return Quality(int(n), 0, 0.0, light_passes=not together, denoise=False, reuse_ground=kind == "fixed")


@dataclass
class Usage:
    """What a GPU, the processor and the memory did, sampled meanwhile."""

    gpu_percent: list[float] = field(default_factory=list)
    gpu_mb: list[float] = field(default_factory=list)
    cpu_percent: list[float] = field(default_factory=list)


@contextmanager
def watched(period_s: float = 0.2) -> Iterator[Usage]:
    """Sample usage until the end of the block; that of the GPU only if there is `nvidia-smi`."""
    usage, stop = Usage(), threading.Event()
    command = ["nvidia-smi", "--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits"]
    try:
        process = subprocess.Popen([*command, f"-lms={round(1000 * period_s)}"], stdout=subprocess.PIPE, text=True)
    except OSError:
        process = None

    def read_gpu() -> None:
        assert process is not None and process.stdout is not None
        for line in process.stdout:
            percent, used_mb = line.split(",")[:2]
            usage.gpu_percent.append(float(percent))
            usage.gpu_mb.append(float(used_mb))

    def read_cpu() -> None:
        psutil.cpu_percent()
        while not stop.wait(period_s):
            usage.cpu_percent.append(psutil.cpu_percent())

    threads = [threading.Thread(target=each, daemon=True) for each in ([read_gpu] if process else []) + [read_cpu]]
    for thread in threads:
        thread.start()
    try:
        yield usage
    finally:
        stop.set()
        if process is not None:
            process.kill()
        for thread in threads:
            thread.join(2.0)


def mean(values: list[float]) -> float | None:
    """Return the mean; None for no values."""
    return round(float(np.mean(values)), 3) if values else None


def measure(arguments: argparse.Namespace, backend: str | None, name: str, n_workers: int) -> dict[str, Any]:
    """One row: a pool, warm, for some seconds; with its first start, and its first images."""
    todo = [
        replace(job, values=replace(job.values, material=material))
        for job, material in zip(chosen_jobs(arguments.n, arguments.seed), itertools.cycle(arguments.materials))
    ]
    events: list[tuple[float, PoolEvent]] = []
    settings = RenderSettings(arguments.size, quality_of(name), gpu=backend is not None, gpu_backend=backend)
    limits = WorkerLimits(memory_bytes=64 * 10**9)

    def watch(event: PoolEvent) -> None:
        events.append((time.perf_counter(), event))

    with watched() as usage, RenderPool(settings, n_workers, limits, watch) as pool:
        start = time.perf_counter()
        pool.check()
        start_s = time.perf_counter() - start
        began = time.perf_counter()
        first = {outcome.job.name: outcome for outcome in pool.outcomes(todo)}
        failed = [outcome.error for outcome in first.values() if outcome.image is None]
        if failed:
            raise RuntimeError(failed[0])
        images = [first[job.name].image.png for job in todo]  # type: ignore[union-attr]
        _render_for(pool, todo, n_images=max(0, WARM_UP_IMAGES * n_workers - len(todo)))
        warm_s = time.perf_counter() - began
        at = len(usage.gpu_percent), len(usage.cpu_percent)
        began = time.perf_counter()
        n = _render_for(pool, todo, seconds=arguments.seconds)
        seconds = time.perf_counter() - began
        in_worker = [each.seconds for when, each in events if each.kind == "image" and when >= began]
        row = {
            "backend": backend or "CPU",
            "quality": name,
            "workers": n_workers,
            "mps": pool.is_shared,
            "images_per_s": round(n / seconds, 2),
            "n_measured": n,
            "ms_in_worker": round(1e3 * float(np.mean(in_worker)), 1),
            "start_s": round(start_s, 1),
            "warm_s": round(warm_s, 1),
            "gpu_percent": mean(usage.gpu_percent[at[0] :]),
            "cpu_percent": mean(usage.cpu_percent[at[1] :]),
            "gpu_mb": max(usage.gpu_mb, default=None),
            "rss_mb": round(max(each.memory_bytes for _, each in events if each.kind == "image") / 1e6),
            "retired": sum(each.kind == "retire" for _, each in events),
        }
    return row | compared(images, arguments) | {"images": images}


def _render_for(pool: RenderPool, todo: list[RenderJob], seconds: float = 1e9, n_images: int | None = None) -> int:
    """Render jobs in turn until the time is over, or so many are done; how many were."""
    end = time.perf_counter() + seconds

    def stream() -> Iterator[RenderJob]:
        for number, job in enumerate(itertools.cycle(todo)):
            if number == n_images or time.perf_counter() > end:
                return
            yield job

    return sum(outcome.image is not None for outcome in pool.outcomes(stream()))


def pixels_of(png: bytes) -> NDArray[np.uint8]:
    """Of a PNG, uint8 [height, width, 3]."""
    return np.asarray(Image.open(io.BytesIO(png)))


def compared(images: list[bytes], arguments: argparse.Namespace) -> dict[str, Any]:
    """Closeness of images to what the CPU has rendered: mean PSNR in dB to the reference and to the presets."""
    found = {}
    for name in ("reference", "standard"):
        paths = [(arguments.cpu or Path()) / f"{name}-{number}.png" for number in range(len(images))]
        if arguments.cpu and all(path.is_file() for path in paths):
            pairs = zip(images, paths, strict=True)
            scores = [psnr_db(pixels_of(png), pixels_of(path.read_bytes())) for png, path in pairs]
            found |= {f"db_{name}": round(float(np.mean(scores)), 2), f"db_{name}_worst": round(min(scores), 2)}
    return found


def repeated(one: list[bytes], other: list[bytes]) -> dict[str, Any]:
    """How the same images differ from run to run."""
    pairs = [(pixels_of(a).astype(int), pixels_of(b).astype(int)) for a, b in zip(one, other, strict=True)]
    differences = [np.abs(a - b).max(axis=2) for a, b in pairs]
    return {
        "n_images": len(pairs),
        "equal_files": sum(a == b for a, b in zip(one, other, strict=True)),
        "pixels_differ_percent": round(100 * float(np.mean([each > 0 for each in differences])), 3),
        f"pixels_differ_by_over_{PIXEL_LEVELS}_percent": round(
            100 * float(np.mean([each > PIXEL_LEVELS for each in differences])), 4
        ),
        "most_levels": int(max(each.max() for each in differences)),
        "db_least": round(min(psnr_db(a.astype(np.uint8), b.astype(np.uint8)) for a, b in pairs), 1),
    }


def make_cpu(arguments: argparse.Namespace) -> None:
    """Reference and presets on the CPU, as PNG files."""
    arguments.make_cpu.mkdir(parents=True, exist_ok=True)
    todo = chosen_jobs(arguments.n, arguments.seed)
    for name, quality in {"standard": QUALITIES["standard"], "reference": REFERENCE}.items():
        missing = [(n, job) for n, job in enumerate(todo) if not (arguments.make_cpu / f"{name}-{n}.png").is_file()]
        with RenderPool(RenderSettings(arguments.size, quality)) as pool:
            for (number, _), image in zip(missing, pool.render([job for _, job in missing]), strict=True):
                (arguments.make_cpu / f"{name}-{number}.png").write_bytes(image.png)
                print(f"{name} {number}", file=sys.stderr, flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine(), "n_images": len(todo)}))


def table_of(rows: list[dict[str, Any]]) -> Table:
    """All rows."""
    columns = ["backend", "quality", "workers", "images_per_s", "ms_in_worker", "gpu_percent", "cpu_percent", "gpu_mb"]
    columns += ["rss_mb", "start_s", "db_reference", "db_reference_worst", "db_standard"]
    table = Table(*columns, box=None)
    for row in rows:
        table.add_row(*("" if row.get(name) is None else str(row[name]) for name in columns))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["gpu", "cpu"], default="gpu")
    parser.add_argument("--backends", nargs="+", default=["OPTIX", "CUDA"])
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2, 4, 8])
    parser.add_argument("--qualities", nargs="+", default=list(QUALITIES), help="presets; fixed:N, frame:N, joint:N")
    parser.add_argument("--n", type=int, default=14, help="different images")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--materials", nargs="+", default=["rubber"], help="of the images, in turn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    parser.add_argument("--budget", type=float, default=1e9, help="no measurement begins after so many seconds")
    parser.add_argument("--cpu", type=Path, help="folder that --make-cpu has filled")
    parser.add_argument("--make-cpu", type=Path, help="render what to compare with, on the CPU, and no more")
    parser.add_argument("--json", type=Path, help="file for all figures")
    arguments = parser.parse_args()
    if arguments.make_cpu:
        make_cpu(arguments)
        return
    begin = time.perf_counter()
    found: dict[str, Any] = {"machine": machine(), "arguments": sys.argv[1:], "rows": [], "repeated": {}, "errors": []}
    found["states_factor"] = os.environ.get("CYCLES_CONCURRENT_STATES_FACTOR", "as m3di sets it")
    first: dict[tuple[str, str], list[bytes]] = {}
    backends = arguments.backends if arguments.device == "gpu" else [None]
    for name, n_workers, backend in itertools.product(arguments.qualities, arguments.workers, backends):
        if time.perf_counter() - begin > arguments.budget:
            found["errors"].append(f"no time for {backend} {name} {n_workers}")
            continue
        try:
            row = measure(arguments, backend, name, n_workers)
        except Exception as error:
            traceback.print_exc()
            found["errors"].append(f"{backend} {name} {n_workers}: {error}")
            continue
        images = row.pop("images")
        key = (str(backend), name)
        if key in first and str(key) not in found["repeated"]:
            found["repeated"]["/".join(key)] = repeated(first[key], images)
        first.setdefault(key, images)
        found["rows"].append(row)
        print(json.dumps(row), flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps(found, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))
    console = Console(width=180)
    console.print(table_of(found["rows"]))
    for name, each in found["repeated"].items():
        console.print(f"{name}, again: {each}")
    console.print(found["machine"], *found["errors"], sep="\n")
    if not found["rows"]:
        sys.exit(1)  # so that `make bench-gpu` does not take it for measured


if __name__ == "__main__":
    main()
