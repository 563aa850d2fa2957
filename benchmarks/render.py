"""Quality presets and the published procedure against a converged reference: seconds, PSNR, SSIM, and the ratio.

All sides render the same latents of `m3di`, all shapes among them, in one run, one side after the other, in as many
workers with as many threads. References are cached on disk: the first run takes about a minute an image more.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import itertools
import json
import platform
import queue
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pebble
import psutil
from gpu_machine import machine
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table

from m3di.generate import jobs
from m3di.latents import load_spec, sample
from m3di.render import (
    GPU_BACKENDS,
    QUALITIES,
    Quality,
    RenderJob,
    RenderPool,
    RenderSettings,
    SceneValues,
    default_n_workers,
)
from m3di.render.image import encode_png, linear_to_srgb
from m3di.system.shipped import shipped

# Converged, and independent of what presets do to be fast: whole images, no picture of the ground, no denoiser. Light
# by light, and adaptive with so small a threshold that only pixels without noise stop before the last sample.
REFERENCE = Quality(4096, 64, 0.002, light_passes=True, denoise=False)
REFERENCE_SEED_STEP = 1_000_003  # its noise is not that of the images it judges
PUBLISHED = "published procedure"
Render = Callable[[RenderJob], bytes]


@dataclass(frozen=True)
class Result:
    """What a side did: wall and processor seconds an image, and the images, uint8 [height, width, 3]."""

    seconds: float
    cpu_seconds: float
    images: list[NDArray[np.uint8]]


def chosen_jobs(n: int, seed: int) -> list[RenderJob]:
    """The first training samples, a shape at a time in turn, so that `n` of them show as many shapes as they can."""
    spec = load_spec("m3di")
    samples = sample(spec, "train", 16 * n + 64, seed=seed)
    drawn = [job for row in range(samples.n) for job in jobs(samples, row)]
    of_shape = [[job for job in drawn if job.values.shape == name] for name in spec.factors["object_shape"].names]
    turns = itertools.chain.from_iterable(itertools.zip_longest(*of_shape))
    return [job for job in turns if job is not None][:n]


def publish(size_px: int, n_threads: int, backend: str | None, values: SceneValues) -> bytes:
    """In a worker: one image by the published procedure, in our scene.

    It opens the scene for each image, appends materials and shape, places the objects, and denoises 512 samples of all
    lights at once. It keeps nothing for the next image.
    """
    import bpy

    from m3di.render.blender.open_scene import BlenderScene
    from m3di.render.blender.session import quiet
    from m3di.render.worker import list_gpus

    gpu = list_gpus(backend)[0] if backend else None
    scene = BlenderScene(size_px, QUALITIES["paper"], n_threads, gpu=gpu)  # opens the scene file
    scene.scene.render.use_persistent_data = False
    materials = ["rubber", "metal", "crystal"]
    for name in materials:
        bpy.data.materials.remove(bpy.data.materials[name])
    with quiet(), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "materials.blend"  # Blender does not append from the file that is open
        path.write_bytes((shipped("blender_scenes") / "scene.blend").read_bytes())
        with bpy.data.libraries.load(str(path)) as (_, appended):
            appended.materials = materials
    return encode_png(linear_to_srgb(scene.render_linear(values)))  # appends the shape, and puts it in its place


def converge(size_px: int, n_threads: int, quality: Quality, values: SceneValues) -> NDArray[np.float32]:
    """In a worker: the reference, scene-linear radiance, float32 [height, width, 3]."""
    from m3di.render.blender.open_scene import BlenderScene

    return BlenderScene(size_px, quality, n_threads).render_linear(values)


@contextmanager
def process() -> Iterator[Callable[..., Any]]:
    """A worker process: call it with a function and its arguments."""
    with pebble.ProcessPool(max_workers=1, context=get_context("spawn")) as pool:
        yield lambda function, *args: pool.schedule(function, args=args).result()


@contextmanager
def preset(quality: Quality, size_px: int, n_threads: int, backend: str | None) -> Iterator[Render]:
    """One worker that renders with a preset, as `m3di render` does."""
    settings = RenderSettings(size_px, quality, n_threads, gpu=backend is not None, gpu_backend=backend)
    with RenderPool(settings, 1) as pool:
        yield lambda job: [image.png for image in pool.render([job])][0]  # noqa: RUF015 (all of it, so that it ends)


@contextmanager
def published(size_px: int, n_threads: int, backend: str | None) -> Iterator[Render]:
    """One worker that follows the published procedure."""
    with process() as call:
        yield lambda job: call(publish, size_px, n_threads, backend, job.values)


def measure(side: Callable[[], Any], n_workers: int, todo: list[RenderJob]) -> Result:
    """Render all jobs in some workers; start-up and each worker's first image are not counted."""
    images: dict[int, bytes] = {}
    with ExitStack() as stack:
        workers: list[Render] = [stack.enter_context(side()) for _ in range(n_workers)]
        with ThreadPoolExecutor(n_workers) as threads:
            list(threads.map(lambda render: render(todo[0]), workers))
            waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
            for number in range(len(todo)):
                waiting.put(number)
            lock = threading.Lock()

            def work(render: Render) -> None:
                while True:
                    with lock:
                        if waiting.empty():
                            return
                        number = waiting.get()
                    images[number] = render(todo[number])

            cpu_s, start_s = cpu_seconds(), time.perf_counter()
            list(threads.map(work, workers))
            wall_s, cpu_s = time.perf_counter() - start_s, cpu_seconds() - cpu_s
    pixels = [np.asarray(Image.open(io.BytesIO(images[number]))) for number in range(len(todo))]
    return Result(wall_s / len(todo), cpu_s / len(todo), pixels)


