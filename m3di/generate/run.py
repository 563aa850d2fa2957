"""The main job: a dataset rendered, or what is missing of it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from m3di import data
from m3di.errors import M3diError
from m3di.generate.finish import finish
from m3di.generate.log import LogFile
from m3di.generate.options import RenderOptions, render_settings
from m3di.generate.plan import prepare
from m3di.generate.shards import Failure, NoPool, Progress, render_missing
from m3di.render import PoolEvent, RenderPool, Watch

MAX_FAILURES_SHOWN = 20


def render(options: RenderOptions, progress: Progress | None = None, watch: Watch | None = None) -> data.Manifest:
    """Render a dataset, or what is missing of it: a finished image is never rendered again.

    Args:
        options: What to render, and how.
        progress: Called with samples done and samples in all, at the start and after every sample.
        watch: Called with everything that happens in the workers.

    Returns:
        The manifest of the finished dataset.

    Raises:
        UsageError: An option is out of range, or there is no such spec.
        M3diError: The folder holds something else, cannot be written, is full, or another process renders into it;
            Blender or a GPU is missing; images failed. What was finished before is kept.
    """
    spec, options, yours, plan = prepare(options)
    there = _finished(options.out, plan)
    if there is not None:
        return there
    watchers = [watch] if watch else []

    def see(event: PoolEvent) -> None:
        for each in watchers:
            each(event)

    with contextlib.ExitStack() as stack:
        # At once, before Blender starts: of two that are started together, the first one goes on.
        stack.enter_context(data.made_folder(options.out))
        held = stack.enter_context(data.sole_run(options.out))
        there = _finished(options.out, plan)  # another process may have been quicker
        if there is not None:
            return there
        settings = render_settings(options, yours)
        pool = RenderPool(settings, options.n_workers, options.limits, see) if spec.rendered else NoPool()
        stack.enter_context(pool)
        pool.check()
        data.prepare_folder(options.out, plan)
        with data.disk_errors(options.out):
            log = LogFile(options.out / data.LOG)
            watchers.append(log.write_pool_event)
            gpus = [gpu.described() for gpu in pool.gpus]
            data.note_devices(options.out, gpus)
            with _logged(log, plan, gpus, _while(held, progress)) as counted:
                check_failures(options.out, render_missing(spec, plan, options.out, pool, counted, log.write_shard))
                pool.close()
                return finish(options.out, spec, plan)


def _finished(out: Path, plan: data.Plan) -> data.Manifest | None:
    """The manifest of the dataset, where it is there already.

    Raises:
        M3diError: The folder holds something else.
    """
    data.check_folder(out, plan)
    if not data.is_complete(out):
        return None
    data.remove_leftovers(out)
    return data.read_manifest(out)


def _while(held: data.Held, progress: Progress | None) -> Progress:
    """A progress that ends the run once another process has taken the folder over."""

    def count(done: int, total: int) -> None:
        held.check()
        if progress:
            progress(done, total)

    return count


@contextlib.contextmanager
def _logged(log: LogFile, plan: data.Plan, gpus: list[str], progress: Progress) -> Iterator[Progress]:
    """Note start and end of a run, whichever that is, and how many samples were there then."""
    began, state = time.monotonic(), {"n_done": 0}

    def count(done: int, total: int) -> None:
        state["n_done"] = done
        progress(done, total)

    settings = {"n_samples": plan.n_samples, **plan.render, **({"gpus": gpus} if gpus else {})}
    log.write("start", plan=data.plan_fingerprint(plan), **settings)
    try:
        yield count
    except BaseException as error:
        why = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error).partition("\n")[0]
        with contextlib.suppress(OSError):  # the disk may be full, and that is what `error` says
            log.write("stop", why=why or type(error).__name__, seconds=round(time.monotonic() - began, 1), **state)
        raise
    log.write("finish", seconds=round(time.monotonic() - began, 1), **state)


def check_failures(out: Path | data.Folder, failures: list[Failure]) -> None:
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
        where=str(out),
        got="\n            ".join(shown),
        next_step="run the same command again: it renders these images only",
    )
