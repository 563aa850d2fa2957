"""Signals that come while a process is being started."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from m3di.cli.main import main
from m3di.system.signals import Terminated, sigterm_interrupts, without_ctrl_c

pytestmark = pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="signals of POSIX")


@pytest.fixture(autouse=True)
def as_in_the_foreground() -> Iterator[None]:
    """A shell starts what it runs in the background with Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
def test_a_signal_waits_though_another_thread_could_take_it(number: int, error: type[BaseException]) -> None:
    done = threading.Event()
    bystander = threading.Thread(target=done.wait, daemon=True)  # it does not block the signal
    bystander.start()
    reached = False
    with sigterm_interrupts(), pytest.raises(error):
        with without_ctrl_c():
            os.kill(os.getpid(), number)
            time.sleep(0.2)
            reached = True
        pytest.fail("the signal was lost")
    assert reached
    done.set()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_without_a_signal_all_is_as_before() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with without_ctrl_c():
        pass
    assert {number: signal.getsignal(number) for number in before} == before
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_an_interrupt_hidden_by_a_lock_that_was_lost_is_told_as_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lose_the_lock(**_options: object) -> None:
        lock = threading.Lock()
        with lock:
            lock.release()  # as waiting for a condition does
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)

    monkeypatch.setattr("m3di.cli.main.cli", lose_the_lock)
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 143
    assert capsys.readouterr().err.startswith("Interrupted. Run the same command again")


def test_other_errors_are_not_taken_for_interrupts(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_options: object) -> None:
        raise RuntimeError("release unlocked lock") from ValueError("another cause")

    monkeypatch.setattr("m3di.cli.main.cli", fail)
    with pytest.raises(RuntimeError, match="release unlocked lock"):
        main()
