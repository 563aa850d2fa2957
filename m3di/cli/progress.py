"""Progress of commands: a bar and the workers on a terminal, a line now and then elsewhere, nothing with --quiet."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from m3di.cli.telling import QUIET, VERBOSE, level

if TYPE_CHECKING:
    from m3di.render import PoolEvent, Watch

PLAIN_INTERVAL_S, VERBOSE_INTERVAL_S = 30.0, 5.0
MAX_WORKERS_SHOWN = 16
ABOUT_GPUS = ("warm-up", "unshared")
SHOWN_AT_ONCE = ("retry", "failed", "retire", *ABOUT_GPUS)
Count = Callable[[int, int], None]


def is_live() -> bool:
    """Whether a bar can move on stderr: not in a notebook, whose terminal shows each state of it as a line."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and "JPY_PARENT_PID" not in os.environ


def progress_console() -> Console:
    """Make the console of progress: stderr, silent with --quiet."""
    return Console(stderr=True, force_terminal=is_live(), quiet=level() == QUIET)


def plain_interval_s() -> float:
    """Least time between two lines of progress where no bar can move."""
    return VERBOSE_INTERVAL_S if level() == VERBOSE else PLAIN_INTERVAL_S


class RateColumn(ProgressColumn):
    """A column with samples, or images, a second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        """Show the rate of the last ones, or of all once done."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.2f} {self._unit}/s" if speed else "")


def bar_columns(label: str, unit: str = "images") -> tuple[ProgressColumn, ...]:
    """Make the columns of a bar: how many are done, how many a second, time left."""
    return (TextColumn(label), BarColumn(), MofNCompleteColumn(), RateColumn(unit), TimeRemainingColumn())


@contextmanager
def progress_bar(label: str, unit: str = "images") -> Iterator[Count]:
    """Show a bar with what is done, the rate and the time left; if the output is no terminal, lines now and then."""
    with watched_bar(label, unit) as (count, _):
        yield count


@contextmanager
def watched_bar(label: str, unit: str = "images") -> Iterator[tuple[Count, Watch]]:
    """Show the same, and a line for each trouble of a worker."""
    console = progress_console()
    if not console.is_terminal:
        lines = PlainDisplay(label, writer(console), interval_s=plain_interval_s(), unit=unit, is_late=True)
        yield lines.count, lines.watch
        return

    def watch(event: PoolEvent) -> None:
        if event.kind in SHOWN_AT_ONCE:
            console.print(f"{label}: {trouble(event)}", highlight=False, markup=False, soft_wrap=True)

    with Progress(*bar_columns(label, unit), console=console) as bar:
        task = bar.add_task(label, total=None)
        yield (lambda done, total: bar.update(task, completed=done, total=total)), watch


@contextmanager
def run_display(label: str) -> Iterator[tuple[Count, Watch]]:
    """Show a long run: its progress, its workers, and what went wrong.

    Yields two functions for `m3di.generate.render`: one for the counts, one for the events of the workers.
    """
    console = progress_console()
    if console.is_terminal:
        shown = TerminalDisplay(label, console)
        with Live(shown, console=console, refresh_per_second=4):
            yield shown.count, shown.watch
    else:
        lines = PlainDisplay(label, writer(console), interval_s=plain_interval_s())
        yield lines.count, lines.watch


def writer(console: Console) -> Callable[[str], None]:
    """Return a function that prints a line as it is."""
    return lambda line: console.print(line, highlight=False, markup=False, soft_wrap=True)


@dataclass
class WorkerState:
    """State of a worker."""

    image: str = ""
    began: float = 0.0
    n_images: int = 0
    memory_bytes: int = 0
    n_restarts: int = 0
    last_trouble: str = ""


@dataclass
class RunState:
    """State of a run: counts, and the state of each worker.

    Attributes:
        clock: Returns the time in seconds.
    """

    clock: Callable[[], float] = time.monotonic
    n_done: int = 0
    n_total: int = 0
    n_before: int | None = None
    n_tries_failed: int = 0
    n_failed: int = 0
    began: float = 0.0
    workers: dict[int, WorkerState] = field(default_factory=dict)

    def count(self, done: int, total: int) -> None:
        """Note the samples done, and the total."""
        if self.n_before is None:
            self.n_before, self.began = done, self.clock()
        self.n_done, self.n_total = done, total

    def watch(self, event: PoolEvent) -> None:
        """Note an event of a worker."""
        worker = self.workers.setdefault(event.worker, WorkerState())
        if event.kind in ABOUT_GPUS:
            return
        if event.kind == "begin":
            worker.image, worker.began = event.image, self.clock()
            return
        if event.kind == "image":
            worker.n_images += 1
            worker.memory_bytes = event.memory_bytes
        elif event.kind == "restart":
            worker.n_restarts += 1
            worker.memory_bytes = 0
        elif event.kind == "retire":
            worker.memory_bytes = 0
            worker.last_trouble = f"ended for good: {event.why.partition(chr(10))[0]}"
        else:
            self.n_tries_failed += 1
            self.n_failed += event.kind == "failed"
            worker.last_trouble = event.why.partition("\n")[0]
        worker.image = ""

    @property
    def rate(self) -> float:
        """Samples a second in this run."""
        seconds = self.clock() - self.began
        return (self.n_done - (self.n_before or 0)) / seconds if seconds > 0 else 0.0


