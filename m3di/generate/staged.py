"""Shards rendered on this machine and brought elsewhere once finished: to a URL, or a folder that many share."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from m3di import data
from m3di.generate.finish import clear, finish_folder, receipt_of
from m3di.generate.options import RenderOptions, render_settings
from m3di.generate.parts import Part
from m3di.generate.plan import Shard, prepare, shards_of
from m3di.generate.run import check_failures
from m3di.generate.shards import Failure, NoPool, Progress, Renders, render_shards
from m3di.latents import Spec
from m3di.render import RenderPool, Watch
from m3di.system.private_folder import make_private, own_temporary_folder


@dataclass(frozen=True)
class Delivery:
    """Where finished shards go, and from where.

    Attributes:
        folder: The folder of the dataset.
        staging: Folder of this machine for shards that are not finished. One of each run is made in it.
        part: Which part this run is; None where it is all.
        devices: GPUs that render it.
        task: Of several runs on one machine with one part, which this is: a folder of its own for each.
    """

    folder: data.Folder
    staging: Path
    part: Part | None = None
    devices: tuple[str, ...] = ()
    task: str = ""

    def stage(self, plan: data.Plan) -> Path:
        """The folder of this run in `staging`: the same one when the run is repeated."""
        text = f"{self.folder}\n{self.part}\n{self.task}\n{plan.model_dump_json()}"
        return self.staging / hashlib.sha256(text.encode()).hexdigest()[:16]


def default_staging() -> Path:
    """Where unfinished shards lie unless one says where: a folder of this user for temporary files."""
    return own_temporary_folder("staging")


def render_to(
    delivery: Delivery, options: RenderOptions, progress: Progress | None = None, watch: Watch | None = None
) -> data.Manifest | None:
    """Render a dataset, or a part of it, on this machine, and bring each shard to a folder once it is finished.

    Shards that are there are not rendered again. Two machines with one part waste work and harm nothing.

    Args:
        delivery: Where the dataset goes, and which part is wanted; without a part all, and the dataset is finished.
        options: What to render, and how; `options.out` is not looked at.
        progress: Called with samples done and samples in all, at the start and after every sample.
        watch: Called with everything that happens in the workers.

    Returns:
        The manifest of the finished dataset; None where only a part was rendered.

    Raises:
        UsageError: An option is out of range, or there is no such spec or part.
        M3diError: The folder holds something else or cannot be written, another process renders the same part, Blender
            or a GPU is missing, or images failed.
    """
    spec, options, yours, plan = prepare(options)
    folder, part = delivery.folder, delivery.part
    shards = part.shards(plan) if part else list(shards_of(plan))
    data.check_claim(folder, plan)
    manifest = finished(folder)
    if manifest is not None:
        return manifest
    settings = render_settings(options, yours)
    with RenderPool(settings, options.n_workers, options.limits, watch) if spec.rendered else NoPool() as pool:
        pool.check()
        delivery = replace(delivery, devices=tuple(gpu.described() for gpu in pool.gpus))
        data.claim(folder, plan)
        check_failures(folder, deliver_missing(delivery, spec, plan, shards, pool, progress))
    return finish_folder(folder, spec, plan) if part is None else None


def finished(folder: data.Folder) -> data.Manifest | None:
    """The manifest of a dataset whose files are all there, by size; else None. What runs have left beside it goes.

    Raises:
        M3diError: The storage failed.
    """
    names = folder.sizes()
    if data.MANIFEST not in names:
        return None
    manifest = data.manifest_in(folder)
    if any(names.get(entry.file) != entry.n_bytes for entry in manifest.files):
        return None
    clear(folder)
    return manifest


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
    missing = {shard.name: shard for shard in shards if shard.name not in there}
    total = sum(shard.n for shard in shards)
    n_there = total - sum(shard.n for shard in missing.values())
    stage = delivery.stage(plan)
    with contextlib.ExitStack() as stack:
        _make_stage(stage)
        held = [stack.enter_context(data.sole_run(stage))]
        stack.enter_context(data.disk_errors(stage))
        held += stack.enter_context(_sole_part(delivery))

        def count(done: int, _: int) -> None:
            for each in held:
                each.check()
            if progress:
                progress(n_there + done, total)

        data.prepare_folder(stage, plan)
        data.note_devices(stage, delivery.devices)
        for shard in [each for each in missing.values() if (stage / each.name).exists()]:
            deliver(delivery, spec, plan, shard, stage)  # rendered before, when the folder could not be reached
            n_there += missing.pop(shard.name).n
        failures = render_shards(
            *(spec, plan, missing.values(), stage, pool),
            count,
            lambda name: deliver(delivery, spec, plan, missing[name], stage),
        )
    if not failures:
        shutil.rmtree(stage)
    return failures


def _make_stage(stage: Path) -> None:
    """Make the folder of a run for unfinished shards: anybody can guess its name.

    Raises:
        M3diError: Somebody else was there first, or it cannot be made.
    """
    ours = default_staging()
    for folder in (*reversed(stage.parents), stage):
        # What the user has named with --staging is for the user to choose, links and all; what lies in it is ours.
        if folder == stage or folder.is_relative_to(ours):
            make_private(folder)


@contextlib.contextmanager
def _sole_part(delivery: Delivery) -> Iterator[list[data.Held]]:
    """Where machines share a folder, they can see that a part has its machine already."""
    if delivery.part is None or not isinstance(delivery.folder, data.LocalFolder):
        yield []
        return
    with data.locked(delivery.folder.root, data.part_lock(delivery.part.number, delivery.part.count)) as held:
        yield [held]


def deliver(delivery: Delivery, spec: Spec, plan: data.Plan, shard: Shard, stage: Path) -> None:
    """Bring a finished shard to the folder, then its receipt, which says that it arrived as it was; here both go."""
    receipt = receipt_of(stage, spec, plan, shard, delivery.part)
    note = stage / data.receipt_name(shard.name)
    data.write_atomically(note, receipt.to_bytes())
    data.upload(delivery.folder, stage / shard.name, receipt.entry)
    data.upload(delivery.folder, note, data.file_entry(note, 0))
    (stage / shard.name).unlink()
    note.unlink()
