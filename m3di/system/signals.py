"""SIGTERM, which schedulers and shutdowns send, ends a command in good order, as Ctrl-C does.

Ctrl-C reaches every process of a terminal's group; only the command itself acts on it, not its workers.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker

INTERRUPTED = "Interrupted. Run the same command again to continue; what is finished is kept."


class Terminated(KeyboardInterrupt):
    """SIGTERM: the system asks this process to end."""


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """End on SIGTERM as on Ctrl-C: end workers, close files."""

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
    """Hide Ctrl-C from processes that start in this block, from their first instruction; threads in it do the same.

    A process that ignores it by a call of its own would still end with a traceback during its imports. Neither Ctrl-C
    nor SIGTERM is lost: they wait for the end of the block.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # else it would start with the first process, and unblock the signal
    with _deferred():
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _deferred() -> Iterator[None]:
    """Defer interrupts of this thread to the end. A mask alone does not do it: the system then hands the signal to
    another thread, such as one of NumPy's, and Python interrupts the main thread all the same.

    An interrupt between the start of a process and the message that it waits for leaves it with nothing to read: it
    would end with a traceback.
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
    """Return the interrupt that caused an error, or None.

    An interrupt during the wait for a lock leaves the lock unheld; its release then fails, and the RuntimeError hides
    the interrupt.
    """
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, KeyboardInterrupt):
        seen = seen.__cause__ or seen.__context__
    return seen


def exit_code_of(interrupt: BaseException | None) -> int:
    """Return the exit code that shells expect: 143 after SIGTERM, 130 after Ctrl-C."""
    return 128 + (signal.SIGTERM if isinstance(interrupt, Terminated) else signal.SIGINT)
