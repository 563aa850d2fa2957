"""What a dataset costs: a model fitted to measurements of this machine, a table for 10^5 to 10^9 pairs, a simulation.

Measured here: seconds and bytes an image for some sizes and presets (one worker, one core), the start of a worker,
bytes and seconds of receipts, tables and manifest. All else is extrapolated: seconds by `a + b pixels` of each preset.
The simulation plays a run shard by shard: nodes of unequal speed, failures that cost a shard, starts, the last shards.
"""

from __future__ import annotations

import argparse
import heapq
import platform
import resource
import tempfile
import time
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from m3di import data, generate
from m3di.data.format.shards import ByteRange, ShardSample
from m3di.latents import captions, load_spec, sample
from m3di.render import ANNOTATIONS, QUALITIES, RenderPool, RenderSettings

TAR_OVERHEAD = 3 * 512 + 3 * 256  # headers, and half a block of padding, of picture, caption and latents
Line = dict[str, tuple[float, float]]
SPEC = load_spec("m3di")


@dataclass(frozen=True)
class Costs:
    """What was measured. Seconds and bytes of an image are `a + b pixels` for each preset."""

    seconds: dict[str, tuple[float, float]]
    n_bytes: dict[str, tuple[float, float]]
    start_s: float
    table_bytes: float
    arrow_bytes: float
    receipt_bytes: float
    receipt_s: float
    manifest_bytes: float
    manifest_s: float

    def image_s(self, preset: str, size_px: int) -> float:
        a, b = self.seconds[preset]
        return a + b * size_px**2

    def image_bytes(self, preset: str, size_px: int) -> float:
        a, b = self.n_bytes[preset]
        return a + b * size_px**2


def line(points: list[tuple[float, float]]) -> tuple[float, float]:
    """Least squares, relative errors, no negative part."""
    x, y = np.array(points).T
    b, a = np.polyfit(x, y, 1, w=1 / y)
    return max(0.0, float(a)), max(0.0, float(b))


def measure_images(presets: list[str], sizes: list[int], n: int) -> tuple[Line, Line, float]:
    """Seconds and bytes of an image by preset, fitted, and the start of a worker; prints what it measures."""
    samples = sample(SPEC, "train", n + 1, seed=0)
    todo = [job for row in range(n + 1) for job in generate.jobs(samples, row)]
    latents = 900.0  # JSON and caption of a sample of `m3di`, about
    table = Table("preset", "px", "s/image", "bytes/pair", title=f"measured: one worker, one thread, {n} images each")
    seconds, n_bytes, starts = {}, {}, []
    for preset in presets:
        times, sizes_seen = [], []
        for size in sizes:
            begin = time.perf_counter()
            with RenderPool(RenderSettings(size, QUALITIES[preset], n_threads=1), 1) as pool:
                pool.check()
                starts.append(time.perf_counter() - begin)
                list(pool.render(todo[:1]))
                begin = time.perf_counter()
                images = list(pool.render(todo[1:]))
                took = (time.perf_counter() - begin) / n
            mean = float(np.mean([len(image.png) for image in images])) + latents + TAR_OVERHEAD
            times.append((size**2, took))
            sizes_seen.append((size**2, mean))
            table.add_row(preset, str(size), f"{took:.3f}", f"{mean:,.0f}")
        seconds[preset], n_bytes[preset] = line(times), line(sizes_seen)
    Console(width=110).print(table)
    return seconds, n_bytes, float(np.median(starts))


def rows_of(n: int, start: int) -> pa.Table:
    """Rows of a table as real ones, with noise for annotations."""
    samples = sample(SPEC, "train", n, start=start)
    rng = np.random.default_rng(start)
    seen = {
        f"image.{name}": rng.integers(0, 224, n) if kind is int else rng.random(n) for name, kind in ANNOTATIONS.items()
    }
    texts = {name: captions(samples, name) for name in SPEC.told}
    member = {"png": ByteRange(512, 25_000), "txt": ByteRange(26_000, 60), "json": ByteRange(27_000, 800)}
    found = [ShardSample(data.sample_key(start + row), member) for row in range(n)]
    return data.shard_rows(samples, texts, "train-00000.tar", found, seen)


