"""The plan of an unfinished dataset, written twice: one damaged file does not make finished images useless.

    plan.json.partial                      the plan
    plan-0123456789abcdef.json.partial     the same once more; its name is the start of the SHA-256 of its bytes
    begun-2026-01-31.partial               the day of the first run, which the finished dataset states

Even if both are damaged inside, the name tells whether a command began the dataset; so does the log, whose `start`
lines have that fingerprint.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import uuid
from collections.abc import Iterable
from pathlib import Path

from m3di.data.format.citation import today
from m3di.data.format.manifest import PLAN, Plan, parse_plan, to_json
from m3di.data.storage.places import Folder
from m3di.errors import DataError, M3diError
from m3di.system.files import PARTIAL, write_atomically

LOG = "render.log.jsonl"
"""What happened when: written by runs, no part of a dataset."""
_BROUGHT_LOG = re.compile(r"render\.(part-[0-9]+-of-[0-9]+\.)?[0-9a-f]{8}\.log\.jsonl")
_BEGUN = re.compile(rf"begun-([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}){re.escape(PARTIAL)}")
_COPY = re.compile(rf"plan-[0-9a-f]{{16}}\.json{re.escape(PARTIAL)}")


def plan_fingerprint(plan: Plan) -> str:
    """Return 16 hex digits, equal for equal plans."""
    return _fingerprint(to_json(plan))


def _fingerprint(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def copy_name(plan: Plan) -> str:
    """Return the file name of the second copy of a plan."""
    return _copy_name(to_json(plan))


def _copy_name(content: bytes) -> str:
    return f"plan-{_fingerprint(content)}.json{PARTIAL}"


def is_plan_note(name: str) -> bool:
    """Whether a file is a copy of a plan, or was going to be one."""
    return name.startswith(PLAN) or _COPY.match(name) is not None


def is_day_note(name: str) -> bool:
    """Whether a file says when a dataset was begun, or was going to."""
    return _BEGUN.match(name) is not None


def note_day(folder: Folder) -> None:
    """Note that the dataset of a folder, local or remote, was begun today, unless a day is noted.

    Raises:
        M3diError: The note cannot be written, or SOURCE_DATE_EPOCH is no moment.
    """
    if not noted_day(folder.sizes()):
        folder.create(f"begun-{today()}{PARTIAL}", b"")


def noted_day(names: Iterable[str]) -> str:
    """Return the day on which a dataset was begun, by the files of its folder: of several parts the first; empty if
    none is noted.
    """
    return min((found[1] for found in map(_BEGUN.fullmatch, names) if found), default="")


def new_log_name(part: str = "") -> str:
    """Make a unique name for the log of a run, since others may write beside it.

    Args:
        part: Such as `part-1-of-3`; empty if the run renders all.
    """
    return f"render.{f'{part}.' if part else ''}{uuid.uuid4().hex[:8]}.log.jsonl"


def is_log(name: str) -> bool:
    """Whether a file is the log of a run."""
    return name == LOG or _BROUGHT_LOG.fullmatch(name) is not None


def noted_plan(folder: Folder, names: Iterable[str]) -> Plan | None:
    """Read the plan in a folder, from a sound copy; None if there is none.

    Args:
        folder: The folder.
        names: Files in it.

    Raises:
        M3diError: The storage failed, which says nothing of the notes; or a copy is sound and needs what is not here,
            such as a plugin.
    """
    for name in sorted(name for name in names if name == PLAN or _COPY.fullmatch(name)):
        plan = _sound_plan(folder, name)
        if plan is not None and name in (PLAN, copy_name(plan)):
            return plan
    return None


def _sound_plan(folder: Folder, name: str) -> Plan | None:
    try:
        raw = folder.read(name)
    except OSError:  # of a disk of this machine: damaged there, or removed at this moment
        return None
    try:
        return parse_plan(raw, folder.path(name))
    except M3diError:
        if name == _copy_name(raw):  # it is as it was written, so the error is none of damage
            raise
        return None


def is_witnessed(folder: Folder, names: Iterable[str], plan: Plan) -> bool:
    """Whether a folder without a sound copy was begun with this plan, by the name of a copy or the log."""
    there = set(names)
    if copy_name(plan) in there:
        return True
    if LOG not in there:
        return False
    return _logged_fingerprint(folder.read(LOG)) == plan_fingerprint(plan)


def _logged_fingerprint(log: bytes) -> str:
    """Return the fingerprint of the last run in the log; empty if there is none."""
    for line in reversed(log.splitlines()):
        with contextlib.suppress(ValueError):  # half a line
            said = json.loads(line)
            if isinstance(said, dict) and said.get("event") == "start":
                return str(said.get("plan", ""))
    return ""


def note_plan(root: Path, plan: Plan) -> None:
    """Write the plan into an unfinished local folder, unless it is there.

    Raises:
        OSError: A note cannot be written.
    """
    content = to_json(plan)
    for path in root.iterdir():
        if _COPY.match(path.name) and path.name != copy_name(plan):
            path.unlink(missing_ok=True)
    for name in (PLAN, copy_name(plan)):
        path = root / name
        if not path.is_file() or path.read_bytes() != content:
            write_atomically(path, content)


def damaged_plan(folder: Folder) -> M3diError:
    """Make the error for an unfinished dataset without a sound copy of its plan."""
    return DataError(
        "what this unfinished dataset was going to be is damaged, in each copy",
        where=folder.path(PLAN),
        expected="the plan that the first run has noted",
        next_step="repeat the options that it was begun with: a command that fits goes on; or choose another folder",
    )
