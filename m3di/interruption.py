"""Ends from outside: SIGTERM, as schedulers and shutdowns send it, ends a command in good order, as Ctrl-C does.

Ctrl-C goes to every process of a terminal's group: it is for the command itself, not for its workers.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker


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
    Ctrl-C is not lost: it waits until this ends.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # which otherwise would start with the first process, and end the blocking
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def exit_code_of(error: BaseException) -> int:
    """What shells expect: 143 after SIGTERM, 130 after Ctrl-C.

    Args:
        error: What click makes of a `KeyboardInterrupt`.
    """
    is_term = isinstance(error.__cause__ or error.__context__, Terminated)
    return 128 + (signal.SIGTERM if is_term else signal.SIGINT)
