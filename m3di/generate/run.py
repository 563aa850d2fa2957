"""The main job: a dataset rendered, or what is missing of it."""

from __future__ import annotations

from pathlib import Path

from m3di import data
from m3di.errors import M3diError
from m3di.generate.finish import finish
from m3di.generate.options import RenderOptions, render_settings
from m3di.generate.plan import make_plan, user_shapes_of
from m3di.generate.shards import Failure, Progress, render_missing
from m3di.render import RenderPool, check_blender

MAX_FAILURES_SHOWN = 20


def render(options: RenderOptions, progress: Progress | None = None) -> data.Manifest:
    """Render a dataset, or what is missing of it: a finished image is never rendered again.

    Args:
        options: What to render, and how.
        progress: Called with samples done and samples in all, at the start and after every sample.

    Returns:
        The manifest of the finished dataset.

    Raises:
        UsageError: An option is out of range, or there is no such spec.
        M3diError: The folder holds something else or cannot be written, Blender or a GPU is missing, or images failed.
            What was finished before is kept.
    """
    options.check()
    spec = options.load_spec()
    options = options.resolved(spec)
    yours = user_shapes_of(spec)
    check_blender()
    plan = make_plan(spec, options)
    data.check_folder(options.out, plan)
    if data.is_complete(options.out):
        return data.read_manifest(options.out)
    with RenderPool(render_settings(options, yours), options.n_workers or 1) as pool:
        pool.check()
        data.prepare_folder(options.out, plan)
        check_failures(options.out, render_missing(spec, plan, options.out, pool, progress))
    return finish(options.out, spec, plan)


def check_failures(out: Path | data.Folder, failures: list[Failure]) -> None:
    """Raise where images could not be rendered.

    Raises:
        M3diError: It names them, the first ones at least.
    """
    if not failures:
        return
    shown = [str(failure).replace("\n", "; ") for failure in failures[:MAX_FAILURES_SHOWN]]
    if len(failures) > len(shown):
        shown.append(f"and {len(failures) - len(shown)} more")
    raise M3diError(
        f"{len(failures)} images could not be rendered; all others are finished, and kept",
        where=str(out),
        got="\n            ".join(shown),
        next_step="run the same command again: it renders these images only",
    )
