"""Ends from outside: SIGTERM, as schedulers and shutdowns send it, ends a command in good order, as Ctrl-C does."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


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


def exit_code_of(error: BaseException) -> int:
    """What shells expect: 143 after SIGTERM, 130 after Ctrl-C.

    Args:
        error: What click makes of a `KeyboardInterrupt`.
    """
    is_term = isinstance(error.__cause__ or error.__context__, Terminated)
    return 128 + (signal.SIGTERM if is_term else signal.SIGINT)
