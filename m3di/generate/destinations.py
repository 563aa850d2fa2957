"""Destinations of a dataset: a local folder that shards are made in, or a place that they are copied to."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from m3di import data
from m3di.errors import M3diError, UsageError
from m3di.generate.finishing import receipt_of
from m3di.generate.parts import Part
from m3di.generate.plan import Shard, shards_of
from m3di.generate.shards import Progress, n_finished
from m3di.latents import Spec
from m3di.system.private_folder import make_private, own_temporary_folder


@dataclass(frozen=True)
class Machines:
    """The machines that render.

    Attributes:
        shards: The part `I/N` that this machine renders; None if it renders all.
        ray: Address of a Ray cluster that renders: `HOST:PORT` of its head node, `ray://HOST:PORT` from outside, `auto`
            on a node of it, or `local` for a cluster of this machine alone. None if this machine renders.
        staging: Folder for unfinished shards, on each machine that renders for a URL or a part.
    """

    shards: str | None = None
    ray: str | None = None
    staging: Path | None = None


@dataclass(frozen=True)
class Workplace:
    """A folder of this machine that one run holds.

    Attributes:
        path: Folder of unfinished shards.
        log: Its log file.
        locks: Locks of the run; it ends when another process takes one over.
    """

    path: Path
    log: Path
    locks: tuple[data.HeldLock, ...]

    def guarded(self, progress: Progress | None) -> Progress:
        """Wrap a progress callback: it raises `InterruptedRunError` once another process has taken a lock over."""

        def count(done: int, total: int) -> None:
            for lock in self.locks:
                lock.check()
            if progress:
                progress(done, total)

        return count


class Destination(ABC):
    """A place for a dataset, and the shards that are wanted.

    Attributes:
        folder: The folder of the dataset.
        part: The part that is wanted; None for all.
    """

    folder: data.Folder
    part: Part | None

    def __str__(self) -> str:
        return f"{self.folder}{f', part {self.part}' if self.part else ''}"

    @abstractmethod
    def work_path(self, plan: data.Plan) -> Path:
        """Return the local folder for unfinished shards; a repeated run gets the same one."""

    @abstractmethod
    def workplace(self, plan: data.Plan) -> AbstractContextManager[Workplace]:
        """Hold the place for this process; finished shards and the log are kept however the block ends.

        Raises:
            M3diError: Another process renders the same, or a folder cannot be made.
        """

    @abstractmethod
    def claim(self, plan: data.Plan) -> None:
        """Write the plan into the folder.

        Raises:
            M3diError: It holds something else, or cannot be written.
        """

    @abstractmethod
    def deliver(self, place: Workplace, spec: Spec, plan: data.Plan, shard: Shard) -> None:
        """Move a finished shard from the workplace to the folder.

        Raises:
            M3diError: The storage failed.
        """

    def shards(self, plan: data.Plan) -> list[Shard]:
        """Return the wanted shards.

        Raises:
            UsageError: There are fewer shards than parts.
        """
        return self.part.shards(plan) if self.part else list(shards_of(plan))

    def missing(self, plan: data.Plan) -> list[Shard]:
        """Return the wanted shards that are not in the folder yet.

        Raises:
            M3diError: The folder cannot be read.
        """
        there = self.folder.sizes()
        return [shard for shard in self.shards(plan) if shard.name not in there]

    def n_done(self, spec: Spec, plan: data.Plan) -> int:
        """Count the wanted samples that are in the folder or in unfinished shards of this machine."""
        path, missing = self.work_path(plan), self.missing(plan)
        n_missing = sum(shard.n - n_finished(spec, shard, path) for shard in missing)
        return sum(shard.n for shard in self.shards(plan)) - n_missing

    def finished(self, plan: data.Plan) -> data.Manifest | None:
        """Return the manifest of a finished dataset, and remove what runs left beside it; None if it is unfinished.

        Raises:
            M3diError: The folder holds something else, or the storage failed.
        """
        data.check_claim(self.folder, plan)
        manifest = data.finished_manifest(self.folder)
        if manifest is not None:
            data.remove_leftovers(self.folder)
        return manifest


@dataclass(frozen=True)
class InPlace(Destination):
    """A folder of this machine; shards are made in it and stay there."""

    folder: data.LocalFolder
    part: None = None

    def work_path(self, plan: data.Plan) -> Path:
        """The folder itself."""
        return self.folder.root

    @contextlib.contextmanager
    def workplace(self, plan: data.Plan) -> Iterator[Workplace]:
        """Hold the lock of the folder; a folder made for this goes again if nothing was written to it."""
        out = self.folder.root
        with data.made_folder(out), data.hold_folder(out) as lock:
            yield Workplace(out, out / data.LOG, (lock,))

    def claim(self, plan: data.Plan) -> None:
        """Write the plan; the owner of the lock may repair a damaged one."""
        data.prepare_folder(self.folder.root, plan)

    def deliver(self, place: Workplace, spec: Spec, plan: data.Plan, shard: Shard) -> None:
        """Do nothing: the shard is there."""


@dataclass(frozen=True)
class Staged(Destination):
    """A URL or a shared folder; shards are made in a folder of this machine and copied there.

    Attributes:
        staging: Local folder for unfinished shards; each run makes a folder of its own in it.
        task: Name of the only wanted shard; empty for a part, or for all.
    """

    folder: data.Folder
    staging: Path
    part: Part | None = None
    task: str = ""

    def shards(self, plan: data.Plan) -> list[Shard]:
        """Return the wanted shards; raises as any destination does."""
        return [shard for shard in super().shards(plan) if self.task in ("", shard.name)]

    def work_path(self, plan: data.Plan) -> Path:
        """Return the folder of this run in `staging`."""
        text = f"{self.folder}\n{self.part}\n{self.task}\n{plan.model_dump_json()}"
        return self.staging / hashlib.sha256(text.encode()).hexdigest()[:16]

    @contextlib.contextmanager
    def workplace(self, plan: data.Plan) -> Iterator[Workplace]:
        """Hold the staging folder of this run, and its part in a shared folder. At the end, copy the log there;
        remove the staging folder if the run has succeeded.
        """
        path = self.work_path(plan)
        _make_stage(path)
        with contextlib.ExitStack() as stack:
            stack.callback(_remove_if_empty, path)
            locks = [stack.enter_context(data.hold_folder(path))]
            if self.part is not None:
                number, count = self.part.number, self.part.count
                locks += stack.enter_context(data.hold_part(self.folder, number, count))
            place = Workplace(path, path / self._log_name(path), tuple(locks))
            try:
                yield place
            except BaseException:
                with contextlib.suppress(M3diError, OSError):  # the storage may be what has failed
                    self._bring_log(place)
                raise
            self._bring_log(place)
            shutil.rmtree(path)

    def claim(self, plan: data.Plan) -> None:
        """Write the plan if this is the first run; else compare with it."""
        data.claim(self.folder, plan)

    def deliver(self, place: Workplace, spec: Spec, plan: data.Plan, shard: Shard) -> None:
        """Copy the shard, then its receipt, which says that it arrived intact; then remove both here."""
        receipt = receipt_of(place.path, spec, plan, shard, self.part)
        made, note = place.path / shard.name, place.path / data.receipt_name(shard.name)
        data.write_atomically(note, receipt.to_bytes())
        data.upload(self.folder, made, receipt.entry)
        data.upload(self.folder, note, data.file_entry(note, 0))
        made.unlink()
        note.unlink()

    def _log_name(self, path: Path) -> str:
        """Return the name of the log to continue, else a new one that no other machine uses."""
        part = f"part-{self.part.number}-of-{self.part.count}" if self.part else ""
        found = sorted(each.name for each in path.iterdir() if data.is_log(each.name))
        return found[0] if found else data.new_log_name(part)

    def _bring_log(self, place: Workplace) -> None:
        if place.log.exists():
            data.upload(self.folder, place.log, data.file_entry(place.log, 0))


def destination(out: str | Path, machines: Machines) -> Destination:
    """Return the destination of a dataset, or of a part.

    Args:
        out: Folder or URL of the dataset.
        machines: The machines that render.

    Raises:
        UsageError: Options exclude each other, or there is no such part.
        M3diError: The URL cannot be read.
    """
    if machines.shards and machines.ray:
        raise UsageError(
            "--shards and --ray exclude each other",
            expected="--shards I/N for machines that know nothing of each other, --ray ADDRESS for a Ray cluster",
        )
    if str(out).startswith("memory://"):
        raise UsageError(
            "what is in the memory of a process is gone when it ends",
            where=f"--out {out}",
            expected="a folder, or the URL of a storage such as s3://bucket/prefix",
        )
    folder = data.open_folder(out)
    part = Part.parse(machines.shards) if machines.shards else None
    if part is not None or not isinstance(folder, data.LocalFolder):
        return Staged(folder, machines.staging or default_staging(), part)
    if machines.staging and not machines.ray:
        raise UsageError(
            "--staging is of no use here",
            where="--staging",
            expected="a URL for --out, --shards or --ray; else unfinished shards lie in the folder of the dataset",
        )
    return InPlace(folder)


def default_staging() -> Path:
    """Return the default folder for unfinished shards: a temporary one of this user."""
    return own_temporary_folder("staging")


def _make_stage(stage: Path) -> None:
    """Make the folder of a run for unfinished shards, private because anybody can guess its name.

    Raises:
        M3diError: Somebody else made it first, or it cannot be made.
    """
    ours = default_staging()
    for folder in (*reversed(stage.parents), stage):
        # The user chooses what --staging names, links included; the folders in it are ours.
        if folder == stage or folder.is_relative_to(ours):
            make_private(folder)


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()
