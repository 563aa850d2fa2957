"""Images a second into normalised float batches: ours and every peer, on the same pictures, in one run.

Pictures: `--pictures FOLDER` (PNG files, repeated to `--n` with two pixels changed so that no two files are equal), or
noise-free synthetic scenes. Every side reads its own copy once before it is timed (page cache warm) and yields float32
[64, 3, side, side], normalised with mean and standard deviation 0.5. Workers are processes, but threads for ours. Peers
that are not installed are named at the start and at the end, and the exit code is 1. `make bench-loader` installs them
all (in `.venv-bench`, with constraints-bench.txt) and runs this.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from loader_sides import BATCH, LIMIT, LIMIT_REUSED, PEERS, SIDES, Side, prepare
from PIL import Image
from rich.console import Console
from rich.table import Table

FFCV = {0: 1700, 2: 2950}  # images/s with uint8 pixels, by workers: quoted, not measured here
ALLOCATOR = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")
Rates = dict[tuple[str, int, bool], float]


def scenes(n: int, side: int, folder: Path | None) -> Iterator[np.ndarray[Any, Any]]:
    """The pictures, uint8 [side, side, 3]."""
    found = [np.asarray(Image.open(path).convert("RGB")) for path in sorted(folder.glob("*.png"))] if folder else []
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:side, 0:side] / side
    for index in range(n):
        if found:
            picture = found[index % len(found)].copy()
        else:
            a, b, c = rng.random((3, 3))
            shade = 0.6 + 0.4 * np.cos(3 * (x - a[0]) ** 2 + 2 * (y - a[1]) ** 2)[..., None] * b
            ball = ((x - c[0]) ** 2 + (y - c[1]) ** 2 < 0.04)[..., None]
            picture = np.clip(255 * np.where(ball, shade * a, shade), 0, 255).astype(np.uint8)
        picture[0, :2] = np.frombuffer(index.to_bytes(6, "little"), np.uint8).reshape(2, 3)
        yield picture


def rate(side: Side, root: Path, shuffle: bool, n_workers: int, n: int, repeats: int) -> float:
    """Images a second: the median of some passes after one that is not timed."""
    rates = []
    for number in range(repeats + 1):
        batches = side(root, shuffle, n_workers)
        first = next(batches)  # what starts workers and opens files is not timed
        assert first.dtype == torch.float32
        start, seen = time.perf_counter(), 0
        last = start
        for batch in batches:
            seen += len(batch)
            last = time.perf_counter()  # what stops workers is not timed either
        if number:
            rates.append(seen / (last - start))
        assert seen + len(first) >= n - BATCH, f"{seen} of {n}"
    return statistics.median(rates)


def measure(
    names: list[str], root: Path, options: argparse.Namespace, console: Console
) -> tuple[Rates, dict[str, str]]:
    """Images a second by side, workers and whether shuffled; and why a side is left out."""
    left_out = prepare(root, list(scenes(options.n, options.side, options.pictures)), names)
    rates: Rates = {}
    for name in names:
        for n_workers in options.workers:
            for shuffle in (False, True):
                if name in left_out or (name in (LIMIT, LIMIT_REUSED) and n_workers):
                    continue
                try:
                    rates[name, n_workers, shuffle] = rate(
                        SIDES[name], root, shuffle, n_workers, options.n, options.repeats
                    )
                except Exception as error:
                    left_out[name] = f"{type(error).__name__}: {error}"
        console.print(name, {key[1:]: round(value) for key, value in rates.items() if key[0] == name})
    return rates, left_out


def show(names: list[str], rates: Rates, workers: list[int], console: Console) -> None:
    """The table, and every bar with the ratio that it asks for."""
    table = Table("side", *(f"{w} workers, {o}" for w in workers for o in ("in order", "shuffled")))
    for name in names:
        cells = [rates.get((name, w, shuffle)) for w in workers for shuffle in (False, True)]
        table.add_row(name, *("" if cell is None else f"{cell:,.0f}" for cell in cells))
    console.print(table)
    limits = {name: found for name in (LIMIT, LIMIT_REUSED) if (found := rates.get((name, 0, True)))}
    for n_workers in workers:
        best = max((rates.get((name, n_workers, True), 0.0), name) for name in PEERS)
        ours_png = rates.get(("ours, png", n_workers, True))
        if ours_png and best[0]:
            console.print(
                f"{n_workers} workers, shuffled: ours, png / best peer ({best[1]}) = {ours_png / best[0]:.2f}"
            )
        for cache in ("ram", "disk"):
            cached = rates.get((f"ours, png, cache={cache}", n_workers, True))
            if not cached:
                continue
            for name, limit in limits.items() if n_workers == 0 else ():  # it has no workers
                console.print(f"{n_workers} workers, shuffled: ours, cache={cache} / {name} = {cached / limit:.2f}")
            if n_workers in FFCV:
                ratio = cached / FFCV[n_workers]
                console.print(f"{n_workers} workers, shuffled: ours, cache={cache} / FFCV as quoted = {ratio:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=2048, help="pictures")
    parser.add_argument("--side", type=int, default=224, help="pixels")
    parser.add_argument("--pictures", type=Path, help="folder of PNG files of that side")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=list(SIDES), metavar="SIDE", help="names of sides")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    console = Console(width=130)
    names = options.only or list(SIDES)
    missing = [name for name in names if name in PEERS and _version(PEERS[name]) == "not installed"]
    if missing:
        console.print(f"NOT INSTALLED, will be missing: {', '.join(missing)} (make bench-loader installs every peer)")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["M3DI_CACHE"] = str(Path(folder) / "cache")
        rates, left_out = measure(names, Path(folder), options, console)
    show(names, rates, options.workers, console)
    for name, why in left_out.items():
        console.print(f"NOT MEASURED: {name}: {why.splitlines()[0][:110]}")
    shown = ("torch", "numpy", "pillow", "imagecodecs", *(each for each in PEERS.values() if each != "torch"))
    console.print(json.dumps({name: _version(name) for name in shown}), platform.machine(), sys.version.split()[0])
    console.print("allocator:", ", ".join(f"{name}={os.environ.get(name, 'default')}" for name in ALLOCATOR))
    sys.exit(1 if left_out else 0)


def _version(name: str) -> str:
    try:
        return version(name)
    except ModuleNotFoundError:
        return "not installed"


if __name__ == "__main__":
    main()