class TerminalDisplay:
    """A bar, and a row for each worker."""

    def __init__(self, label: str, console: Console) -> None:
        self.state = RunState()
        self._console = console
        self._bar = Progress(*bar_columns(label))
        self._task: int | None = None

    def count(self, done: int, total: int) -> None:
        """Move the bar."""
        self.state.count(done, total)
        if self._task is None:  # what earlier runs did does not count as speed of this one
            self._task = self._bar.add_task("", total=total, completed=done)
        self._bar.update(self._task, completed=done, total=total)  # type: ignore[arg-type]

    def watch(self, event: PoolEvent) -> None:
        """Update the worker's row; trouble stays on the screen."""
        self.state.watch(event)
        if event.kind in SHOWN_AT_ONCE:
            self._console.print(trouble(event), highlight=False, markup=False)

    def __rich__(self) -> RenderableType:
        """The bar and the table."""
        table = Table("worker", "renders", "for", "images", "memory", "restarts", "last trouble", box=None)
        for number, worker in sorted(self.state.workers.items())[:MAX_WORKERS_SHOWN]:
            seconds = f"{self.state.clock() - worker.began:.0f} s" if worker.image else ""
            memory = f"{worker.memory_bytes / 1e6:,.0f} MB" if worker.memory_bytes else ""
            restarts = f"{worker.n_restarts}"
            row = (f"{number}", worker.image or "starts", seconds, f"{worker.n_images}", memory, restarts)
            table.add_row(*row, Text(worker.last_trouble))
        hidden = len(self.state.workers) - MAX_WORKERS_SHOWN
        more = [Text(f"and {hidden} more workers")] if hidden > 0 else []
        failed = [Text(f"{self.state.n_failed} images failed", style="red")] if self.state.n_failed else []
        return Group(self._bar, table, *more, *failed)


class PlainDisplay:
    """A line now and then, and a line for each trouble.

    Args:
        label: What runs.
        write: Shows a line.
        clock: Returns the time in seconds.
        interval_s: Least time between two lines about progress; the first and the last one are always shown.
        unit: What is counted.
        is_late: No line is shown before `interval_s` have passed, and no last one if none was shown before.
    """

    def __init__(
        self,
        label: str,
        write: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        interval_s: float = PLAIN_INTERVAL_S,
        unit: str = "samples",
        is_late: bool = False,
    ) -> None:
        self.state = RunState(clock)
        self._label, self._write, self._interval_s, self._unit = label, write, interval_s, unit
        self._ends = not is_late  # whether the last line is to be shown
        self._shown: float | None = clock() if is_late else None

    def count(self, done: int, total: int) -> None:
        """Show a line if it is time for one."""
        self.state.count(done, total)
        now = self.state.clock()
        is_end = done == total and self._ends
        if self._shown is None or is_end or now - self._shown >= self._interval_s:
            self._shown, self._ends = now, True
            self._write(f"{self._label}: {self._line()}")

    def watch(self, event: PoolEvent) -> None:
        """Show trouble at once."""
        self.state.watch(event)
        if event.kind in SHOWN_AT_ONCE:
            self._write(f"{self._label}: {trouble(event)}")

    def _line(self) -> str:
        state = self.state
        parts = [f"{state.n_done:,}/{state.n_total:,} {self._unit}"]
        if state.rate:
            parts += [f"{state.rate:.2f} a second", f"{duration((state.n_total - state.n_done) / state.rate)} left"]
        restarts = sum(worker.n_restarts for worker in state.workers.values())
        numbers = {"restarts": restarts, "failed tries": state.n_tries_failed, "failed images": state.n_failed}
        parts += [f"{n} {what}" for what, n in numbers.items() if n]
        return ", ".join(parts)


def trouble(event: PoolEvent) -> str:
    """Describe in one line what the user must see at once: a failed try, a compiling GPU, a lost worker."""
    if event.kind in ABOUT_GPUS:
        return event.why.replace(chr(10), "; ")
    if event.kind == "retire":
        return f"worker {event.worker} is ended for good; the others go on: {event.why.replace(chr(10), '; ')}"
    outlook = "is tried again" if event.kind == "retry" else "has failed for the last time"
    return f"{event.image} {outlook}: worker {event.worker}: {event.why.replace(chr(10), '; ')}"


def duration(seconds: float) -> str:
    """Write a time in hours and minutes, or minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min {rest:02d} s"
