"""Render again what is bad in a dataset, and nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from m3di import data
from m3di.errors import M3diError, UsageError
from m3di.generate.destinations import InPlace
from m3di.generate.finishing import receipt_of
from m3di.generate.log import LogFile, logged
from m3di.generate.missing_shards import check_failures
from m3di.generate.options import RenderOptions, WorkerOptions, options_like, refuse_image_options
from m3di.generate.plan import shards_of
from m3di.generate.same_images import check_makers, shapes_as_noted
from m3di.generate.shards import NoPool, Progress, render_shards
from m3di.generate.workers import Watchers, open_pool
from m3di.latents import Spec, missing_mechanisms, spec_from_dict
from m3di.render import RenderedImage, RenderPool, UserShape, Watch, agree

if TYPE_CHECKING:
    from typing_extensions import Unpack


def repair(
    root: Path, progress: Progress | None = None, watch: Watch | None = None, **workers: Unpack[WorkerOptions]
) -> list[str]:
    """Render again the images of a dataset that are bad, and write the files that are bad; sound files stay.

    Good images of a damaged shard are kept, and so is an edited card. The spec with its interventions, the
    seed and the settings come from the manifest. If it is interrupted, run it again. The log notes what is rendered.

    Args:
        root: Folder of the dataset.
        progress: Called with samples done and samples in all.
        watch: Called with everything that happens in the workers.
        **workers: Options of the workers; by default as for `render`.

    Returns:
        Names of the files that were bad.

    Raises:
        UsageError: An option is out of range, chooses a GPU for a dataset of the CPU, or is about images where
            there are none.
        M3diError: The manifest itself is damaged, or the dataset cannot be rendered here.
    """
    manifest = data.read_manifest(root)
    refuse_image_options(manifest.parsed_spec, workers)
    problems = [problem for problem in data.find_problems(root, manifest) if not problem.is_note]
    bad = sorted({problem.file for problem in problems})
    if not bad:
        return []
    shapes = check_repairable(root, manifest, problems)
    shards = [shard for split in manifest.splits.values() for shard in split.shards if shard.file in bad]
    to, plan = InPlace(data.LocalFolder(root)), data.plan_of(manifest)
    with to.workplace(plan) as place, data.disk_errors(root), contextlib.ExitStack() as stack:
        pool, watchers = None, Watchers(watch)
        if shards:  # first: if this machine cannot render it, nothing is touched
            options = options_like(manifest, root, workers)
            pool = stack.enter_context(_open_pool(root, manifest.parsed_spec, options, shapes, watchers))
        _remove_foreign(root, manifest, bad)
        gpus = [gpu.described() for gpu in pool.gpus] if pool else []
        if pool is not None:
            log = LogFile(place.log)
            watchers.add(log.write_pool_event)
            count = stack.enter_context(logged(log, plan, gpus, progress))
            how = _Rendering(manifest, pool, place.guarded(count), log)
            _render_bad(root, how, bad, shards)
        _finish(root, manifest, bad)
        data.remove_leftovers(to.folder)
    return bad


def _remove_foreign(root: Path, manifest: data.Manifest, bad: list[str]) -> None:
    """Remove files that are no part of the dataset."""
    known = {entry.file for entry in manifest.files}
    for name in bad:
        # Partial files of interrupted runs stay until the end: they hold finished images.
        if name not in known and not name.endswith(data.PARTIAL):
            (root / name).unlink(missing_ok=True)


def _render_bad(root: Path, how: _Rendering, bad: list[str], shards: list[data.FileEntry]) -> None:
    """Restore bad shards: keep their good images, and render the others."""
    _take_apart(root, how.manifest, bad)
    how.render_missing(root)
    differing = [shard for shard in shards if data.sha256_of(root / shard.file) != shard.sha256]
    if differing and how.manifest.render["device"] == "gpu":
        _keep_what_agrees(root, how, differing)
    elif differing:
        # No checksum inside the shard shows the damage, so none of its images can be trusted.
        for shard in differing:
            (root / shard.file).unlink()
        how.render_missing(root)


def _keep_what_agrees(root: Path, how: _Rendering, shards: list[data.FileEntry]) -> None:
    """Render shards again; keep each old image that shows the same, and replace the others.

    A GPU does not give the same bytes twice, so a shard with a new image never has its old checksum.
    """
    with TemporaryDirectory(prefix="m3di-repair-") as folder:
        again = Path(folder)
        how.render_missing(again, {shard.file for shard in shards})
        for shard in shards:
            journal = data.ImageJournal(root / shard.file)
            try:
                fresh = {(image.key, image.view): image for image in _images(again, how.manifest, shard)}
                for image in _images(root, how.manifest, shard):
                    new = fresh[image.key, image.view]
                    if agree(_rendered(image), _rendered(new)):
                        journal.append(image)
                        del fresh[image.key, image.view]
                if fresh:
                    data.note_devices(root, [gpu.described() for gpu in how.pool.gpus])
                for new in fresh.values():
                    journal.append(new)
            finally:
                journal.close()
            (root / shard.file).unlink()
    how.render_missing(root)  # no image is missing: this writes the shards


def _images(root: Path, manifest: data.Manifest, shard: data.FileEntry) -> Iterator[data.JournalEntry]:
    return data.sound_images(root, manifest, shard, None, tuple(manifest.noted))


def _rendered(entry: data.JournalEntry) -> RenderedImage:
    passes = {name: raw for name, raw in entry.files.items() if name != data.JOURNAL_IMAGE}
    return RenderedImage(entry.files[data.JOURNAL_IMAGE], entry.annotation, passes)


def _finish(root: Path, manifest: data.Manifest, bad: list[str]) -> None:
    """Write tables, documents and manifest that are bad, or that name a shard whose bytes have changed."""
    splits = {name: _restored(root, manifest, name, bad) for name in manifest.splits}
    # If no shard has changed, the dataset has nothing from the GPUs of this repair, or of one that was interrupted.
    noted = () if splits == manifest.splits else data.noted_devices(root)
    devices = tuple(sorted({*manifest.devices, *noted})) if noted else manifest.devices
    restored = manifest.model_copy(update={"splits": splits, "devices": devices})
    keep = {entry.file for entry in manifest.documents if restored == manifest and entry.file not in bad}
    card = [entry for entry in manifest.documents if entry.file == data.CARD and entry.file not in bad]
    if any(data.sha256_of(root / entry.file) != entry.sha256 for entry in card):
        keep.add(data.CARD)  # its owner edited it
    if restored != manifest or len(keep) < len(manifest.documents):
        restored = data.write_documents(root, restored, keep)
    if restored != manifest:
        data.write_manifest(root, restored.sealed())


def _restored(root: Path, manifest: data.Manifest, name: str, bad: list[str]) -> data.SplitEntry:
    """Return the entries of a split as it is now; write its table if it is bad or outdated."""
    split = manifest.splits[name]
    shards = tuple(
        data.file_entry(root / shard.file, shard.n_samples) if shard.file in bad else shard for shard in split.shards
    )
    table = split.table
    if table.file in bad or shards != split.shards:
        plan, spec = data.plan_of(manifest), manifest.parsed_spec
        writer = data.TableWriter(root / table.file)
        try:
            for shard in shards_of(plan):
                if shard.split == name:
                    writer.add(receipt_of(root, spec, plan, shard).rows)
            writer.finish()
        finally:
            writer.close()
        table = data.file_entry(root / table.file, split.n_samples)
    return split.model_copy(update={"shards": shards, "table": table})


def _take_apart(root: Path, manifest: data.Manifest, bad: list[str]) -> None:
    """Move the good images of bad shards into journals, as an interrupted run keeps its finished ones."""
    for split in manifest.splits.values():
        table = None if split.table.file in bad else root / split.table.file
        for shard in split.shards:
            if shard.file not in bad:
                continue
            journal = data.ImageJournal(root / shard.file)
            try:
                for image in data.sound_images(root, manifest, shard, table, tuple(manifest.noted)):
                    if (image.key, image.view) not in journal:
                        journal.append(image)
            finally:
                journal.close()
            (root / shard.file).unlink(missing_ok=True)


@dataclass(frozen=True)
class _Rendering:
    """One repair: its manifest, workers, progress callback and log."""

    manifest: data.Manifest
    pool: RenderPool | NoPool
    progress: Progress
    log: LogFile

    def render_missing(self, root: Path, only: Container[str] | None = None) -> None:
        """Render the missing shards of a folder: all, or only some."""
        spec, plan = self.manifest.parsed_spec, data.plan_of(self.manifest)
        shards = [shard for shard in shards_of(plan) if only is None or shard.name in only]
        failures = render_shards(spec, plan, shards, root, self.pool, self.progress, self.log.write_shard)
        check_failures(data.LocalFolder(root), failures, self.log.path.name)


@contextlib.contextmanager
def _open_pool(
    root: Path, spec: Spec, options: RenderOptions, shapes: Sequence[UserShape], watch: Watch
) -> Iterator[RenderPool | NoPool]:
    """Open the workers that the manifest asks for.

    Raises:
        UsageError: An option is out of range.
        M3diError: Blender or a GPU is missing.
    """
    with contextlib.ExitStack() as stack:
        try:
            pool = stack.enter_context(open_pool(spec, options.resolved(spec), shapes, watch))
        except M3diError as error:
            if not options.gpu or isinstance(error, UsageError):  # such as too few workers
                raise
            raise M3diError(
                "this dataset was rendered on a GPU, and no GPU renders here",
                where=str(root),
                got=": ".join(each for each in (error.what, error.details.get("got")) if each),
                next_step="repair it on a machine that has one: images of a CPU are not quite the same",
            ) from error
        yield pool


def check_repairable(root: Path, manifest: data.Manifest, problems: list[data.DataProblem]) -> tuple[UserShape, ...]:
    """Check that bad files can be made again.

    Returns:
        The user's meshes that bad shards show.

    Raises:
        M3diError: The manifest is damaged, the samples are not rendered ones, or another Blender rendered them.
    """
    damaged = [str(problem) for problem in problems if problem.file == data.MANIFEST]
    if damaged:
        raise M3diError(
            "the manifest is damaged: what the dataset should be is not known",
            where=str(root),
            got="; ".join(damaged),
            next_step=f"restore {data.MANIFEST} from a copy, or render the dataset again",
        )
    made = {entry.file for split in manifest.splits.values() for entry in (*split.shards, split.table)}
    bad = {problem.file for problem in problems} & made
    if bad and manifest.source != "rendered":
        raise M3diError(
            f"a dataset that was {manifest.source} cannot be rendered again",
            where=str(root),
            got="; ".join(map(str, problems)),
            next_step="make it again from the datasets or files that it came from",
        )
    lacking = (
        {name for each in missing_mechanisms(manifest.parsed_spec).values() for name in each.values()} if bad else set()
    )
    if lacking:
        raise M3diError(
            f"what is bad cannot be made again without its mechanism: {', '.join(sorted(lacking))}",
            where=str(root),
            got="; ".join(map(str, problems)),
            expected="the mechanism installed, or the plugin run that the dataset came with",
            next_step=f"m3di --plugin {root} verify {root} --repair  once you have read the plugin"
            if manifest.parsed_spec.plugins
            else "install the package that registers it",
        )
    if bad:  # as strict as a run: tell what cannot be drawn or shown before anything is touched
        check_makers(root, manifest)
        spec_from_dict(manifest.spec, where=str(root / data.MANIFEST))
    if bad & {shard.file for split in manifest.splits.values() for shard in split.shards}:
        return shapes_as_noted(root, manifest)
    return ()
