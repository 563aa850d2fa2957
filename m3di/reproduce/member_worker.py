"""A worker process: `python -m m3di.reproduce.member_worker OUT N_CORES` does members that it is told.

It reads the key of a member from each line of standard input, and writes events as JSON to standard output. Everything
else that is printed goes to standard error. When its input ends, the process that started it wants to stop, or is dead:
what runs is interrupted, and goes on where it was in the next run.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from m3di.errors import M3diError
from m3di.reproduce.ledger import Record, Reproduction, is_member_finished, reopen
from m3di.reproduce.members import Member, OnUnit, Resources
from m3di.system.allocator import keep_freed_memory
from m3di.system.lock import HeldError
from m3di.system.signals import interrupt_behind, sigterm_interrupts

SECONDS_BETWEEN_EVENTS = 0.5
SECONDS_BETWEEN_TRIES = 2.0  # to do what another process does


def main(arguments: Sequence[str]) -> int:
    """Do members until the input ends."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # whatever prints must not come between the events
    keep_freed_memory()
    reproduction = reopen(Path(arguments[0]))
    resources = Resources(int(arguments[1]), reproduction.gpu)
    asked: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_read, args=(sys.stdin, asked), daemon=True).start()
    try:
        with sigterm_interrupts():
            while (key := asked.get()) is not None:
                ended = do_member(reproduction, key, resources, _telling(events, key), _telling_waits(events, key))
                _tell(events, key=key, **ended)
    except (Exception, KeyboardInterrupt) as error:
        if interrupt_behind(error) is None:
            raise
    return 0


def _read(stream: IO[str], asked: queue.Queue[str | None]) -> None:
    for line in stream:
        asked.put(line.strip())
    asked.put(None)
    os.kill(os.getpid(), signal.SIGTERM)


def do_member(
    reproduction: Reproduction,
    key: str,
    resources: Resources,
    on_unit: OnUnit,
    on_wait: Callable[[HeldError], None] = lambda error: None,
) -> dict[str, str]:
    """Do a member, keep its record, and return how it ended.

    A member that another process does, such as another job of an array, is waited for; if that process ends early,
    this one goes on with the member.
    """
    member = reproduction.members[key]
    waits = False
    while True:
        try:
            if not is_member_finished(member, reproduction.out):
                _do(member, reproduction, resources, on_unit)
        except HeldError as error:
            if not waits:
                on_wait(error)
            waits = True
            time.sleep(SECONDS_BETWEEN_TRIES)
        except M3diError as error:
            return {"event": "failed", "why": str(error)}
        else:
            return {"event": "finished"}


def _do(member: Member, reproduction: Reproduction, resources: Resources, on_unit: OnUnit) -> None:
    record = Record(reproduction.out, member)

    def note(done: int, total: int) -> None:
        record.note()
        on_unit(done, total)

    member.run(reproduction.out, resources, note)
    record.note(finished=True)


def _telling(events: IO[str], key: str) -> OnUnit:
    """Tell units as they are done, but not each."""
    last = 0.0

    def on_unit(done: int, total: int) -> None:
        nonlocal last
        if done == total or time.monotonic() - last >= SECONDS_BETWEEN_EVENTS:
            last = time.monotonic()
            _tell(events, event="units", key=key, done=done, total=total)

    return on_unit


def _telling_waits(events: IO[str], key: str) -> Callable[[HeldError], None]:
    return lambda error: _tell(events, event="waits", key=key, why=f"{error.what}: {error.details.get('got')}")


def _tell(events: IO[str], **event: object) -> None:
    events.write(json.dumps(event) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