def measure_files(n_receipts: int, n_entries: int) -> dict[str, float]:
    """Bytes and seconds of receipts, table and manifest; the peak memory of a finish is printed."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = data.LocalFolder(Path(temporary))
        entry = data.FileEntry(file="train-00000.tar", n_bytes=27_000_000, sha256="0" * 64, n_samples=1000)
        sizes = []
        for number in range(n_receipts):
            content = data.Receipt(entry, rows_of(1000, 1000 * number)).to_bytes()
            sizes.append(len(content))
            folder.create(data.receipt_name(f"{number}"), content)
        begin = time.perf_counter()
        writer = data.TableWriter(Path(temporary) / "train.parquet")
        for number in range(n_receipts):
            writer.add(data.read_receipt(folder, f"{number}").rows)
        writer.finish()
        took = time.perf_counter() - begin
        table_bytes = (Path(temporary) / "train.parquet").stat().st_size
        arrow_bytes = data.read_parquet(Path(temporary) / "train.parquet").nbytes
        plan = generate.make_plan(SPEC, generate.RenderOptions(out=Path("x"), n_train=1).resolved(SPEC))
        split = data.SplitEntry(n_samples=1, shards=(entry,) * n_entries, table=entry)
        begin = time.perf_counter()
        data.write_manifest(Path(temporary), data.Manifest(**plan.model_dump(), splits={"train": split}))
        data.read_manifest(Path(temporary))
        manifest_s = time.perf_counter() - begin
        manifest_bytes = (Path(temporary) / data.MANIFEST).stat().st_size
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{n_receipts} receipts of 1,000 rows, a manifest of {n_entries:,} shards: peak memory {peak:,.0f} MB")
    n_rows = 1000 * n_receipts
    return {
        "table_bytes": table_bytes / n_rows,
        "arrow_bytes": arrow_bytes / n_rows,
        "receipt_bytes": float(np.mean(sizes)) / 1000,
        "receipt_s": took / n_receipts,
        "manifest_bytes": manifest_bytes / n_entries,
        "manifest_s": manifest_s / n_entries,
    }


@dataclass(frozen=True)
class Run:
    """A run to plan or to play.

    Attributes:
        n: Pairs.
        shard_size: Pairs of a shard.
        n_workers: Workers, of a core (or a GPU) each.
        image_s: Seconds an image on a worker of mean speed.
        start_s: Seconds until a worker renders.
        spread: Standard deviation of the logarithm of a worker's speed.
        mtbf_h: Mean hours between failures of a worker; one costs the shard in hand and a start.
        dynamic: Shards go to whoever is free (Ray); else each worker has its own from the start (array of parts).
    """

    n: float
    shard_size: int
    n_workers: int
    image_s: float
    start_s: float
    spread: float = 0.1
    mtbf_h: float = 500.0
    dynamic: bool = True

    @property
    def n_shards(self) -> int:
        return max(1, round(self.n / self.shard_size))

    def model_h(self) -> float:
        """Hours, as a formula: work shared out, failures, starts, and the wait for the last shards."""
        workers = min(self.n_workers, self.n_shards)
        shard_s = self.shard_size * self.image_s
        rate = 1 / (3600 * self.mtbf_h)
        # A shard that must be rendered without a failure, tried until it is: mean time of such a renewal process.
        tried_s = np.expm1(rate * shard_s) / rate + self.start_s
        # Of the last shards, one on each worker, the slowest: a slow worker, or the one that fails most often.
        slowest = np.exp(self.spread * np.sqrt(2 * np.log(max(2, workers))))
        n_failures = np.log(workers) / -np.log(-np.expm1(-rate * shard_s))
        last_s = max(tried_s * slowest, tried_s + n_failures * shard_s / 2)
        return float(tried_s * max(0.0, self.n_shards / workers - 1) + last_s) / 3600


def simulate_h(run: Run, seed: int = 0) -> float:
    """Hours until the last shard is there, played event by event."""
    rng = np.random.default_rng(seed)
    workers = min(run.n_workers, run.n_shards)
    slowness = np.exp(run.spread * rng.standard_normal(workers))
    left = [len(range(worker, run.n_shards, workers)) for worker in range(workers)]
    waiting, end = run.n_shards, 0.0
    free = [(0.0, worker) for worker in range(workers)]
    heapq.heapify(free)
    while waiting:
        now, worker = heapq.heappop(free)
        if not run.dynamic and not left[worker]:
            continue
        needs = run.start_s + run.shard_size * run.image_s * slowness[worker]
        while (fails := rng.exponential(3600 * run.mtbf_h)) < needs:
            now += fails
        now += needs
        left[worker] -= 1
        waiting -= 1
        end = max(end, now)
        heapq.heappush(free, (now, worker))
    return end / 3600


def plans(costs: Costs, preset: str, size_px: int, seconds: float | None) -> Table:
    """Hours, bytes and files of some runs, and how the formula compares with the simulation."""
    columns = ("pairs", "workers", "shard size", "shards", "TB", "core hours", "hours: formula", "played", "as parts")
    files = ("table GB", "manifest MB", "finalize h")
    table = Table(*columns, *files, title=f"{preset}, {size_px} px; all extrapolated from the above")
    image_s = seconds or costs.image_s(preset, size_px)
    for n, n_workers, shard_size in (
        (1e5, 2, 1000),
        (1e5, 64, 250),
        (1e7, 64, 2000),
        (1e7, 1000, 2000),
        (1e9, 1000, 10_000),
        (1e9, 10_000, 2000),
        (1e9, 10_000, 10_000),
        (1e9, 10_000, 100_000),
    ):
        run = Run(n, shard_size, n_workers, image_s, costs.start_s)
        entries = run.n_shards
        table.add_row(
            *(f"{n:.0e}", f"{n_workers:,}", f"{shard_size:,}", f"{entries:,}"),
            *(f"{n * costs.image_bytes(preset, size_px) / 1e12:,.3f}", f"{n * image_s / 3600:,.0f}"),
            *(f"{run.model_h():,.1f}", f"{simulate_h(run):,.1f}", f"{simulate_h(replace(run, dynamic=False)):,.1f}"),
            *(f"{n * costs.table_bytes / 1e9:,.2f}", f"{entries * costs.manifest_bytes / 1e6:,.1f}"),
            f"{(n / 1000 * costs.receipt_s + entries * costs.manifest_s) / 3600:,.2f}",
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=3, help="images of each preset and size")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 224], help="sides in pixels")
    parser.add_argument("--presets", nargs="+", default=["standard", "draft"], choices=list(QUALITIES))
    parser.add_argument("--size", type=int, default=224, help="side in pixels of the plans")
    parser.add_argument("--receipts", type=int, default=200, help="receipts to finish from")
    parser.add_argument("--entries", type=int, default=20_000, help="shards of a manifest")
    parser.add_argument("--seconds", type=float, help="seconds an image of your own device, instead of those measured")
    arguments = parser.parse_args()
    seconds, n_bytes, start_s = measure_images(arguments.presets, arguments.sizes, arguments.n)
    costs = Costs(seconds, n_bytes, start_s, **measure_files(arguments.receipts, arguments.entries))
    console = Console(width=160)
    for preset, (a, b) in costs.seconds.items():
        c, d = costs.n_bytes[preset]
        print(f"{preset}: {a:.3f} s + {1e6 * b:.2f} s a megapixel; {c:,.0f} bytes + {d:.3f} a pixel")
    print(
        f"start of a worker {start_s:.1f} s; a pair takes {costs.table_bytes:.0f} bytes of the table "
        f"({costs.arrow_bytes:.0f} in memory), {costs.receipt_bytes:.0f} of a receipt, and 1,000 of them "
        f"{1e3 * costs.receipt_s:.1f} ms of finalize; a shard {costs.manifest_bytes:.0f} bytes of the manifest, "
        f"{1e6 * costs.manifest_s:.0f} us to write and read it"
    )
    for preset in arguments.presets:
        console.print(plans(costs, preset, arguments.size, arguments.seconds))
    console.print(f"{platform.machine()}, Python {platform.python_version()}, bpy {version('bpy')}")


if __name__ == "__main__":
    main()
