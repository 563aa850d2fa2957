"""Quality presets against a converged reference: seconds an image, PSNR, and the ratio to `paper`.

All presets render the same samples of `m3di`, in one run, one after the other, in one worker with all cores.
"""

from __future__ import annotations

import argparse
import io
import platform
import sys
import time
from dataclasses import replace
from importlib.metadata import version

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from m3di.generate import jobs
from m3di.latents import load_spec, sample
from m3di.render import QUALITIES, Quality, RenderJob, RenderPool, RenderSettings, default_n_workers

# Converged: light by light, whole images, no denoiser, many samples everywhere.
REFERENCE = replace(QUALITIES["standard"], noise_threshold=0.0, reuse_ground=False)


def measure(
    quality: Quality, size_px: int, todo: list[RenderJob], *, warm_up: bool = True
) -> tuple[float, list[np.ndarray]]:
    """Seconds an image (start-up and first image not counted), and the images."""
    with RenderPool(RenderSettings(size_px, quality, default_n_workers()), 1) as pool:
        list(pool.render(todo[: int(warm_up)]))
        start = time.perf_counter()
        images = [np.asarray(Image.open(io.BytesIO(image.png))).astype(float) for image in pool.render(todo)]
        return (time.perf_counter() - start) / len(todo), images


def psnr_db(one: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(np.mean((one - other) ** 2), 1e-12)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=4, help="samples")
    parser.add_argument("--size", type=int, default=224, help="side in pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reference-samples", type=int, default=4096, help="paths a pixel and light of the reference")
    arguments = parser.parse_args()
    samples = sample(load_spec("m3di"), "train", arguments.n, seed=arguments.seed)
    todo = [job for row in range(arguments.n) for job in jobs(samples, row)]
    print("the reference first, this takes minutes", file=sys.stderr)
    reference = replace(REFERENCE, max_samples=arguments.reference_samples)
    _, expected = measure(reference, arguments.size, todo, warm_up=False)
    results = {name: measure(quality, arguments.size, todo) for name, quality in QUALITIES.items()}
    table = Table("preset", "s/image", "PSNR mean (dB)", "PSNR worst (dB)", "times faster than paper")
    for name, (seconds, images) in results.items():
        scores = [psnr_db(one, other) for one, other in zip(images, expected, strict=True)]
        ratio = results["paper"][0] / seconds
        table.add_row(name, f"{seconds:.2f}", f"{np.mean(scores):.1f}", f"{min(scores):.1f}", f"{ratio:.1f}")
    console = Console(width=110)
    console.print(table)
    console.print(
        f"n {arguments.n}, {arguments.size} px, seed {arguments.seed}; "
        f"reference {arguments.reference_samples} samples; {platform.machine()}, "
        f"{default_n_workers()} cores; Python {platform.python_version()}, bpy {version('bpy')}"
    )


if __name__ == "__main__":
    main()
