"""`m3di render`, whatever renders and wherever the dataset goes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from m3di import data
from m3di.errors import UsageError
from m3di.generate.estimate import Estimate, dry_run
from m3di.generate.on_ray import RayOptions, render_on_ray
from m3di.generate.options import RenderOptions
from m3di.generate.parts import Part
from m3di.generate.run import render
from m3di.generate.shards import Progress
from m3di.generate.staged import Delivery, default_staging, render_to
from m3di.render import Watch


@dataclass(frozen=True)
class Machines:
    """What renders.

    Attributes:
        shards: The part `I/N` that this machine renders; None where it renders all.
        ray: Address of a Ray cluster that renders; None where this machine does.
        staging: Folder for unfinished shards, on each machine that renders for a URL or beside others.
    """

    shards: str | None = None
    ray: str | None = None
    staging: Path | None = None


def render_anywhere(
    root: str,
    options: RenderOptions,
    machines: Machines,
    progress: Progress | None = None,
    watch: Watch | None = None,
) -> data.Manifest | None:
    """Render a dataset, or what is missing of it, or a part.

    Args:
        root: Folder or URL of the dataset.
        options: What to render, and how; `options.out` is set from `root`.
        machines: What renders.
        progress: Called with samples done and samples in all.
        watch: Called with everything that happens in the workers of this machine.

    Returns:
        The manifest of the finished dataset; None where only a part was rendered.

    Raises:
        UsageError: Options exclude each other, or one is out of range.
        M3diError: See `render`, `render_to` and `render_on_ray`.
    """
    folder, part = _place(root, machines)
    if machines.ray:
        return render_on_ray(folder, options, RayOptions(machines.ray, machines.staging), progress)
    if part is None and isinstance(folder, data.LocalFolder):
        return render(replace(options, out=folder.root), progress, watch)
    return render_to(Delivery(folder, machines.staging or default_staging(), part), options, progress, watch)


def dry_run_anywhere(root: str, options: RenderOptions, machines: Machines, watch: Watch | None = None) -> Estimate:
    """What `render_anywhere` would take on this machine.

    Raises:
        UsageError: Options exclude each other, one is out of range, or a Ray cluster is to render.
        M3diError: See `dry_run`.
    """
    folder, part = _place(root, machines)
    if machines.ray:
        raise UsageError(
            "--dry-run measures this machine, not a Ray cluster",
            where=f"--ray {machines.ray}",
            next_step="leave --ray out, on a node of the cluster: a task with as many --workers is as quick",
        )
    if part is None and isinstance(folder, data.LocalFolder):
        return dry_run(replace(options, out=folder.root), watch=watch)
    return dry_run(options, folder, part, watch)


def _place(root: str, machines: Machines) -> tuple[data.Folder, Part | None]:
    """Where the dataset goes, and which part of it is meant.

    Raises:
        UsageError: Options exclude each other, or there is no such part.
        M3diError: The URL cannot be read.
    """
    if machines.shards and machines.ray:
        raise UsageError(
            "--shards and --ray exclude each other",
            expected="--shards I/N for machines that know nothing of each other, --ray ADDRESS for a Ray cluster",
        )
    if root.startswith("memory://"):
        raise UsageError(
            "what is in the memory of a process is gone when it ends",
            where=f"--out {root}",
            expected="a folder, or the URL of a storage such as s3://bucket/prefix",
        )
    folder = data.open_folder(root)
    part = Part.parse(machines.shards) if machines.shards else None
    if machines.staging and part is None and not machines.ray and isinstance(folder, data.LocalFolder):
        raise UsageError(
            "--staging is of no use here",
            where="--staging",
            expected="a URL for --out, --shards or --ray; else unfinished shards lie in the folder of the dataset",
        )
    return folder, part
