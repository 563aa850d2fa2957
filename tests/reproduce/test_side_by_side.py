"""The engine, with workers that do nothing; `tests/cli/test_reproduce.py` has real ones."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from m3di.errors import M3diError
from m3di.reproduce import side_by_side
from m3di.reproduce.ledger import Reproduction
from m3di.reproduce.scales import SCALES
from m3di.reproduce.side_by_side import Event, run_side_by_side


@dataclass(frozen=True)
class Stub:
    key: str
    needs: tuple[str, ...] = ()
    n_units: int = 2

    def settings(self) -> dict[str, Any]:
        return {}

    def is_finished(self, out: Path) -> bool:
        return False

    def run(self, out: Path, resources: Any, on_unit: Any) -> None:
        raise AssertionError("the worker does nothing")


@pytest.fixture
def reproduction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reproduction:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setattr(side_by_side, "member_worker", SimpleNamespace(__name__="tests.reproduce.stub_worker"))
    return Reproduction(tmp_path, SCALES["smoke"])


def asked(reproduction: Reproduction) -> list[str]:
    return [line.split()[0] for line in (reproduction.out / "asked.txt").read_text().splitlines()]


def test_a_member_waits_for_those_that_it_needs(reproduction: Reproduction) -> None:
    events: list[Event] = []
    members = [Stub("run", needs=("data",)), Stub("data"), Stub("simulation")]
    run_side_by_side(reproduction, members, 2, events.append)
    kinds = [(event.kind, event.key) for event in events]
    assert kinds.index(("finished", "data")) < kinds.index(("begin", "run"))
    assert sorted(asked(reproduction)) == ["data", "run", "simulation"]
    assert [event.total for event in events if event.kind == "units"] == [2, 2, 2]
    assert "something that a library prints" in (reproduction.out / "logs" / "worker-0.log").read_text()


def test_what_failed_keeps_only_that_which_needs_it_from_running(reproduction: Reproduction) -> None:
    events: list[Event] = []
    members = [Stub("data-fail"), Stub("run", needs=("data-fail",)), Stub("simulation")]
    with pytest.raises(M3diError, match="2 of 3 members failed") as raised:
        run_side_by_side(reproduction, members, 1, events.append)
    assert "data-fail: no luck; run: it needs data-fail, which failed" in str(raised.value)
    assert [event.kind for event in events if event.key == "run"] == ["skipped"]
    assert asked(reproduction) == ["data-fail", "simulation"]


def test_a_worker_that_dies_is_replaced(reproduction: Reproduction) -> None:
    members = [Stub("die-1"), Stub("die-2"), Stub("simulation")]
    with pytest.raises(M3diError, match=r"2 of 3 members failed(?s:.)*ended with code 3: see .*worker-0\.log"):
        run_side_by_side(reproduction, members, 1, lambda event: None)
    assert asked(reproduction) == ["die-1", "die-2", "simulation"]


def test_an_interrupt_ends_all_workers(reproduction: Reproduction, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def watched(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(start(*arguments, **options))
        return started[-1]

    def interrupt(event: Event) -> None:
        if event.kind == "units":
            raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", watched)
    with pytest.raises(KeyboardInterrupt):
        run_side_by_side(reproduction, [Stub("endless-1"), Stub("endless-2")], 2, interrupt)
    assert len(started) == 2 and all(process.poll() is not None for process in started)


def test_workers_share_cores_and_gpus(reproduction: Reproduction, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "n_cores", lambda: 9)
    run_side_by_side(reproduction, [Stub("one")], 4, lambda event: None)
    assert (reproduction.out / "asked.txt").read_text() == "one 2\n"
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [side_by_side._visible(number)["CUDA_VISIBLE_DEVICES"] for number in range(3)] == ["0", "1", "0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert side_by_side._visible(1) == {"CUDA_VISIBLE_DEVICES": "7"}
    assert side_by_side.default_jobs() == 2
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    assert side_by_side._visible(1) == {}
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert side_by_side.default_jobs() == 9