def cpu_seconds() -> float:
    """Processor seconds that this process and its workers have taken."""
    here = psutil.Process()
    return sum(sum(each.cpu_times()[:2]) for each in (here, *here.children(recursive=True)))


def references(todo: list[RenderJob], size_px: int, quality: Quality, cache: Path) -> list[NDArray[np.float32]]:
    """The converged image of each job, in linear light: from the cache, or rendered into it."""
    found = []
    cache.mkdir(parents=True, exist_ok=True)
    for number, job in enumerate(todo, start=1):
        values = replace(job.values, seed=(job.values.seed + REFERENCE_SEED_STEP) % 2**31)
        identity = {"values": asdict(values), "size_px": size_px, "quality": asdict(quality), "bpy": version("bpy")}
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        path = cache / f"{digest[:32]}.npy"
        if not path.exists():
            start = time.perf_counter()
            with process() as call:
                image = call(converge, size_px, default_n_workers(), quality, values)
            with tempfile.NamedTemporaryFile(dir=cache, suffix=".partial", delete=False) as stream:
                np.save(stream, image)
            Path(stream.name).replace(path)
            print(
                f"reference {number} of {len(todo)}, {values.shape}: {time.perf_counter() - start:.0f} s",
                file=sys.stderr,
                flush=True,
            )
        found.append(np.load(path))
    return found


def psnr_db(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio of 8-bit sRGB images."""
    error = np.mean((one.astype(float) - other.astype(float)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-12)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=12, help="samples; 7 or more show all shapes")
    parser.add_argument("--size", type=int, default=224, help="side in pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=default_n_workers(), help="worker processes of each side")
    parser.add_argument("--only", nargs="+", choices=[PUBLISHED, *QUALITIES], help="sides; all by default")
    parser.add_argument("--reference-samples", type=int, default=4096, help="most paths a pixel and light of it")
    parser.add_argument("--reference-only", action="store_true", help="fill the cache, and no more")
    parser.add_argument("--gpu", choices=GPU_BACKENDS, help="render all sides on the first GPU of this back end")
    parser.add_argument("--cache", type=Path, default=Path("data/bench"), help="folder of the references")
    arguments = parser.parse_args()
    todo = chosen_jobs(arguments.n, arguments.seed)
    quality = replace(REFERENCE, max_samples=arguments.reference_samples)
    expected = [linear_to_srgb(each) for each in references(todo, arguments.size, quality, arguments.cache)]
    if arguments.reference_only:
        return
    n_threads = max(1, default_n_workers() // arguments.workers)
    sides: dict[str, Callable[[], Any]] = {PUBLISHED: partial(published, arguments.size, n_threads, arguments.gpu)}
    sides |= {name: partial(preset, each, arguments.size, n_threads, arguments.gpu) for name, each in QUALITIES.items()}
    results = {}
    for name in arguments.only or sides:
        print(f"{name}: {len(todo)} images", file=sys.stderr, flush=True)
        results[name] = measure(sides[name], arguments.workers, todo)
    console = Console(width=130)
    console.print(table_of(results, expected))
    console.print(
        f"n {arguments.n}, {arguments.size} px, seed {arguments.seed}; {arguments.workers} workers of {n_threads} "
        f"threads; reference up to {quality.max_samples} samples a light; {platform.machine()}, "
        f"{default_n_workers()} cores; Python {platform.python_version()}, bpy {version('bpy')}; "
        f"{arguments.gpu or 'CPU'} {', '.join(machine()['gpus'])}"
    )


def table_of(results: dict[str, Result], expected: list[NDArray[np.uint8]]) -> Table:
    """One row a side; ratios where the published procedure was measured as well."""
    from skimage.metrics import structural_similarity

    table = Table(
        *("side", "s/image", "CPU s/image", "PSNR mean (dB)", "PSNR worst (dB)", "SSIM", "times faster than published")
    )
    for name, result in results.items():
        pairs = list(zip(result.images, expected, strict=True))
        scores = [psnr_db(one, other) for one, other in pairs]
        ssim = np.mean([structural_similarity(one, other, channel_axis=2, data_range=255) for one, other in pairs])
        ratio = f"{results[PUBLISHED].seconds / result.seconds:.1f}" if PUBLISHED in results else "-"
        table.add_row(
            name,
            f"{result.seconds:.2f}",
            f"{result.cpu_seconds:.2f}",
            f"{np.mean(scores):.1f}",
            f"{min(scores):.1f}",
            f"{ssim:.4f}",
            ratio,
        )
    return table


if __name__ == "__main__":
    main()
