"""The plan: what is shared, in which order it begins, and how long it takes."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from m3di.errors import DiskError, UsageError
from m3di.learn.training.sweep import read_sweep
from m3di.reproduce.costs import Cost, kind_of
from m3di.reproduce.ledger import Reproduction, unfinished, write_sweeps
from m3di.reproduce.members import Training
from m3di.reproduce.paper_results import choose_results
from m3di.reproduce.planning import ReproductionPlan, Task, check_room, make_reproduction_plan, plan_of_share
from m3di.reproduce.scales import SCALES
from tests.reproduce.stubs import finish
from tests.reproduce.test_side_by_side import Stub


def task(key: str, seconds: float, needs: tuple[str, ...] = (), *, is_finished: bool = False) -> Task:
    return Task(Stub(key, needs, n_units=1), ("figure3",), is_finished, Cost(seconds, unit_bytes=100.0))


def test_results_share_members(tmp_path: Path) -> None:
    reproduction = Reproduction(tmp_path, SCALES["cpu"])
    plan = make_reproduction_plan(reproduction, choose_results(["table1a", "figure8"]), 2)
    assert [each.serves for each in plan.tasks] == [("table1a", "figure8")] * 5
    both = make_reproduction_plan(reproduction, choose_results(["figure3", "figure7b"]), 2)
    assert [each.serves for each in both.tasks] == [("figure3", "figure7b")] * 5  # a dataset, and four sizes
    finish(tmp_path, both.tasks[0].member)
    again = make_reproduction_plan(reproduction, choose_results(["figure3"]), 2)
    assert [each.is_finished for each in again.tasks] == [True, False, False, False, False]


def test_a_sweep_is_written_beside_trainings_that_a_job_has_begun(tmp_path: Path) -> None:
    reproduction = Reproduction(tmp_path, SCALES["smoke"])
    for member in reproduction.members.values():
        if isinstance(member, Training):
            finish(tmp_path, member)
    write_sweeps(reproduction)
    assert len(read_sweep(tmp_path / "runs" / "m3di").members) == 3


def test_a_dataset_whose_trainings_are_done_is_not_rendered_again(tmp_path: Path) -> None:
    results = choose_results(["figure3"])
    data, *trainings = results[0].members(SCALES["cpu"])
    reproduction = Reproduction(tmp_path, SCALES["cpu"])
    for training in trainings[1:]:
        finish(tmp_path, training)
    plan = make_reproduction_plan(reproduction, results, 2)
    assert [each.member.key for each in plan.missing] == [data.key, trainings[0].key]
    finish(tmp_path, trainings[0])
    assert make_reproduction_plan(reproduction, results, 2).missing == []
    assert unfinished([data], tmp_path) == [data.key]  # a dataset by itself is wanted


def test_datasets_begin_first_then_what_takes_longest() -> None:
    tasks = [task("short", 1), task("data", 2), task("run", 50, ("data",)), task("long", 10), task("done", 99)]
    tasks[-1] = task("done", 99, is_finished=True)
    plan = ReproductionPlan(tasks, 2)
    assert [each.member.key for each in plan.missing] == ["long", "data", "short", "run"]
    assert plan.n_bytes == 400.0


def test_time_is_that_of_the_longest_row_of_members() -> None:
    tasks = [task("data", 4), task("a", 3), task("run", 5, ("data",))]
    assert ReproductionPlan(tasks, 1).seconds == 12.0
    assert ReproductionPlan(tasks, 2).seconds == 9.0
    assert ReproductionPlan(tasks, 8).seconds == 9.0  # the run waits for its dataset
    assert ReproductionPlan([], 2).seconds == 0.0


def test_kinds_of_equal_cost_are_measured_once(tmp_path: Path) -> None:
    plan = make_reproduction_plan(Reproduction(tmp_path, SCALES["cpu"]), choose_results(), 2)
    assert not plan.is_measured
    counts = {kind: len(tasks) for kind, tasks in plan.kinds().items()}
    assert sum(counts.values()) == len(plan.tasks) and len(counts) < 12
    assert counts["render: 2 images of 64 px, draft"] == 2
    assert counts["train: image and text, 64 px, batch 64"] == 5
    costs = {kind: Cost(0.5, fixed_s=1.0) for kind in counts}
    measured = make_reproduction_plan(Reproduction(tmp_path, SCALES["cpu"]), choose_results(), 2, costs)
    assert measured.is_measured
    assert measured.tasks[0].seconds == 1.0 + 0.5 * measured.tasks[0].member.n_units
    assert {kind_of(each.member) for each in measured.tasks} == set(counts)


def test_shares_deal_out_everything_and_hold_the_datasets_that_they_need() -> None:
    runs = [task(f"run-{number}", 1, ("data",)) for number in range(3)]
    plan = ReproductionPlan([task("data", 1), task("a", 1), *runs], 1)
    assert [each.member.key for each in plan_of_share(plan, "0/2").missing] == ["data", "run-0", "run-2"]
    # A dataset of another job comes after the own members that need none: until then that job may have made it.
    assert [each.member.key for each in plan_of_share(plan, "1/2").missing] == ["a", "data", "run-1"]
    assert [each.member.key for each in plan_of_share(plan, "6/7").missing] == []
    assert [each.member.key for each in plan_of_share(plan, "3/7").missing] == ["data", "run-1"]
    assert plan_of_share(plan, "1/2").seconds == 3 and plan_of_share(plan, "1/2").n_jobs == 1
    done = ReproductionPlan([task("data", 1, is_finished=True), *plan.tasks[1:]], 1)
    assert [each.member.key for each in plan_of_share(done, "1/2").missing] == ["a", "run-1"]  # dealt out as before
    assert [each.member.key for each in plan_of_share(done, "0/2").tasks] == ["data", "run-0", "run-2"]
    with pytest.raises(UsageError, match=r"share of the members cannot be read(?s:.)*--member \$SLURM"):
        plan_of_share(plan, "2/2")


def test_too_little_room_is_told_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=10**9))
    check_room(tmp_path / "not" / "there", 0.9e9)
    with pytest.raises(DiskError, match=r"too little room(?s:.)*1\.0 GB free(?s:.)*about 3\.0 GB"):
        check_room(tmp_path / "not" / "there", 3e9)
