"""The folder OUT of a reproduction.

OUT/
  reproduce.json           scale, whether datasets are rendered on a GPU, a hash of all members' settings; written first
  measured.json            how long a step, an image and a probe take on this machine
  data/, runs/, simulations/    members, see `m3di.reproduce.members`
  records/                 of each member: seconds over all attempts, when and where it ran, whether it is done
  logs/                    what the workers said
  report/                  report.html, report.md and their pictures
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from m3di._version import __version__
from m3di.errors import DataError, DiskError, M3diError
from m3di.evaluate.runs import RESULTS as EVALUATION
from m3di.reproduce.members import RUNS, Member, Training
from m3di.reproduce.paper_results import RESULTS
from m3di.reproduce.scales import ReproductionScale, find_scale
from m3di.simulate.checkpoint import RESULTS_NAME
from m3di.system.disk import disk_errors
from m3di.system.files import read_json, write_json

SETTINGS, MEASURED, RECORDS, LOGS, REPORT = "reproduce.json", "measured.json", "records", "logs", "report"
SECONDS_BETWEEN_NOTES = 5.0


@dataclass(frozen=True)
class Reproduction:
    """A folder, and what is made in it.

    Args:
        out: The folder.
        scale: Its scale.
        gpu: Whether datasets are rendered on a GPU.
    """

    out: Path
    scale: ReproductionScale
    gpu: bool = False

    @property
    def members(self) -> dict[str, Member]:
        """All members of the scale, by key; each after those that it needs."""
        return {member.key: member for result in RESULTS.values() for member in result.members(self.scale)}

    def described(self) -> dict[str, Any]:
        """What goes into reproduce.json."""
        settings = {key: member.settings() for key, member in self.members.items()}
        text = json.dumps(settings, sort_keys=True, default=list)
        digest = hashlib.sha256(text.encode()).hexdigest()
        return {"scale": self.scale.name, "gpu": self.gpu, "settings_sha256": digest, "m3di": __version__}


def begin(reproduction: Reproduction) -> None:
    """Write OUT/reproduce.json, or check that the one there is of the same.

    Raises:
        M3diError: The folder holds something else, or cannot be written. Nothing was changed.
    """
    out, wanted = reproduction.out, reproduction.described()
    path = out / SETTINGS
    if path.is_file():
        _check_same(path, read_json(path), wanted)
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise M3diError(
            "the folder of a reproduction must be new or empty",
            where=str(out),
            got=f"something without {SETTINGS}",
            next_step="choose another --out; nothing was changed",
        )
    try:
        with disk_errors(out, "the folder cannot be made", kept=False):
            write_json(path, wanted)
    except DiskError:
        if not path.is_file():
            raise
        _check_same(path, read_json(path), wanted)  # another job of the array was quicker


def _check_same(path: Path, stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for name in ("scale", "gpu", "settings_sha256"):
        if stored.get(name) != wanted[name]:
            versions = f" of m3di {stored.get('m3di')}" if name == "settings_sha256" else ""
            raise M3diError(
                "the folder holds another reproduction",
                where=str(path),
                got=f"{name} {stored.get(name)}{versions}",
                expected=f"{name} {wanted[name]}",
                next_step="choose another --out, or the same settings to go on; nothing was changed",
            )


def reopen(out: Path) -> Reproduction:
    """Return the reproduction of a folder that was begun.

    Raises:
        M3diError: It holds none.
    """
    path = out / SETTINGS
    if not path.is_file():
        raise M3diError("the folder holds no reproduction", where=str(out), expected=f"a folder with {SETTINGS}")
    stored = read_json(path)
    return Reproduction(out, find_scale(str(stored.get("scale"))), stored.get("gpu") is True)


def write_sweeps(reproduction: Reproduction) -> None:
    """Write the sweep.json of every dataset's trainings, so that `m3di evaluate OUT/runs/NAME` works."""
    from m3di.learn.training.run_folder import SWEEP_NAME
    from m3di.learn.training.sweep import Sweep

    found: dict[str, list[Training]] = {}
    for member in reproduction.members.values():
        if isinstance(member, Training):
            found.setdefault(member.data.name, []).append(member)
    for name, trainings in found.items():
        folder = reproduction.out / RUNS / name
        if not (folder / SWEEP_NAME).is_file():
            root = (reproduction.out / trainings[0].data.key).resolve()
            sweep = Sweep(root, trainings[0].config, {each.name: each.values for each in trainings})
            write_json(folder / SWEEP_NAME, sweep.described())  # beside trainings that a job of an array may have begun


def unfinished(members: Iterable[Member], out: Path) -> list[str]:
    """Keys of the members that are still to be done.

    A dataset that is gone is none of them if all that need it are done: who freed its room does not want it back.

    Raises:
        M3diError: As `is_member_finished`.
    """
    listed = list(members)
    left = [member for member in listed if not is_member_finished(member, out)]
    needed, keys = {key for member in left for key in member.needs}, {key for member in listed for key in member.needs}
    return [member.key for member in left if member.key in needed or member.key not in keys]


def is_member_finished(member: Member, out: Path) -> bool:
    """Whether a member is done.

    Raises:
        M3diError: It is done, but its results cannot be read: to do it once more may take hours, so that is asked for.
    """
    try:
        return member.is_finished(out)
    except M3diError as error:
        where = Path(error.details.get("where", out / member.key))
        # Scores are made once more from the weights; whatever else is damaged costs the whole member.
        lost = where if where.name in (RESULTS_NAME, EVALUATION) else out / member.key
        raise DataError(
            f"the results of {member.key} cannot be used: {error.what}",
            where=str(where),
            got=error.details.get("got"),
            next_step=f"put them back from a copy, or delete {lost}: what it held is then made once more",
        ) from error


def record_path(out: Path, key: str) -> Path:
    """Return where a member's record is."""
    return out / RECORDS / f"{key.replace('/', '__')}.json"


def read_record(out: Path, key: str) -> dict[str, Any]:
    """Return a member's record; empty if there is none."""
    path = record_path(out, key)
    try:
        return read_json(path) if path.is_file() else {}
    except DataError:  # only times are lost, and the report says what it knows
        return {}


class Record:
    """The record of a member that runs: its seconds are noted as it goes, for it may be killed."""

    def __init__(self, out: Path, member: Member) -> None:
        self._path = record_path(out, member.key)
        before = read_record(out, member.key)
        self._before, self._began = float(before.get("seconds", 0.0)), time.monotonic()
        self._noted = self._began

    def note(self, *, finished: bool = False) -> None:
        """Note the time, now and then; at the end always."""
        now = time.monotonic()
        if finished or now - self._noted >= SECONDS_BETWEEN_NOTES:
            self._noted = now
            seconds = self._before + now - self._began
            content: dict[str, Any] = {"seconds": round(seconds, 3), "finished": finished, "machine": machine()}
            content["at"] = f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC"
            write_json(self._path, content)


def machine() -> dict[str, Any]:
    """Describe this machine."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": cores,
        "gpus": gpus,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "m3di": __version__,
    }
