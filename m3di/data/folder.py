"""The folder of a dataset before it is written: what may become what."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from m3di.data.lock import LOCK
from m3di.data.manifest import (
    MANIFEST,
    PLAN,
    Plan,
    parse_manifest,
    parse_plan,
    plan_of,
    read_plan,
    to_json,
    write_plan,
)
from m3di.data.shards import PARTIAL
from m3di.data.storage import Folder, LocalFolder
from m3di.errors import M3diError

LOG = "render.log.jsonl"
"""What happened when: written by runs, no part of a dataset."""


def check_folder(out: Path, plan: Plan) -> None:
    """Raise unless `out` is new, empty, or holds this very dataset, finished or not; nothing is written.

    Raises:
        M3diError: It holds another dataset, or other files.
    """
    if not out.is_dir():
        return
    found = read_plan(out)
    if found is None:
        # A run that has just begun, or ended too soon, has left these.
        names = [path.name for path in out.iterdir() if path.name not in (LOCK, LOG)]
        refuse_files([name for name in names if not name.startswith(PLAN)], str(out))
    else:
        refuse_differences(found, plan, str(out))


def claim(folder: Folder, plan: Plan) -> None:
    """Note in a folder, wherever it lies, what it is going to be; the first of several runs does, the others compare.

    Raises:
        M3diError: It holds another dataset, or other files, or cannot be written.
    """
    check_claim(folder, plan)
    folder.create(PLAN, to_json(plan))
    check_claim(folder, plan)


def check_claim(folder: Folder, plan: Plan) -> None:
    """Raise unless a folder, wherever it lies, is new, empty, or holds this very dataset; nothing is written.

    Raises:
        M3diError: It holds another dataset, or other files, or cannot be read.
    """
    if isinstance(folder, LocalFolder):
        check_folder(folder.root, plan)
        return
    names = folder.sizes()
    if MANIFEST in names:
        refuse_differences(plan_of(parse_manifest(folder.read(MANIFEST), folder.path(MANIFEST))), plan, str(folder))
    elif PLAN in names:
        refuse_differences(parse_plan(folder.read(PLAN), folder.path(PLAN)), plan, str(folder))
    else:
        refuse_files(list(names), str(folder))


def refuse_files(names: list[str], where: str) -> None:
    """Raise where there are files that are no dataset.

    Raises:
        M3diError: It names the first of them.
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
    """Raise where a folder holds another dataset.

    Raises:
        M3diError: It says where the two differ.
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
    """A folder that is there inside the block; where it was not before, and nothing was written to it, it goes again.

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
    """Make the folder and note in it what it is going to be.

    Raises:
        M3diError: It cannot be written.
    """
    make_folder(out)
    if (out / PLAN).is_file() and read_plan(out) == plan:  # nothing to write: the disk may be full
        return
    with _write_errors(out):
        write_plan(out, plan)


@contextlib.contextmanager
def _write_errors(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise M3diError(
            "the output folder cannot be written",
            where=f"--out {out}",
            got=error.strerror or error,
            expected="a folder where you may create files",
            next_step="choose another folder with --out, or change its permissions",
        ) from None


def remove_leftovers(out: Path) -> None:
    """Remove what interrupted runs left in the folder of a finished dataset."""
    for path in out.glob(f"*{PARTIAL}"):
        path.unlink(missing_ok=True)
