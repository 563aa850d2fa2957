"""Members as tasks of a cluster: with a cluster that runs each task when it is asked for, and with a real one."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from m3di.errors import M3diError
from m3di.reproduce import on_ray
from m3di.reproduce.ledger import Reproduction, begin
from m3di.reproduce.on_ray import run_on_ray
from m3di.reproduce.paper_results import RESULTS
from m3di.reproduce.scales import SCALES
from m3di.reproduce.side_by_side import Event
from tests.reproduce.test_side_by_side import Stub


class Task:
    asked: dict[str, Any] = {}  # noqa: RUF012 - of the test

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def options(self, **asked: Any) -> Task:
        Task.asked = asked
        return self

    def remote(self, *arguments: Any) -> tuple[Any, ...]:
        return tuple(
            sorted(self.function(*[dict(each) if isinstance(each, tuple) else each for each in arguments]).items())
        )


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, float]]:
    """Its nodes."""
    nodes = [{"CPU": 8.0}]

    @contextlib.contextmanager
    def connected(address: str) -> Iterator[None]:
        assert address == "here"
        yield

    ray = SimpleNamespace(
        remote=Task,
        nodes=lambda: [{"Alive": True, "Resources": node} for node in nodes],
        wait=lambda left, num_returns: (left[:1], left[1:]),
        get=dict,
    )
    monkeypatch.setattr(on_ray, "connected", connected)
    monkeypatch.setitem(sys.modules, "ray", ray)
    return nodes


def test_a_task_knows_how_those_ended_that_it_needs(
    tmp_path: Path, cluster: list[dict[str, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    did: list[tuple[str, int, bool]] = []

    def do(reproduction: Reproduction, key: str, resources: Any, on_unit: Any) -> dict[str, str]:
        did.append((key, resources.n_cores, resources.gpu))
        return {"event": "failed", "why": f"no {key}"} if "fail" in key else {"event": "finished", "of": key}

    monkeypatch.setattr(on_ray, "do_member", do)
    reproduction = Reproduction(tmp_path / "out", SCALES["smoke"], gpu=True)
    begin(reproduction)
    cluster[0] = {"CPU": 8.0, "GPU": 2.0}
    members = [Stub("data"), Stub("data-fail"), Stub("run", ("data",)), Stub("lost", ("data-fail",))]
    events: list[Event] = []
    with pytest.raises(M3diError, match="2 of 4 members failed") as raised:
        run_on_ray(reproduction, members, "here", events.append)
    assert "data-fail: no data-fail; lost: it needs a member that failed" in str(raised.value)
    assert did == [("data", 4, True), ("data-fail", 4, True), ("run", 4, True)]
    assert Task.asked == {"num_gpus": 1, "num_cpus": 4}
    assert {event.key: event.kind for event in events} == {
        "data": "finished", "data-fail": "failed", "run": "finished", "lost": "skipped",
    }  # fmt: skip


def test_a_member_takes_a_core_where_there_is_no_gpu() -> None:
    assert on_ray._resources([{"CPU": 8.0}]) == {"GPU": 0, "CPU": 1}
    assert on_ray._resources([{"CPU": 8.0}, {"CPU": 6.0, "GPU": 4.0}]) == {"GPU": 1, "CPU": 1}


@pytest.mark.slow
def test_a_real_cluster_does_simulations(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    reproduction = Reproduction(tmp_path / "out", SCALES["smoke"])
    begin(reproduction)
    members = RESULTS["table1a"].members(reproduction.scale)[:2]
    events: list[Event] = []
    run_on_ray(reproduction, members, "local", events.append)
    assert all(member.is_finished(reproduction.out) for member in members)
    assert [event.kind for event in events] == ["begin", "begin", "finished", "finished"]
