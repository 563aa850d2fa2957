"""`m3di reproduce` from the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from m3di.cli.reproduce_display import MembersState, _plain
from m3di.errors import M3diError
from m3di.reproduce.costs import Cost, kind_of
from m3di.reproduce.ledger import Reproduction, begin, read_record
from m3di.reproduce.paper_results import RESULTS
from m3di.reproduce.scales import SCALES
from m3di.reproduce.side_by_side import Event
from m3di.reproduce.simulated import SimulatedResult
from m3di.reproduce.trained import TrainedResult
from tests.cli.test_main import failed, m3di
from tests.reproduce.stubs import finish


@pytest.fixture
def half_an_hour_each(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(reproduction: Any, members: Any, resources: Any, tell: Any) -> dict[str, Cost]:
        return {kind_of(member): Cost(1800 / member.n_units, fixed_bytes=1e6) for member in members}

    monkeypatch.setattr("m3di.reproduce.costs.measure", measure)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--scale", "cpux"), "did you mean 'cpu'"),
        (("--only", "figure33"), "did you mean 'figure3'"),
        (("--only", "table1,table9"), "the paper has no result 'table9'"),
        (("--only", ""), "no result is named"),
        (("--only", ", ,"), "leave --only out for all results"),
        (("--workers", 0), "at least one member runs at a time"),
        (("--ray", "local", "--member", "0/2"), "leave one out"),
        (("--member", "3/2"), "share of the members cannot be read"),
    ],
)
def test_options_that_cannot_be(tmp_path: Path, options: tuple[object, ...], message: str) -> None:
    done = m3di("reproduce", "--out", tmp_path / "out", *options)
    failed(done, 2, message)
    assert not list(tmp_path.iterdir())


def test_hours_are_not_begun_without_a_word(tmp_path: Path, half_an_hour_each: None) -> None:
    options = ("reproduce", "--scale", "cpu", "--only", "table1a", "--workers", 1, "--out", tmp_path / "out")
    done = m3di(*options)
    assert (done.returncode, done.stdout) == (2, "")
    for part in ("there is no terminal to ask on", "about 2 h 30 min", "add --yes", "5 members, 0 finished"):
        assert part in done.stderr
    assert not (tmp_path / "out" / "simulations").exists()


def test_a_dry_run_shows_the_plan_and_writes_nothing(tmp_path: Path, half_an_hour_each: None) -> None:
    done = m3di(
        "reproduce",
        "--scale",
        "cpu",
        "--only",
        "figure3,figure8",
        "--workers",
        2,
        "--out",
        "out",
        "--dry-run",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    for part in ("render: 1 image of 64 px, draft", "figure3", "figure8", "30 min 00 s", "10 members, 0 finished"):
        assert part in done.stdout
    assert "about 2 h 30 min and 0.01 GB" in done.stdout  # ten members of half an hour, two at a time
    assert done.stdout.endswith("nothing was written\n")
    assert not list(tmp_path.iterdir())


def test_a_terminal_is_asked(tmp_path: Path, half_an_hour_each: None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def confirm(text: str, *, err: bool) -> bool:
        asked.append(text)
        return False

    monkeypatch.setattr("m3di.cli.asking.is_asked", lambda: True)
    monkeypatch.setattr("click.confirm", confirm)
    done = m3di("reproduce", "--scale", "cpu", "--only", "table1a", "--workers", 1, "--out", tmp_path / "out")
    assert asked == ["Begin? It takes about 2 h 30 min, and goes on after any stop"]
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("\nnothing was begun\n")


def test_what_is_finished_is_not_done_again_and_a_share_writes_no_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reproduction, did = Reproduction(tmp_path / "out", SCALES["smoke"]), list[str]()
    members = RESULTS["table1a"].members(reproduction.scale)

    def run(reproduction: Reproduction, members: Any, n_jobs: int, on_event: Any) -> None:
        for member in members:
            finish(reproduction.out, member)
            did.append(member.key)
            on_event(Event("begin", member.key, 0, 20))
            on_event(Event("finished", member.key))

    monkeypatch.setattr("m3di.reproduce.side_by_side.run_side_by_side", run)
    monkeypatch.setattr("m3di.reproduce.report_page.write_report", lambda reproduction: [tmp_path / "report.md"])
    options = ("reproduce", "--only", "table1a", "--out", reproduction.out)
    planned = m3di(*options, "--member", "0/2", "--dry-run", "--json")
    assert [each["key"] for each in json.loads(planned.stdout)["members"]] == [each.key for each in members[0::2]]
    assert "2 members, 0 finished" in m3di(*options, "--member", "1/2", "--dry-run").stdout
    first = m3di(*options, "--member", "0/2")
    assert first.returncode == 0 and "the same command without --member writes the report" in first.stdout
    assert did == [each.key for each in members[0::2]]
    rest = m3di(*options)
    assert rest.returncode == 0, rest.stderr
    assert f"look at  {tmp_path / 'report.md'}" in rest.stdout
    assert sorted(did) == sorted(each.key for each in members)
    assert "5 members, 3 finished" in rest.stderr and "2/2 members, 100 % of the work" in rest.stderr
    again = m3di(*options)
    assert again.returncode == 0 and len(did) == 5


def test_a_report_is_written_where_members_failed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*arguments: Any) -> None:
        raise M3diError("1 of 5 members failed")

    monkeypatch.setattr("m3di.reproduce.side_by_side.run_side_by_side", run)
    monkeypatch.setattr("m3di.reproduce.report_page.write_report", lambda reproduction: [tmp_path / "report.md"])
    done = m3di("reproduce", "--only", "table1a", "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "report.md" in done.stdout and "Error: 1 of 5 members failed" in done.stderr


def test_what_cannot_be_read_stops_the_run_and_the_report_has_all_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in (SimulatedResult, TrainedResult):
        monkeypatch.setattr(kind, "draw", lambda result, scale, out, folder: [])
    reproduction = Reproduction(tmp_path / "out", SCALES["smoke"])
    begin(reproduction)
    for name in ("table1b", "figure7b"):
        for member in RESULTS[name].members(reproduction.scale):
            finish(reproduction.out, member)
    cut = reproduction.out / RESULTS["table1b"].members(reproduction.scale)[1].key / "results.json"
    cut.write_text(cut.read_text()[:100])
    failed(m3di("reproduce", "--out", reproduction.out, "--dry-run"), 1, "results.json is not JSON")
    assert not (reproduction.out / "report").exists()
    done = m3di("reproduce", "--out", reproduction.out)
    assert done.returncode == 1 and f"Error: the results of {cut.parent.relative_to(reproduction.out)}" in done.stderr
    assert f"look at  {reproduction.out}/report: all but what cannot be read" in done.stdout
    assert "against the encoding size | not judged |" in (reproduction.out / "report" / "report.md").read_text()


def test_a_folder_of_another_scale_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "reproduce.json").write_text(json.dumps({"scale": "full"}))
    failed(m3di("reproduce", "--out", tmp_path / "out"), 1, "another reproduction", "scale full", "scale smoke")


def test_progress_counts_the_work_and_not_the_members() -> None:
    now, lines = [0.0], list[str]()
    state = MembersState({"long": 90.0, "short": 10.0, "lost": 0.0}, clock=lambda: now[0])
    show = _plain(state, lines.append)
    show(Event("begin", "long", 0, 100))
    show(Event("begin", "short", 0, 5))
    show(Event("units", "long", 0, 100))
    now[0] = 10.0
    show(Event("finished", "short"))
    show(Event("units", "long", 10, 100))  # a line is 30 s away
    now[0] = 45.0
    show(Event("units", "long", 50, 100))
    show(Event("skipped", "lost", why="it needs\nanother"))
    show(Event("waits", "long", why="another process is here"))
    assert lines == [
        "short: finished; 1/3 members, 10 % of the work, about 1 min 30 s left",
        "long: 50/100; 1/3 members, 55 % of the work, about 0 min 37 s left",
        "lost: not run: it needs another",
        "long: waits: another process is here",
    ]
    assert state.line().endswith("1 failed or not run")


def test_what_an_earlier_run_did_is_no_sign_of_speed() -> None:
    now = [0.0]
    state = MembersState({"goes on": 50.0, "new": 50.0}, clock=lambda: now[0])
    for event in (Event("begin", "goes on", 0, 100), Event("begin", "new", 0, 5), Event("units", "goes on", 80, 100)):
        state.note(event)
    now[0] = 5.0
    assert state.line() == "0/2 members, 40 % of the work"
    state.note(Event("units", "goes on", 90, 100))
    assert state.line() == "0/2 members, 45 % of the work, about 0 min 55 s left"
    state.note(Event("units", "new", 5, 5))
    state.note(Event("finished", "new"))
    assert state.line() == "1/2 members, 95 % of the work, about 0 min 00 s left"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_results_for_real_go_on_after_a_kill(tmp_path: Path) -> None:
    """Simulations, Blender, training and probes; the first process is killed in the middle."""
    out = tmp_path / "out"
    base = [sys.executable, "-m", "m3di", "reproduce", "--out", str(out)]
    options = [*base, "--only", "table1b,figure11", "--workers", "2"]
    with subprocess.Popen(options, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as first:
        assert first.stderr is not None
        for line in first.stderr:
            if b"finished; " in line:
                break
        workers = _workers_of(first.pid)
        first.kill()
    assert len(workers) == 2
    _wait_until_gone(workers)
    before = {path: path.stat().st_mtime_ns for path in out.glob("simulations/*/results.json")}
    assert before and not (out / "report").exists()
    second = subprocess.run(options, capture_output=True, text=True, check=False, timeout=600)
    assert second.returncode == 0, second.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before
    report = (out / "report" / "report.md").read_text()
    assert "| Table 1b: simulation, two views of one modality | not judged |" in report
    assert "| Figure 11: image/text pairs with independent factors | not judged |" in report
    assert report.count("| not run |") == len(RESULTS) - 3  # table 4a needs the same simulations as table 1b
    keys = [member.key for member in RESULTS["figure11"].members(SCALES["smoke"])]
    assert all(read_record(out, key)["finished"] for key in keys)


def _workers_of(pid: int) -> list[int]:
    """Worker processes that a process has started."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            is_worker = b"m3di.reproduce.member_worker" in (path / "cmdline").read_bytes()
        except OSError:
            continue
        found += [int(path.name)] * (parent == pid and is_worker)
    return found


def _wait_until_gone(pids: list[int]) -> None:
    """Workers end by themselves when the process is dead that started them; the test's own time limit is the limit."""
    while any(_is_running(pid) for pid in pids):
        time.sleep(0.1)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIG_DFL)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, OSError):
        return False
