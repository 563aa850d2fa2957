"""What a member costs: measured on this machine, kept, and measured again elsewhere."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from m3di.reproduce import costs
from m3di.reproduce.costs import Cost, RandomViews, kind_of, measure
from m3di.reproduce.ledger import Reproduction, begin
from m3di.reproduce.members import Member, Resources, Simulating, Training
from m3di.reproduce.scales import SCALES


@pytest.fixture
def members(tmp_path: Path) -> list[Member]:
    return list(Reproduction(tmp_path, SCALES["smoke"]).members.values())


def test_a_kind_is_measured_once_and_kept_for_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: list[Member]
) -> None:
    monkeypatch.setattr(costs, "_measured", lambda member, resources: Cost(0.5, fixed_bytes=8.0))
    reproduction, told = Reproduction(tmp_path / "out", SCALES["smoke"]), list[str]()
    measure(reproduction, members, Resources(1), told.append)
    assert told == list(dict.fromkeys(map(kind_of, members)))
    assert not (tmp_path / "out").exists()  # a dry run writes nothing
    (tmp_path / "out").mkdir()
    measure(reproduction, members, Resources(1), lambda kind: None)
    assert not list((tmp_path / "out").iterdir())
    begin(reproduction)
    first = measure(reproduction, members, Resources(1), told.append)
    told.clear()
    assert measure(reproduction, members, Resources(1), told.append) == first and told == []
    measure(reproduction, members, Resources(2), told.append)  # other cores, other costs
    assert len(told) == len(first)
    assert first[kind_of(members[0])].seconds(4) == 2.0


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no such call")
def test_a_member_measured_alone_has_no_more_cores_than_beside_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: list[Member]
) -> None:
    before, seen = os.sched_getaffinity(0), set[int]()

    def measured(member: Member, resources: Resources) -> Cost:
        seen.add(len(os.sched_getaffinity(0)))
        raise MemoryError

    monkeypatch.setattr(costs, "_measured", measured)
    with pytest.raises(MemoryError):
        measure(Reproduction(tmp_path / "out", SCALES["smoke"]), members, Resources(1), lambda kind: None)
    assert seen == {1}
    assert os.sched_getaffinity(0) == before


def test_costs_of_a_simulation(monkeypatch: pytest.MonkeyPatch, members: list[Member]) -> None:
    monkeypatch.setattr("m3di.simulate.mixing.draw_mixing.__kwdefaults__", {"n_draws": 1000, "n_layers": 3})
    monkeypatch.setattr(costs, "LEAST_S", 0.01)
    simulating = next(each for each in members if isinstance(each, Simulating))
    config = replace(simulating.config, widths=(2,))
    found = costs._of_simulation(config)
    assert found.unit_s > 0 and found.fixed_s > 0
    assert found.fixed_bytes == 12 * 2 * ((3 * 6 + 6) + (6 * 1 + 1))  # two encoders: 3 -> 6 -> 1, with biases
    assert torch.get_num_threads() >= 1


def test_probes_of_more_samples_than_are_timed_grow_with_the_cube(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 2.0, 10.0, 12.0])
    monkeypatch.setattr("m3di.reproduce.costs.time.perf_counter", lambda: next(clock))
    monkeypatch.setattr(costs, "PROBED", 50)
    costs._seconds_of_search.cache_clear()
    assert costs._seconds_of_search(40) == 2.0
    assert costs._seconds_of_search(100) == 16.0
    costs._seconds_of_search.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize("data", ["m3di", "image-pairs"])
def test_costs_of_a_training(data: str, members: list[Member]) -> None:
    member = next(each for each in members if isinstance(each, Training) and each.data.name == data)
    views = RandomViews(member, 8)
    assert len(views) == 8
    shapes = {name: tuple(view.shape) for name, view in views[[0, 1, 2]].items()}
    assert all(shape[0] == 3 for shape in shapes.values())
    assert (3, 3, 32, 32) in shapes.values()
    found = costs._of_training(member)
    assert found.unit_s > 0 and found.fixed_bytes > 1e6


def test_on_the_cpu_a_large_batch_is_measured_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: list[Member]
) -> None:
    def train_on(data: RandomViews, run: Path, config: Any, on_step: Any) -> Any:
        batches.append((len(data), config.batch_size))
        for step in range(1, config.n_steps + 1):
            now[0] += 10.0 if step in (1, config.n_steps) else 2.0
            on_step(step, 1.0)
        return SimpleNamespace(encoders=torch.nn.Linear(2, 3))

    now, batches = [0.0], list[tuple[int, int]]()
    monkeypatch.setattr(costs, "train_on", train_on)
    monkeypatch.setattr(costs, "resolve_device", lambda device: "cpu")
    monkeypatch.setattr("m3di.reproduce.costs.time.perf_counter", lambda: now[0])
    member = next(each for each in members if isinstance(each, Training))
    found = costs._of_training(replace(member, config=replace(member.config, batch_size=256)))
    assert batches == [(64, 64)]
    assert found.unit_s == 2.0 * 4  # the first and the last step do not count
    assert found.fixed_bytes == 12 * 9
