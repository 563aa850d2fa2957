"""Sweeps: one training run for each combination of hyperparameters and seeds, side by side in a folder.

SWEEP/
  sweep.json                    {"members": [{"run": "encoding_size=1,seed=0", "values": {...}}, ...],
                                 "config": {...}, "data": {"root": ..., "fingerprint": ...}}; written first
  encoding_size=1,seed=0/       a run folder, see `m3di.learn.training.run_folder`
  ...

Any process can run a member: its folder says whether it is finished, and it continues where it stood if not.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from m3di.data import Multimodal3DIdent
from m3di.errors import M3diError, UsageError, did_you_mean
from m3di.learn.training.config import TrainConfig, config_from_json
from m3di.learn.training.job import OnStep, TrainResult
from m3di.learn.training.run_folder import SWEEP_NAME, next_run, read_summary
from m3di.learn.training.train import train
from m3di.system.files import read_json, write_json
from m3di.system.member_failures import check_none_failed
from m3di.system.settings import settings_of

MEMBERS = "members of the sweep"  # what messages call them
Each = TypeVar("Each")
_SHORT = {"steps": "n_steps", "workers": "n_workers"}  # as the command line calls them


@dataclass(frozen=True)
class Sweep:
    """The members of a sweep, and their settings.

    Args:
        data_root: The dataset's folder.
        config: What the members have in common.
        members: Of each member, by the name of its run folder, the values that it has of its own.
        fingerprint: Identity of the data; None for a sweep of before it was noted.
    """

    data_root: Path
    config: TrainConfig
    members: Mapping[str, Mapping[str, Any]]
    fingerprint: str | None = None

    def config_of(self, name: str) -> TrainConfig:
        """The configuration of a member."""
        return replace(self.config, **self.members[name])

    def described(self) -> dict[str, Any]:
        """What goes into sweep.json."""
        members = [{"run": name, "values": dict(values)} for name, values in self.members.items()]
        config: dict[str, Any] = json.loads(json.dumps(asdict(self.config)))
        noted = {} if self.fingerprint is None else {"fingerprint": self.fingerprint}
        return {"members": members, "config": config, "data": {"root": str(self.data_root), **noted}}

    def on_its_data(self) -> Sweep:
        """The sweep with the identity of its data.

        Raises:
            M3diError: There is no dataset, or another one than the sweep was begun with.
        """
        found = Multimodal3DIdent(self.data_root).fingerprint
        if self.fingerprint not in (None, found):
            raise M3diError(
                "the dataset is not the one that the sweep was begun with",
                where=str(self.data_root),
                got=f"fingerprint {found[:12]}",
                expected=f"fingerprint {str(self.fingerprint)[:12]}",
                next_step="put the dataset back, or sweep over this one in another folder; nothing was changed",
            )
        return replace(self, fingerprint=found)


def make_sweep(data_root: Path, config: TrainConfig, axes: Sequence[str], n_seeds: int = 1) -> Sweep:
    """All combinations of some hyperparameters' values, and of seeds.

    Args:
        data_root: The dataset's folder.
        config: Everything else, and the first seed.
        axes: "NAME=A:B" for whole numbers from A to B, or "NAME=A,B,C"; of fields of `TrainConfig`.
        n_seeds: Seeds of each combination, from that of `config` on.

    Raises:
        UsageError: An axis cannot be read, or one of its values is out of range.
    """
    if n_seeds < 1:
        raise UsageError("a sweep needs a seed", where="seeds", got=n_seeds, expected="1 or more")
    grid: dict[str, list[Any]] = {}
    for axis in axes:
        name, values = _parsed(axis)
        if name in grid:
            raise UsageError("a hyperparameter is swept twice", where="sweep", got=name)
        grid[name] = values
    if "seed" in grid and n_seeds != 1:
        raise UsageError(
            "seeds are given twice", where="sweep", got=f"seed=..., and {n_seeds} seeds", next_step="leave one out"
        )
    grid.setdefault("seed", [config.seed + number for number in range(n_seeds)])
    combinations = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    members = {",".join(f"{name}={value}" for name, value in each.items()): each for each in combinations}
    sweep = Sweep(data_root, config, members)
    for name in members:
        sweep.config_of(name)  # raises where a value is out of range
    return sweep


def _parsed(axis: str) -> tuple[str, list[Any]]:
    name, equals, text = axis.partition("=")
    # A list or a mapping is several values already.
    settings = {name: each for name, each in settings_of(TrainConfig).items() if each.base not in (tuple, Mapping)}
    name, names = _SHORT.get(name.strip(), name.strip().replace("-", "_")), list(settings)
    if name not in names:
        raise UsageError(
            f"no hyperparameter is called {name!r}",
            where=f"sweep {axis!r}",
            expected=", ".join(names),
            next_step=did_you_mean(name, names),
        )
    readers: dict[Any, Callable[[str], Any]] = {bool: _read_bool, int: int, float: float}
    read = readers.get(settings[name].base, str)
    try:
        first, colon, last = text.partition(":")
        if colon:
            values = list(range(int(first), int(last) + 1))
        else:
            values = [read(each.strip()) for each in text.split(",")]
    except ValueError as error:
        raise _unreadable(axis, error) from error
    if not equals or not values:
        raise _unreadable(axis, "no values")
    return name, list(dict.fromkeys(values))


def _read_bool(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(f"{text!r} is neither true nor false")
    return text.lower() == "true"


def _unreadable(axis: str, got: object) -> UsageError:
    return UsageError(
        "the values of a sweep cannot be read",
        where=f"sweep {axis!r}",
        got=got,
        expected="NAME=A:B (whole numbers, both ends included) or NAME=A,B,C",
    )


def sweep_folder(runs: Path, sweep: Sweep) -> Path:
    """The newest folder below `runs` of this very sweep, if it is unfinished, else a new one."""
    name = f"{sweep.data_root.resolve().name}-sweep"
    for folder in sorted(runs.glob(f"{name}-[0-9]*"), reverse=True):
        is_there = (folder / SWEEP_NAME).is_file() and is_same(read_sweep(folder), sweep)
        if is_there and any(read_summary(folder / member) is None for member in sweep.members):
            return folder
    return next_run(runs, name)


def is_same(stored: Sweep, sweep: Sweep) -> bool:
    """Whether two sweeps are one; a stored one of before its data's identity was noted may be."""
    known = stored.fingerprint is not None and sweep.fingerprint is not None
    return stored.described() == (sweep if known else replace(sweep, fingerprint=stored.fingerprint)).described()


