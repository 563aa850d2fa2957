"""SIGTERM, as schedulers and shutdowns send it, ends a command in good order, as Ctrl-C does.

Ctrl-C goes to every process of a terminal's group: it is for the command itself, not for its workers.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker

INTERRUPTED = "Interrupted. Run the same command again to continue; what is finished is kept."


class Terminated(KeyboardInterrupt):
    """SIGTERM: the system wants us to end."""


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """End on SIGTERM as on Ctrl-C: workers are ended, files are closed."""

    def interrupt(number: int, frame: object) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def without_ctrl_c() -> Iterator[None]:
    """Processes started here, and by threads started here, never see Ctrl-C, from their first instruction on.

    One that ignores it by a call of its own would still break off, with a traceback, while it is being imported. Here
    neither Ctrl-C nor SIGTERM is lost: they wait until this ends.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # which otherwise would start with the first process, and end the blocking
    with _deferred():
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _deferred() -> Iterator[None]:
    """Have what interrupts this thread do so at the end. A mask alone does not: the system then hands the signal to
    another thread, such as one of NumPy's, and Python interrupts the main thread all the same.

    A process that is interrupted between the start of another one and what that one is to be told leaves it with
    nothing to read, which it says in a traceback.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    taken = {number: handler for number, handler in handlers.items() if callable(handler)}
    for number in taken:
        signal.signal(number, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler)
        for each in came:
            taken[signal.Signals(each)](each, None)


def interrupt_behind(error: BaseException) -> KeyboardInterrupt | None:
    """The interrupt that an error followed from, or None.

    An interrupt that comes while a lock is being waited for leaves the lock unheld, and its release then fails: a
    RuntimeError hides the interrupt.
    """
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, KeyboardInterrupt):
        seen = seen.__cause__ or seen.__context__
    return seen


def exit_code_of(interrupt: BaseException | None) -> int:
    """What shells expect: 143 after SIGTERM, 130 after Ctrl-C."""
    return 128 + (signal.SIGTERM if isinstance(interrupt, Terminated) else signal.SIGINT)
