"""A question before work of more than an hour, where somebody is there to answer it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import click

from m3di.cli.progress import duration, is_live
from m3di.errors import UsageError

ASKS_ABOVE_S = 3600.0
LEAST_STEPS, LEAST_S = 5, 3.0  # measured before a run says how long it will take
YES = click.option("--yes", "-y", is_flag=True, help="Begin what takes more than an hour without asking.")


def is_asked() -> bool:
    """Whether there is somebody to ask: a terminal at both ends, and not one process of several."""
    return sys.stdin.isatty() and is_live() and os.environ.get("WORLD_SIZE", "1") == "1"


def ask_to_begin(seconds: float, what: str, *, yes: bool, declined: str, refuses: bool = False) -> None:
    """Ask before what takes more than an hour; without a terminal, go on: the job of a cluster was meant.

    Args:
        seconds: An estimate.
        what: What takes so long.
        yes: Whether --yes was given: nothing is asked.
        declined: Printed after a no.
        refuses: Without a terminal, raise rather than go on.

    Raises:
        UsageError: There is no terminal, and `refuses`.
        click.exceptions.Exit: The answer is no.
    """
    if seconds <= ASKS_ABOVE_S or yes:
        return
    if is_asked():
        if not click.confirm(f"Begin? {what} about {duration(seconds)}, and goes on after any stop", err=True):
            click.echo(declined, err=True)
            raise click.exceptions.Exit(1)
    elif refuses:
        raise UsageError(
            "this takes more than an hour, and there is no terminal to ask on",
            where=click.get_current_context().command_path,
            got=f"about {duration(seconds)}",
            expected="a word that it may begin",
            next_step="add --yes",
        )


class TimeTold:
    """Says once, after the first steps, how long the others will take.

    Args:
        n_steps: Of the whole run.
        place: Where it runs.
        clock: Returns the time in seconds.
    """

    def __init__(self, n_steps: int, place: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._n_steps, self._place, self._clock = n_steps, place, clock
        self._first: tuple[int, float] | None = None  # a run that goes on does not begin at step 1
        self._is_told = False
        self.step_s = 0.0  # seconds a step
        self.left_s = 0.0  # of the steps that are left

    def after(self, step: int) -> str | None:
        """What to say after a step; the first one is not counted, for it sets things up."""
        now = self._clock()
        if self._first is None:
            self._first = (step, now)
        n, seconds = step - self._first[0], now - self._first[1]
        left = self._n_steps - step
        if self._is_told or n < LEAST_STEPS or seconds < LEAST_S or left == 0:
            return None
        self._is_told = True
        self.step_s, self.left_s = seconds / n, left * seconds / n
        speed = f"{seconds / n:.2g} s a step, measured over {n} steps"
        rest = f"{duration(self.left_s)} {self._place} for the other {left:,} steps"
        return f"about {rest} ({speed}); a stopped run goes on"


@dataclass
class Question:
    """What is asked once, after the first steps of the first of several runs.

    Args:
        yes: Whether --yes was given.
        n_other_steps: Steps of the runs that come after the first one; theirs are taken to be as long.
    """

    yes: bool
    n_other_steps: int = 0
    is_over: bool = False

    def after(self, told: TimeTold) -> None:
        """Ask, unless it was asked before.

        Raises:
            click.exceptions.Exit: The answer is no.
        """
        if self.is_over:
            return
        self.is_over = True
        seconds = told.left_s + told.step_s * self.n_other_steps
        ask_to_begin(
            seconds,
            "It takes",
            yes=self.yes,
            declined="stopped; the same command begins once more, from its last checkpoint if there is one",
        )
