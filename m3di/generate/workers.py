"""Start the workers that render, for runs, dry runs, repairs and previews."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from m3di.generate.options import RenderOptions
from m3di.generate.shards import NoPool
from m3di.latents import Spec
from m3di.render import QUALITIES, PoolEvent, RenderPool, RenderSettings, UserShape, Watch


class Watchers:
    """Functions called with every event of the workers; more can be added on the way."""

    def __init__(self, first: Watch | None) -> None:
        self._all = [first] if first else []

    def add(self, watch: Watch) -> None:
        """Call another one from now on."""
        self._all.append(watch)

    def __call__(self, event: PoolEvent) -> None:
        for each in self._all:
            each(event)


@contextmanager
def open_pool(
    spec: Spec,
    options: RenderOptions,
    user_shapes: Sequence[UserShape],
    watch: Watch | None = None,
    n_threads: int | None = None,
) -> Iterator[RenderPool | NoPool]:
    """Start workers, and check that they render.

    Args:
        spec: The spec; if it renders nothing, no worker is started.
        options: What to render, and how, with every default filled in.
        user_shapes: Meshes of the user that the images show.
        watch: Called with everything that happens in the workers.
        n_threads: Threads of each worker; None shares out the cores.

    Raises:
        UsageError: There is no such GPU, or fewer workers than GPUs.
        M3diError: Blender or a GPU is missing.
    """
    if not spec.rendered:
        yield NoPool()
        return
    settings = RenderSettings(
        options.size_px,
        QUALITIES[options.quality],
        gpu=options.gpu,
        n_threads=n_threads,
        user_shapes=tuple(user_shapes),
        passes=options.passes,
        gpu_devices=options.gpu_devices,
        gpu_backend=options.gpu_backend.upper() if options.gpu_backend else None,
    )
    with RenderPool(settings, options.n_workers, options.limits, watch) as pool:
        pool.check()
        yield pool
