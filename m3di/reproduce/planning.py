"""The plan: which members there are, what is finished, how long the rest takes and how much room it needs."""

from __future__ import annotations

import heapq
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from m3di.errors import DiskError
from m3di.learn.training.sweep import shared_out
from m3di.reproduce.costs import Cost, kind_of
from m3di.reproduce.ledger import Reproduction, unfinished
from m3di.reproduce.members import Member
from m3di.reproduce.paper_results import Result


@dataclass(frozen=True)
class Task:
    """A member in a plan.

    Args:
        member: The member.
        serves: Names of the results that need it.
        is_finished: Whether it is done.
        cost: What all of it costs; None where that was not measured.
    """

    member: Member
    serves: tuple[str, ...]
    is_finished: bool
    cost: Cost | None = None

    @property
    def seconds(self) -> float:
        """That it still takes, as if nothing of it was done; 0 if that is not known."""
        return 0.0 if self.is_finished or self.cost is None else self.cost.seconds(self.member.n_units)

    @property
    def n_bytes(self) -> float:
        """That it still writes."""
        return 0.0 if self.is_finished or self.cost is None else self.cost.n_bytes(self.member.n_units)


@dataclass(frozen=True)
class ReproductionPlan:
    """All members that some results need.

    Args:
        tasks: Each after those that it needs.
        n_jobs: How many run at a time.
    """

    tasks: Sequence[Task]
    n_jobs: int

    @property
    def missing(self) -> list[Task]:
        """What is to be done, in the order in which to begin: datasets first, then what takes longest."""
        left = [task for task in self.tasks if not task.is_finished]
        return sorted(left, key=lambda task: (bool(task.member.needs), -task.seconds))

    @property
    def is_measured(self) -> bool:
        """Whether it is known what all of the rest takes."""
        return all(task.cost is not None for task in self.missing)

    @property
    def seconds(self) -> float:
        """Until all is done, with so many members at a time, each begun as early as can be."""
        finished_at: dict[str, float] = {}
        free = [0.0] * self.n_jobs
        for task in self.missing:
            ready = max((finished_at.get(key, 0.0) for key in task.member.needs), default=0.0)
            finished_at[task.member.key] = max(heapq.heappop(free), ready) + task.seconds
            heapq.heappush(free, finished_at[task.member.key])
        return max(finished_at.values(), default=0.0)

    @property
    def n_bytes(self) -> float:
        """That the rest needs on disk."""
        return sum(task.n_bytes for task in self.missing)

    def kinds(self) -> dict[str, list[Task]]:
        """Tasks of one cost together."""
        found: dict[str, list[Task]] = {}
        for task in self.tasks:
            found.setdefault(kind_of(task.member), []).append(task)
        return found


def make_reproduction_plan(
    reproduction: Reproduction, results: Sequence[Result], n_jobs: int, costs: Mapping[str, Cost] | None = None
) -> ReproductionPlan:
    """List what some results need.

    Args:
        reproduction: The folder, and its scale.
        results: What is wanted.
        n_jobs: How many members run at a time.
        costs: By kind; none if nothing was measured.
    """
    serves: dict[str, list[str]] = {}
    members: dict[str, Member] = {}
    for result in results:
        for member in result.members(reproduction.scale):
            members.setdefault(member.key, member)
            names = serves.setdefault(member.key, [])
            names += [result.name] * (result.name not in names)
    known, left = costs or {}, set(unfinished(members.values(), reproduction.out))
    tasks = [
        Task(member, tuple(serves[key]), key not in left, known.get(kind_of(member))) for key, member in members.items()
    ]
    return ReproductionPlan(tasks, n_jobs)


def check_room(out: Path, n_bytes: float) -> None:
    """Raise DiskError if the disk has less room than a plan needs."""
    place = next(each for each in (out.resolve(), *out.resolve().parents) if each.exists())
    free = shutil.disk_usage(place).free
    if n_bytes > free:
        raise DiskError(
            "there is too little room on the disk for what is planned",
            where=str(out),
            got=f"{free / 1e9:.1f} GB free",
            expected=f"about {n_bytes / 1e9:.1f} GB",
            next_step="make room, choose another --out, or name some results with --only",
        )


def plan_of_share(plan: ReproductionPlan, share: str) -> ReproductionPlan:
    """Return the plan of one job of an array.

    Members are dealt out over all of them, finished or not, so that the jobs of an array agree. Datasets of other jobs
    that members of the share need come after its own: the first job that is free makes one, and the others wait for it.

    Args:
        plan: All members.
        share: "I/N": members I, I + N, ..., counted from 0.

    Raises:
        UsageError: It is not two numbers with 0 <= I < N.
    """
    dealt = sorted(plan.tasks, key=lambda task: bool(task.member.needs))
    own = shared_out(dealt, share, of="the members", where="--member")
    keys = {task.member.key for task in own}
    needed = {key for task in own if not task.is_finished for key in task.member.needs} - keys
    others = [task for task in plan.missing if task.member.key in needed]
    return replace(plan, tasks=[*own, *others])
