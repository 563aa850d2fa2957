"""One progress display for all members of a reproduction: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from m3di.cli.progress import PLAIN_INTERVAL_S, duration, plain_interval_s, progress_console, writer

if TYPE_CHECKING:
    from m3di.reproduce.side_by_side import Event

OVERALL = "all members"
SKIPPED = "not run"
LEAST_SHARE = 0.02  # of the work, for a guess at the rest


class MembersState:
    """How far all members are.

    Args:
        seconds: Of each member that is to be done, as the plan has it, or 1 where nothing was measured.
        clock: Returns the time in seconds.
    """

    def __init__(self, seconds: Mapping[str, float], clock: Callable[[], float] = time.monotonic) -> None:
        self.n_total, self.n_finished, self.n_failed = len(seconds), 0, 0
        self.running: dict[str, float] = {}  # how much of each is done, from 0 to 1
        self.clock = clock
        self.began = clock()
        self._seconds = seconds
        self._done = 0.0
        self._earlier: dict[str, float] = {}  # how much of each an earlier run had done

    def note(self, event: Event) -> None:
        """Note an event."""
        if event.kind == "begin":
            self.running[event.key] = 0.0
        elif event.kind == "units":
            self.running[event.key] = part = event.done / max(1, event.total)
            # A member tells its first unit at once: of one that goes on, that is behind what was done before.
            self._earlier.setdefault(event.key, part if part < 1 else 0.0)
        elif event.kind != "waits":
            self.running.pop(event.key, None)
            self._done += self._seconds[event.key]
            self.n_finished += event.kind == "finished"
            self.n_failed += event.kind != "finished"

    @property
    def share(self) -> float:
        """How much of the work is done, from 0 to 1, by the seconds of the plan."""
        done = self._done + sum(part * self._seconds[key] for key, part in self.running.items())
        return done / self._total

    @property
    def _total(self) -> float:
        return sum(self._seconds.values()) or 1.0

    def line(self) -> str:
        """One line about it."""
        passed = self.clock() - self.began
        parts = [f"{self.n_finished}/{self.n_total} members", f"{100 * self.share:.0f} % of the work"]
        now = self.share - sum(part * self._seconds[key] for key, part in self._earlier.items()) / self._total
        if now > LEAST_SHARE and self.share < 1:
            parts.append(f"about {duration(passed / now * (1 - self.share))} left")
        if self.n_failed:
            parts.append(f"{self.n_failed} failed or not run")
        return ", ".join(parts)


@contextmanager
def members_display(seconds: Mapping[str, float]) -> Iterator[Callable[[Event], None]]:
    """Show how far all members are; yields a function for their events."""
    console = progress_console()
    state = MembersState(seconds)
    if not console.is_terminal:
        yield _plain(state, writer(console), plain_interval_s())
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bars:
        overall, tasks = bars.add_task(OVERALL, total=state.n_total), dict[str, object]()

        def show(event: Event) -> None:
            state.note(event)
            bars.update(overall, completed=state.n_finished, description=f"{OVERALL}: {100 * state.share:.0f} %")
            if event.kind == "begin":
                tasks[event.key] = bars.add_task(event.key, total=event.total)
            elif event.kind == "units":
                bars.update(tasks[event.key], completed=event.done, total=event.total)  # type: ignore[arg-type]
            elif event.kind == "waits":
                console.print(_told(event), highlight=False, markup=False)
            else:
                if event.key in tasks:
                    bars.remove_task(tasks.pop(event.key))  # type: ignore[arg-type]
                if event.kind != "finished":
                    console.print(_told(event), highlight=False, markup=False)

        yield show


def _plain(
    state: MembersState, write: Callable[[str], None], interval_s: float = PLAIN_INTERVAL_S
) -> Callable[[Event], None]:
    """A line for each member that ends, and one now and then."""
    shown = state.clock()

    def show(event: Event) -> None:
        nonlocal shown
        state.note(event)
        if event.kind in ("failed", "skipped", "waits"):
            write(_told(event))
        if event.kind == "finished":
            write(f"{event.key}: finished; {state.line()}")
        elif event.kind == "units" and state.clock() - shown >= interval_s:
            write(f"{event.key}: {event.done:,}/{event.total:,}; {state.line()}")
        else:
            return
        shown = state.clock()

    return show


def _told(event: Event) -> str:
    word = {"skipped": SKIPPED}.get(event.kind, event.kind)
    return f"{event.key}: {word}: {' '.join(event.why.split())}"
