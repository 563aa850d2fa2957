"""The shards of a destination that are not there yet: rendered on this machine, and brought there."""

from __future__ import annotations

from collections.abc import Callable

from m3di import data
from m3di.errors import M3diError
from m3di.generate.destinations import Destination, Workplace
from m3di.generate.shards import Failure, Progress, Renders, render_shards
from m3di.latents import Spec

MAX_FAILURES_SHOWN = 20


def render_missing(
    to: Destination,
    place: Workplace,
    spec: Spec,
    plan: data.Plan,
    pool: Renders,
    progress: Progress | None = None,
    on_shard: Callable[[str], None] | None = None,
) -> None:
    """Render those of the wanted shards that are not at their destination yet, and bring each there.

    Args:
        to: Where the dataset goes.
        place: Where shards are made.
        spec: The spec.
        plan: The plan of the dataset.
        pool: What renders.
        progress: Called with samples done and samples in all, at the start and after every sample.
        on_shard: Called with the name of each shard that has arrived.

    Raises:
        M3diError: The folder cannot be read or written, images failed, or another process has taken the run over. What
            is finished is kept.
        OSError: A file could not be written.
    """
    missing = {shard.name: shard for shard in to.missing(plan)}
    total = sum(shard.n for shard in to.shards(plan))
    n_there = total - sum(shard.n for shard in missing.values())
    data.prepare_folder(place.path, plan)
    data.note_devices(place.path, [gpu.described() for gpu in pool.gpus])

    tell = place.guarded(progress)

    def count(done: int, _: int) -> None:
        tell(n_there + done, total)

    def arrive(name: str) -> None:
        to.deliver(place, spec, plan, missing[name])
        if on_shard:
            on_shard(name)

    for name in [name for name in missing if (place.path / name).exists()]:
        arrive(name)  # rendered before, when the folder could not be reached
        n_there += missing.pop(name).n
    check_failures(to.folder, render_shards(spec, plan, missing.values(), place.path, pool, count, arrive))


def check_failures(folder: data.Folder, failures: list[Failure]) -> None:
    """Raise where images could not be rendered.

    Raises:
        M3diError: It names them, the first ones at least.
    """
    if not failures:
        return
    shown = [str(failure).replace("\n", "; ") for failure in failures[:MAX_FAILURES_SHOWN]]
    if len(failures) > len(shown):
        shown.append(f"and {len(failures) - len(shown)} more; {data.LOG} has all of them")
    raise M3diError(
        f"{len(failures)} image{'s' * (len(failures) > 1)} could not be rendered; all others are finished, and kept",
        where=str(folder),
        got="\n            ".join(shown),
        next_step="run the same command again: it renders these images only",
    )
