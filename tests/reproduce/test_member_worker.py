"""Members that several processes want to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from m3di.errors import M3diError
from m3di.reproduce import member_worker
from m3di.reproduce.ledger import Reproduction, begin, read_record
from m3di.reproduce.member_worker import do_member
from m3di.reproduce.members import OnUnit, Rendering, Resources
from m3di.reproduce.scales import SCALES
from m3di.system.lock import HeldError
from tests.reproduce.stubs import finish

KEY = "data/m3di"
HELD = HeldError("another process is rendering into this folder", got="process 7 on node 3")


@pytest.fixture
def reproduction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reproduction:
    monkeypatch.setattr(member_worker, "SECONDS_BETWEEN_TRIES", 0.0)
    made = Reproduction(tmp_path / "out", SCALES["smoke"])
    begin(made)
    return made


def did(reproduction: Reproduction, waited_for: list[str]) -> dict[str, str]:
    return do_member(
        reproduction, KEY, Resources(), lambda done, total: None, lambda error: waited_for.append(error.what)
    )


def test_what_another_job_does_is_waited_for_and_not_done_twice(
    reproduction: Reproduction, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []

    def run(member: Rendering, out: Path, resources: Resources, on_unit: OnUnit) -> None:
        tries.append(1)
        if len(tries) == 3:
            finish(out, member)  # the other job ends meanwhile
        raise HELD

    monkeypatch.setattr(Rendering, "run", run)
    waited_for: list[str] = []
    assert did(reproduction, waited_for) == {"event": "finished"}
    assert len(tries) == 3 and waited_for == ["another process is rendering into this folder"]  # told once
    assert read_record(reproduction.out, KEY) == {}  # its time is noted by the other job
    assert did(reproduction, waited_for) == {"event": "finished"} and len(tries) == 3


def test_what_another_job_leaves_is_gone_on_with(reproduction: Reproduction, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []

    def run(member: Rendering, out: Path, resources: Resources, on_unit: OnUnit) -> None:
        tries.append(1)
        if len(tries) == 1:
            raise HELD
        on_unit(1, 2)
        finish(out, member)

    monkeypatch.setattr(Rendering, "run", run)
    assert did(reproduction, []) == {"event": "finished"}
    assert len(tries) == 2 and read_record(reproduction.out, KEY)["finished"]


def test_other_errors_are_failures(reproduction: Reproduction, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(member: Rendering, out: Path, resources: Resources, on_unit: OnUnit) -> None:
        raise M3diError("no luck")

    monkeypatch.setattr(Rendering, "run", run)
    assert did(reproduction, []) == {"event": "failed", "why": "no luck"}
    path = reproduction.out / KEY / "dataset.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    failed = did(reproduction, [])
    assert failed["event"] == "failed" and f"or delete {path.parent}" in failed["why"]
