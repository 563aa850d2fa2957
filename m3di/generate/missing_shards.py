"""Render the missing shards of a destination on this machine, and copy them there."""

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
    """Render the wanted shards that are not at their destination yet, and copy each there.

    Args:
        to: The destination.
        place: The local folder in which shards are made.
        spec: The spec.
        plan: The plan of the dataset.
        pool: The workers that render.
        progress: Called with samples done and samples in all, at the start and after every sample.
        on_shard: Called with the name of each shard that has been copied.

    Raises:
        M3diError: The folder cannot be read or written, images failed, or another process has taken the run over. What
            is finished is kept.
        OSError: A file could not be written.
    """
    missing = {shard.name: shard for shard in to.missing(plan)}
    total = sum(shard.n for shard in to.shards(plan))
    n_there = total - sum(shard.n for shard in missing.values())
    data.prepare_folder(place.path, plan)

    tell = place.guarded(progress)

    def count(done: int, _: int) -> None:
        tell(n_there + done, total)

    def arrive(name: str) -> None:
        to.deliver(place, spec, plan, missing[name])
        if on_shard:
            on_shard(name)

    for name in [name for name in missing if (place.path / name).exists()]:
        arrive(name)  # an earlier run rendered it and could not reach the folder
        n_there += missing.pop(name).n
    failures = render_shards(spec, plan, missing.values(), place.path, pool, count, arrive)
    check_failures(to.folder, failures, place.log.name)


def check_failures(folder: data.Folder, failures: list[Failure], log: str) -> None:
    """Check that no image failed.

    Args:
        folder: The folder of the dataset.
        failures: The images that could not be rendered.
        log: File name of the log of the run.

    Raises:
        M3diError: Some failed; it names the first of them.
    """
    if not failures:
        return
    shown = [str(failure).replace("\n", "; ") for failure in failures[:MAX_FAILURES_SHOWN]]
    if len(failures) > len(shown):
        shown.append(f"and {len(failures) - len(shown)} more; {log} has all of them")
    raise M3diError(
        f"{len(failures)} image{'s' * (len(failures) > 1)} could not be rendered; all others are finished, and kept",
        where=str(folder),
        got="\n            ".join(shown),
        next_step="run the same command again: it renders these images only",
    )
