"""Shards rendered on this machine and brought elsewhere once finished: to a URL, or a folder that many share."""

from __future__ import annotations

import getpass
import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from m3di import data
from m3di.generate.finish import finish_folder, receipt_of
from m3di.generate.options import RenderOptions, render_settings
from m3di.generate.parts import Part
from m3di.generate.plan import Shard, make_plan, shards_of, user_shapes_of
from m3di.generate.run import check_failures
from m3di.generate.shards import Failure, Progress, Renders, render_shards
from m3di.latents import Spec
from m3di.render import RenderPool, check_blender


@dataclass(frozen=True)
class Delivery:
    """Where finished shards go, and from where.

    Attributes:
        folder: The folder of the dataset.
        staging: Folder of this machine for shards that are not finished. One of each run is made in it.
        part: Which part this run is; None where it is all.
    """

    folder: data.Folder
    staging: Path
    part: Part | None = None

    def stage(self, plan: data.Plan, what: str = "") -> Path:
        """The folder of this run in `staging`: the same one when the run is repeated."""
        text = f"{self.folder}\n{self.part}\n{what}\n{plan.model_dump_json()}"
        return self.staging / hashlib.sha256(text.encode()).hexdigest()[:16]


def default_staging() -> Path:
    """Where unfinished shards lie unless one says where: a folder of this user for temporary files."""
    return Path(tempfile.gettempdir()) / f"m3di-{getpass.getuser()}"


def render_to(
    folder: data.Folder,
    options: RenderOptions,
    *,
    part: Part | None = None,
    staging: Path | None = None,
    progress: Progress | None = None,
) -> data.Manifest | None:
    """Render a dataset, or a part of it, on this machine, and bring each shard to a folder once it is finished.

    Shards that are there are not rendered again. Two runs of one part at the same time waste work and harm nothing.

    Args:
        folder: Where the dataset goes.
        options: What to render, and how; `options.out` is not looked at.
        part: The part to render; None renders all and finishes the dataset.
        staging: Folder of this machine for shards that are not finished.
        progress: Called with samples done and samples in all, at the start and after every sample.

    Returns:
        The manifest of the finished dataset; None where only a part was rendered.

    Raises:
        UsageError: An option is out of range, or there is no such spec or part.
        M3diError: The folder holds something else or cannot be written, Blender or a GPU is missing, or images failed.
    """
    options.check()
    spec = options.load_spec()
    options = options.resolved(spec)
    yours = user_shapes_of(spec)
    check_blender()
    plan = make_plan(spec, options)
    shards = part.shards(plan) if part else list(shards_of(plan))
    data.check_claim(folder, plan)
    manifest = finished(folder)
    if manifest is not None:
        return manifest
    delivery = Delivery(folder, staging or default_staging(), part)
    with RenderPool(render_settings(options, yours), options.n_workers or 1) as pool:
        pool.check()
        data.claim(folder, plan)
        check_failures(folder, deliver_missing(delivery, spec, plan, shards, pool, progress))
    return finish_folder(folder, spec, plan) if part is None else None


def finished(folder: data.Folder) -> data.Manifest | None:
    """The manifest of a dataset whose files are all there, by size; else None."""
    names = folder.sizes()
    if data.MANIFEST not in names:
        return None
    manifest = data.parse_manifest(folder.read(data.MANIFEST), folder.path(data.MANIFEST))
    return manifest if all(names.get(entry.file) == entry.n_bytes for entry in manifest.files) else None


def deliver_missing(
    delivery: Delivery,
    spec: Spec,
    plan: data.Plan,
    shards: list[Shard],
    pool: Renders,
    progress: Progress | None = None,
) -> list[Failure]:
    """Render those of some shards that are not in the folder yet, and bring each there.

    Returns:
        The images that could not be rendered; their shards are not delivered.

    Raises:
        M3diError: The folder cannot be read or written, or too many images failed.
    """
    there = delivery.folder.sizes()
    total = sum(shard.n for shard in shards)
    done = sum(shard.n for shard in shards if shard.name in there)
    report = progress or (lambda done, total: None)
    report(done, total)
    stage = delivery.stage(plan)
    data.check_folder(stage, plan)
    data.prepare_folder(stage, plan)
    failures = []
    for shard in shards:
        if shard.name in there:
            continue
        failed = render_shards(spec, plan, [shard], stage, pool, _after(done, total, report))
        failures += failed
        if not failed:
            deliver(delivery, spec, plan, shard, stage)
        done += shard.n
    if not failures:
        shutil.rmtree(stage)
    return failures


def _after(before: int, total: int, report: Progress) -> Progress:
    """Progress of one shard as that of all."""
    return lambda done, _: report(before + done, total)


def deliver(delivery: Delivery, spec: Spec, plan: data.Plan, shard: Shard, stage: Path) -> None:
    """Bring a finished shard to the folder, then its receipt, which says that it arrived as it was; here both go."""
    receipt = receipt_of(stage, spec, plan, shard, delivery.part)
    note = stage / data.receipt_name(shard.name)
    data.write_atomically(note, receipt.to_bytes())
    data.upload(delivery.folder, stage / shard.name, receipt.entry)
    data.upload(delivery.folder, note, data.file_entry(note, 0))
    (stage / shard.name).unlink()
    note.unlink()
