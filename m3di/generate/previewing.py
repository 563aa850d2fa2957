"""Render a few samples to look at, and write nothing."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from m3di.errors import UsageError
from m3di.generate.options import RenderOptions
from m3di.generate.plan import resolve
from m3di.generate.shards import Progress, jobs
from m3di.generate.workers import open_pool
from m3di.latents import Samples, captions, sample
from m3di.render import Watch


@dataclass(frozen=True)
class Preview:
    """Rendered samples to look at: for each image view, pixels [n, height, width, 3], uint8."""

    samples: Samples
    images: dict[str, NDArray[np.uint8]]
    captions: dict[str, list[str]]


def preview(
    options: RenderOptions,
    n: int,
    progress: Progress | None = None,
    watch: Watch | None = None,
    split: str = "train",
) -> Preview:
    """Render the first `n` samples of a split of a spec without writing anything.

    Args:
        options: What to render, and how.
        n: Number of samples.
        progress: Called with samples done and samples in all.
        watch: Called with everything that happens in the workers.
        split: The split.

    Raises:
        UsageError: An option is out of range, or there is no such spec.
        M3diError: Blender or a GPU is missing, or an image failed.
    """
    if n < 1:
        raise UsageError("--n is too small", where="--n", got=n, expected="1 or more")
    spec = options.load_spec()
    names = list(spec.rendered)
    if not names:
        raise UsageError(
            "there is no picture to preview",
            where="--spec",
            got=f"the spec {spec.name!r}, whose views are {', '.join(spec.observed)}",
            expected="a spec with an image view",
            next_step="m3di sample shows its latents and captions",
        )
    spec, options, user_shapes = resolve(options)
    samples = sample(spec, split, n, seed=options.seed)
    pixels: dict[str, list[NDArray[np.uint8]]] = {name: [] for name in names}
    with open_pool(spec, options, user_shapes, watch) as pool:
        rendered = pool.render(job for row in range(n) for job in jobs(samples, row))
        for row in range(n):
            for name in names:
                pixels[name].append(np.asarray(Image.open(io.BytesIO(next(rendered).png))))
            if progress:
                progress(row + 1, n)
    texts = {name: captions(samples, name) for name in spec.told}
    return Preview(samples, {name: np.stack(each) for name, each in pixels.items()}, texts)
