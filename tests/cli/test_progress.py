from __future__ import annotations

import io

import pytest
from rich.console import Console

from m3di.cli.progress import PlainDisplay, TerminalDisplay, duration, watched_bar
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
