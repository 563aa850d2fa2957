from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest
from rich.console import Console

from m3di.cli.main import cli
from m3di.cli.progress import (
    PlainDisplay,
    TerminalDisplay,
    duration,
    is_live,
    plain_interval_s,
    progress_console,
    run_display,
    watched_bar,
)
from m3di.render import PoolEvent


def test_plain_lines_come_at_intervals_and_trouble_at_once() -> None:
    now, lines = [0.0], list[str]()
    display = PlainDisplay("render", lines.append, lambda: now[0], interval_s=30.0)
    display.count(100, 1000)
    for done in range(101, 161):
        now[0] += 1.0
        display.count(done, 1000)
    assert lines == [
        "render: 100/1,000 samples",
        "render: 130/1,000 samples, 1.00 a second, 14 min 30 s left",
        "render: 160/1,000 samples, 1.00 a second, 14 min 00 s left",
    ]
    display.watch(PoolEvent("begin", 1, 77, "train 000000160, view image"))
    display.watch(PoolEvent("retry", 1, 77, "train 000000160, view image", why="the worker died:\nsignal 9"))
    display.watch(PoolEvent("restart", 1, 77, why="it died"))
    display.watch(PoolEvent("failed", 0, 78, "train 000000161, view image", why="no image after 600 s"))
    display.count(1000, 1000)
    assert lines[3:] == [
        "render: train 000000160, view image is tried again: worker 1: the worker died:; signal 9",
        "render: train 000000161, view image has failed for the last time: worker 0: no image after 600 s",
        "render: 1,000/1,000 samples, 15.00 a second, 0 min 00 s left, 1 restarts, 2 failed tries, 1 failed images",
    ]


def test_a_terminal_shows_what_each_worker_does() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=140, color_system=None)
    display = TerminalDisplay("render", console)
    display.count(3, 10)
    display.watch(PoolEvent("image", 0, 7, "train 000000003, view image", 1.0, 400_000_000))
    display.watch(PoolEvent("begin", 0, 7, "train 000000004, view image"))
    for worker in range(1, 20):
        display.watch(PoolEvent("restart", worker, 8, why="500 images rendered"))
    display.watch(PoolEvent("failed", 1, 8, "train 000000005, view image", why="no image after 600 s"))
    display.count(4, 10)
    console.print(display)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    for part in ("4/10", "train 000000004, view image", "400 MB", "no image after 600 s", "1 images failed"):
        assert part in shown
    assert "and 4 more workers" in shown


def test_a_bar_also_tells_what_must_be_seen_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with watched_bar("repair") as (count, watch):
        count(1, 2)
        watch(PoolEvent("warm-up", 0, why="Card (CUDA) loads its kernels"))
        watch(PoolEvent("begin", 0, 7, "train 000000004, view image"))
        watch(PoolEvent("unshared", 0, why="workers take turns:\nno service"))
    shown = capsys.readouterr().err.splitlines()
    assert shown == ["repair: Card (CUDA) loads its kernels", "repair: workers take turns:; no service"]


def test_durations() -> None:
    assert duration(59.6) == "1 min 00 s"
    assert duration(3600 * 30 + 125) == "30 h 02 min"


def test_short_work_prints_no_line_and_long_work_ends_with_one() -> None:
    now, lines = [0.0], list[str]()

    def display() -> PlainDisplay:
        return PlainDisplay("verify", lines.append, lambda: now[0], interval_s=30.0, unit="samples", is_late=True)

    short = display()
    for done in range(1, 11):
        now[0] += 1.0
        short.count(done, 10)
    assert lines == []
    long = display()
    for done in range(1, 46):
        now[0] += 1.0
        long.count(done, 45)
    assert lines == [
        "verify: 30/45 samples, 1.00 a second, 0 min 15 s left",
        "verify: 45/45 samples, 1.00 a second, 0 min 00 s left",
    ]


@pytest.mark.parametrize(
    ("variables", "is_terminal", "expected"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"FORCE_COLOR": "1"}, False, False),  # colours in a log are no reason for a bar in it
        ({"TERM": "dumb"}, True, False),
        ({"JPY_PARENT_PID": "7"}, True, False),
    ],
)
def test_where_a_bar_can_move(
    variables: dict[str, str], is_terminal: bool, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JPY_PARENT_PID", raising=False)
    for name, value in ({"TERM": "xterm"} | variables).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stderr.isatty", lambda: is_terminal, raising=False)
    assert is_live() is expected
    assert progress_console().is_terminal is expected


@pytest.mark.parametrize(("given", "interval_s", "is_quiet"), [("-q", 30.0, True), ("-v", 5.0, False)])
def test_quiet_hides_progress_and_verbose_shows_more_of_it(
    given: str, interval_s: float, is_quiet: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with cli.make_context("m3di", [given, "info", "x"]):
        assert plain_interval_s() == interval_s
        with watched_bar("repair") as (_, watch), run_display("render") as (count, _):
            watch(PoolEvent("warm-up", 0, why="Card (CUDA) loads its kernels"))
            count(1, 2)
    lines = ["repair: Card (CUDA) loads its kernels", "render: 1/2 samples"]
    assert capsys.readouterr().err.splitlines() == ([] if is_quiet else lines)


LONG = """
import sys, time
from m3di.cli.main import cli
from m3di.cli.progress import progress_bar
with progress_bar("verify", "samples") as count:
    for done in range(1, 4):
        count(done, 3)
        time.sleep(0.2)
"""


@pytest.mark.parametrize("in_notebook", [False, True])
def test_a_terminal_shows_a_bar_and_a_notebook_none(in_notebook: bool) -> None:
    pty = pytest.importorskip("pty")
    parent, child = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "JPY_PARENT_PID"}
    environment |= {"COLUMNS": "100", "TERM": "xterm"} | ({"JPY_PARENT_PID": "1"} if in_notebook else {})
    with subprocess.Popen([sys.executable, "-c", LONG], stderr=child, env=environment) as process:
        os.close(child)
        shown = b""
        try:
            while block := os.read(parent, 4096):
                shown += block
        except OSError:  # the terminal is gone once the process has ended
            pass
    os.close(parent)
    assert process.returncode == 0
    if in_notebook:
        assert shown == b""
    else:
        assert b"3/3" in shown and b"samples/s" in shown
