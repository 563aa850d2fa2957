"""Claim the folder of a dataset: check that it is free, write the plan, remove what runs left in it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from m3di.data.format.manifest import MANIFEST, PLAN, Plan, manifest_in, plan_of, to_json
from m3di.data.storage.places import Folder, LocalFolder
from m3di.data.unfinished.plan_notes import (
    copy_name,
    damaged_plan,
    is_day_note,
    is_log,
    is_plan_note,
    is_witnessed,
    note_day,
    note_plan,
    noted_plan,
)
from m3di.errors import DiskError, M3diError
from m3di.system.disk import disk_errors
from m3di.system.files import PARTIAL
from m3di.system.lock import LOCK, HeldLock, hold_folder

_PART_LOCK = re.compile(r"part-[0-9]+-of-[0-9]+\.lock")


def claim(folder: Folder, plan: Plan) -> None:
    """Write the plan into a folder, local or remote, if this is the first run; else compare with the plan there.

    Raises:
        M3diError: It holds another dataset, or other files, or cannot be written.
    """
    check_claim(folder, plan)
    content = to_json(plan)
    for name in (PLAN, copy_name(plan)):
        if name in folder.sizes() and folder.read(name) != content and noted_plan(folder, [name]) is None:
            folder.remove([name])  # damaged
        folder.create(name, content)
        check_claim(folder, plan)
    note_day(folder)


def check_claim(folder: Folder, plan: Plan) -> None:
    """Check that a folder, local or remote, is new, empty, or holds this very dataset; write nothing.

    Raises:
        M3diError: It holds another dataset, or other files, or cannot be read.
    """
    if not isinstance(folder, LocalFolder):
        names = list(folder.sizes())
    else:  # subfolders count too: they are not ours
        names = [path.name for path in folder.root.iterdir()] if folder.root.is_dir() else []
    if MANIFEST in names:
        found = plan_of(manifest_in(folder))
        refuse_differences(found, plan, str(folder))
        return
    noted = noted_plan(folder, names)
    if noted is not None:
        refuse_differences(noted, plan, str(folder))
        return
    ours = (is_lock, is_log, is_plan_note, is_day_note)
    others = [name for name in names if not any(is_one(name) for is_one in ours)]
    if not others or is_witnessed(folder, names, plan):
        return
    if any(map(is_plan_note, names)):
        raise damaged_plan(folder)
    refuse_files(others, str(folder))


def refuse_files(names: list[str], where: str) -> None:
    """Refuse files that are no dataset.

    Raises:
        M3diError: There are some; it names the first of them.
    """
    if names:
        raise M3diError(
            "the output folder holds files that are no m3di dataset",
            where=f"--out {where}",
            got=", ".join(sorted(names)[:3]),
            expected="a new or an empty folder, or one that holds this very dataset",
            next_step="choose another folder with --out",
        )


def refuse_differences(found: Plan, plan: Plan, where: str) -> None:
    """Refuse a folder with another dataset.

    Raises:
        M3diError: The plans differ; it says where.
    """
    differences = found.differences(plan)
    if differences:
        raise M3diError(
            "the output folder holds a different dataset",
            where=f"--out {where}",
            got="\n            ".join(f"{line}" for line in ["(there | asked for)", *differences]),
            expected="the same spec, seed, sizes and settings, to continue it",
            next_step="choose another folder with --out, or repeat the options that it was made with",
        )


def make_folder(out: Path) -> None:
    """Make the folder.

    Raises:
        M3diError: It cannot be made.
    """
    with _write_errors(out):
        out.mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def made_folder(out: Path) -> Iterator[None]:
    """Make a folder for the block; remove it at the end if it is new and nothing was written to it.

    Raises:
        M3diError: It cannot be made.
    """
    missing = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        make_folder(out)
        yield
    finally:
        with contextlib.suppress(OSError):  # not empty, as it should be
            for folder in missing:
                folder.rmdir()


def prepare_folder(out: Path, plan: Plan) -> None:
    """Make the folder, and write the plan into it.

    Raises:
        M3diError: It cannot be written.
    """
    make_folder(out)
    with _write_errors(out):
        note_plan(out, plan)
        note_day(LocalFolder(out))


@contextlib.contextmanager
def _write_errors(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DiskError(
            "the output folder cannot be written",
            where=f"--out {out}",
            got=error.strerror or error,
            expected="a folder where you may create files",
            next_step="choose another folder with --out, or change its permissions",
        ) from None


def remove_leftovers(folder: Folder) -> None:
    """Remove what runs left in the folder of a finished dataset: notes, receipts, journals, interrupted uploads, and
    locks that nobody holds.

    Locks name a machine and a process, which readers of the dataset do not need.

    Raises:
        M3diError: A file cannot be removed, or the storage failed.
    """
    if not isinstance(folder, LocalFolder):
        left = [name for name in folder.sizes() if name.endswith(PARTIAL)]
        if left:
            folder.remove(left)
        folder.abort_uploads()
        return
    out = folder.root
    with disk_errors(out):
        for path in out.glob(f"*{PARTIAL}"):
            path.unlink(missing_ok=True)
    for path in out.glob("*.lock"):
        if is_lock(path.name):
            with contextlib.suppress(M3diError), hold_folder(out, path.name):
                pass  # nobody holds it: it goes


def part_lock_name(number: int, count: int) -> str:
    """Return the file name of the lock of a part of a dataset."""
    return f"part-{number}-of-{count}.lock"


def is_lock(name: str) -> bool:
    """Whether a file is the lock of a run."""
    return name == LOCK or _PART_LOCK.fullmatch(name) is not None


@contextlib.contextmanager
def hold_part(folder: Folder, number: int, count: int) -> Iterator[list[HeldLock]]:
    """Hold a part of a dataset for this process, in a folder that machines share; a URL has no locks.

    Raises:
        M3diError: Another process renders this part; the message says which.
    """
    if not isinstance(folder, LocalFolder):
        yield []
        return
    with made_folder(folder.root), hold_folder(folder.root, part_lock_name(number, count)) as held:
        yield [held]
