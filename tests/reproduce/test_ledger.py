"""The folder of a reproduction."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from m3di.errors import DiskError, M3diError
from m3di.learn.training.sweep import read_sweep
from m3di.reproduce import ledger
from m3di.reproduce.ledger import Record, Reproduction, begin, read_record, reopen, write_sweeps
from m3di.reproduce.scales import SCALES


def test_a_folder_goes_on_as_it_was_begun(tmp_path: Path) -> None:
    reproduction = Reproduction(tmp_path / "out", SCALES["smoke"])
    begin(reproduction)
    begin(reproduction)
    assert reopen(tmp_path / "out") == reproduction
    with pytest.raises(M3diError, match=r"holds another reproduction(?s:.)*scale smoke(?s:.)*scale cpu"):
        begin(replace(reproduction, scale=SCALES["cpu"]))
    with pytest.raises(M3diError, match=r"holds another reproduction(?s:.)*gpu False(?s:.)*gpu True"):
        begin(replace(reproduction, gpu=True))
    changed = replace(reproduction, scale=replace(SCALES["smoke"], size_px=48))
    with pytest.raises(M3diError, match=r"another reproduction(?s:.)*settings_sha256 \w+ of m3di"):
        begin(changed)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(M3diError, match="must be new or empty"):
        begin(Reproduction(tmp_path, SCALES["smoke"]))
    with pytest.raises(M3diError, match="holds no reproduction"):
        reopen(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_of_two_jobs_that_begin_together_both_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reproduction = Reproduction(tmp_path / "out", SCALES["smoke"])
    write = ledger.write_json

    def both(path: Path, content: dict[str, object]) -> None:
        write(path, content)
        raise FileExistsError(17, "File exists", str(path))  # the other one's partial file

    monkeypatch.setattr(ledger, "write_json", both)
    begin(reproduction)
    monkeypatch.setattr(ledger, "write_json", lambda path, content: (_ for _ in ()).throw(OSError(13, "no", "x")))
    with pytest.raises(DiskError, match="the folder cannot be made"):
        begin(replace(reproduction, out=tmp_path / "other"))


def test_members_come_after_those_that_they_need_and_their_settings_are_json(tmp_path: Path) -> None:
    for scale in SCALES.values():
        members = Reproduction(tmp_path, scale).members
        seen: set[str] = set()
        for key, member in members.items():
            assert seen.issuperset(member.needs)
            json.dumps(member.settings())
            seen.add(key)


def test_the_sweeps_can_be_evaluated_by_themselves(tmp_path: Path) -> None:
    reproduction = Reproduction(tmp_path / "out", SCALES["smoke"])
    begin(reproduction)
    write_sweeps(reproduction)
    write_sweeps(reproduction)
    sweep = read_sweep(tmp_path / "out" / "runs" / "m3di")
    assert list(sweep.members) == [f"encoding_size={size},seed=0" for size in (1, 2, 3)]
    assert sweep.data_root == (tmp_path / "out" / "data" / "m3di").resolve()
    for name in sweep.members:
        member = reproduction.members[f"runs/m3di/{name}"]
        assert member.config == sweep.config_of(name)  # type: ignore[attr-defined]


def test_a_record_adds_up_the_time_of_all_attempts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("m3di.reproduce.ledger.time.monotonic", lambda: now[0])
    (key, member), *_ = Reproduction(tmp_path, SCALES["smoke"]).members.items()
    record = Record(tmp_path, member)
    now[0] = 3.0
    record.note()
    assert read_record(tmp_path, key) == {}  # it is not noted at every step
    now[0] = 7.0
    record.note()
    again = Record(tmp_path, member)  # the first process was killed
    now[0] = 9.0
    again.note(finished=True)
    stored = read_record(tmp_path, key)
    assert (stored["seconds"], stored["finished"]) == (9.0, True)
    assert stored["machine"]["cores"] >= 1