def write_sweep(folder: Path, sweep: Sweep) -> None:
    """Make `folder` the folder of this sweep, or see that it is already.

    Raises:
        M3diError: It holds something else.
    """
    path = folder / SWEEP_NAME
    if path.is_file():
        if is_same(read_sweep(folder), sweep):
            return
        raise M3diError(
            "the folder already holds another sweep",
            where=str(path),
            got=", ".join(each["run"] for each in read_json(path).get("members", [])),
            expected=", ".join(sweep.members) + ", with the same configuration and data",
            next_step="choose another folder; nothing was changed",
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise M3diError(
            "the folder of a sweep must be new or empty",
            where=str(folder),
            next_step="choose another folder; nothing was changed",
        )
    write_json(path, sweep.described())


def read_sweep(folder: Path) -> Sweep:
    """The sweep of a folder.

    Raises:
        M3diError: It holds none.
    """
    if not (folder / SWEEP_NAME).is_file():
        raise M3diError("this folder holds no sweep", where=str(folder), expected=f"a folder with {SWEEP_NAME}")
    stored = read_json(folder / SWEEP_NAME)
    try:
        members = {each["run"]: each["values"] for each in stored["members"]}
        data = stored["data"]
        return Sweep(Path(data["root"]), config_from_json(stored["config"]), members, data.get("fingerprint"))
    except (KeyError, TypeError) as error:
        raise M3diError(
            f"{SWEEP_NAME} is not that of a sweep", where=str(folder), got=f"{type(error).__name__}: {error}"
        ) from error


def run_member(
    folder: Path,
    name: str,
    on_step: OnStep | None = None,
    *,
    n_workers: int | None = None,
    data_root: Path | None = None,
) -> TrainResult:
    """Train a member, or the rest of it; a finished one is only looked at.

    Args:
        folder: Of the sweep.
        name: Of the member.
        on_step: See `train`.
        n_workers: Workers that load here; None as the sweep has it.
        data_root: Where the sweep's data is seen from here; None as the sweep has it.

    Raises:
        M3diError: The data is another one than the sweep was begun with; or as `train`.
    """
    sweep = read_sweep(folder)
    sweep = sweep if data_root is None else replace(sweep, data_root=data_root)
    sweep.on_its_data()
    config = sweep.config_of(name)
    config = config if n_workers is None else replace(config, n_workers=n_workers)
    return train(sweep.data_root, folder / name, config, on_step)


def share_of(sweep: Sweep, share: str | None) -> list[str]:
    """Members of a share "I/N", see `shared_out`; all of them if None."""
    return list(sweep.members) if share is None else shared_out(list(sweep.members), share)


def shared_out(members: Sequence[Each], share: str, *, of: str = "a sweep", where: str = "sweep-member") -> list[Each]:
    """Return the members of a share "I/N": I, I + N, I + 2N, ..., counted from 0.

    Raises:
        UsageError: It is not two numbers with 0 <= I < N.
    """
    first, slash, step = share.partition("/")
    if not (slash and first.isdecimal() and step.isdecimal() and int(first) < int(step)):
        raise UsageError(
            f"the share of {of} cannot be read",
            where=where,
            got=repr(share),
            expected="I/N, with I from 0 to N - 1, such as 0/4",
            next_step=f"in a Slurm array job: --{where.removeprefix('--')} $SLURM_ARRAY_TASK_ID/N",
        )
    return list(members)[int(first) :: int(step)]


def run_members(
    folder: Path, names: Sequence[str], run_one: Callable[[Path, str], TrainResult]
) -> dict[str, TrainResult]:
    """Run members one after the other; one that fails does not keep the others from running.

    Raises:
        M3diError: Some failed; raised after all have run.
    """
    results: dict[str, TrainResult] = {}
    failures: dict[str, M3diError] = {}
    for name in names:
        try:
            results[name] = run_one(folder, name)
        except M3diError as error:
            failures[name] = error
    check_none_failed(folder, len(names), {name: str(error) for name, error in failures.items()}, MEMBERS)
    return results
