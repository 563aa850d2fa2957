"""Members side by side: a worker process each, which shares cores and GPUs with the others."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any

from m3di.learn.training.loading import n_cores
from m3di.reproduce import member_worker
from m3di.reproduce.ledger import LOGS, Reproduction
from m3di.reproduce.members import Member
from m3di.system.member_failures import check_none_failed
from m3di.system.signals import without_ctrl_c

GRACE_S = 60.0  # for a worker to save what it does, and to end its own workers
OnEvent = Callable[["Event"], None]


@dataclass(frozen=True)
class Event:
    """What happened to a member.

    Args:
        kind: "begin", "units", "waits" (for another process), "finished", "failed" or "skipped".
        key: Of the member.
        done: Units done.
        total: Units in all.
        why: Of a failure, or what it waits for.
    """

    kind: str
    key: str
    done: int = 0
    total: int = 0
    why: str = ""


def run_side_by_side(reproduction: Reproduction, members: Sequence[Member], n_jobs: int, on_event: OnEvent) -> None:
    """Do members, several at a time; one that fails does not keep the others from running.

    Args:
        reproduction: The folder, and what is made in it.
        members: What is to be done, in the order in which to begin; a member waits for those that it needs.
        n_jobs: How many at a time.
        on_event: Told what happens.

    Raises:
        M3diError: Some failed; raised after all others have run.
    """
    if not members:
        return
    waiting, failures = list(members), dict[str, str]()
    missing = {member.key for member in members}
    with _workers(reproduction, min(n_jobs, len(members)), n_jobs) as workers:
        while waiting or any(worker.key for worker in workers):
            _hand_out(workers, waiting, missing, failures, on_event)
            if not any(worker.key for worker in workers):
                continue  # all that waited was skipped
            event = workers[0].events.get()
            worker = next((each for each in workers if each.key == event.key), None)
            if worker is None:  # its process ended after it was done
                continue
            on_event(event)
            if event.kind in ("units", "waits"):
                continue
            worker.key = ""
            if event.kind == "finished":
                missing.discard(event.key)
            else:
                failures[event.key] = event.why
            worker.restart_if_ended()
    check_none_failed(reproduction.out, len(members), failures)


def _hand_out(
    workers: Sequence[_Worker],
    waiting: list[Member],
    missing: Collection[str],
    failures: dict[str, str],
    on_event: OnEvent,
) -> None:
    """Give idle workers what can begin; skip what needs a member that failed."""
    for member in list(waiting):
        lost = [key for key in member.needs if key in failures]
        if lost:
            waiting.remove(member)
            failures[member.key] = f"it needs {lost[0]}, which failed"
            on_event(Event("skipped", member.key, why=failures[member.key]))
    for worker in workers:
        ready = next((each for each in waiting if not set(each.needs) & set(missing)), None)
        if worker.key or ready is None:
            continue
        waiting.remove(ready)
        on_event(Event("begin", ready.key, 0, ready.n_units))
        worker.ask(ready.key)


class _Worker:
    """A process that does one member at a time.

    Args:
        reproduction: See `run_side_by_side`.
        number: Of the worker, from 0.
        n_jobs: How many share the machine.
        events: Where its events go.
    """

    def __init__(self, reproduction: Reproduction, number: int, n_jobs: int, events: queue.Queue[Event]) -> None:
        self.key = ""
        self.events = events
        self._reproduction, self._number, self._n_jobs = reproduction, number, n_jobs
        self.log = reproduction.out / LOGS / f"worker-{number}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._start()

    def _start(self) -> None:
        cores = max(1, n_cores() // self._n_jobs)
        command = [sys.executable, "-m", member_worker.__name__, str(self._reproduction.out), str(cores)]
        shared = {"LOCAL_WORLD_SIZE": str(self._n_jobs)}  # as torchrun says it; `n_cores` reads it
        environment = {"OMP_NUM_THREADS": str(cores), **os.environ, **_visible(self._number), **shared}
        # Ctrl-C is for the command itself, which then ends its workers.
        with without_ctrl_c(), self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment
            )
        self._listener = threading.Thread(target=self._listen, args=(self._process,), daemon=True)
        self._listener.start()

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None  # noqa: S101 - a pipe, see above
        with process.stdout:
            for event in _events(process.stdout):
                self.events.put(event)
        code = process.wait()
        if self.key:  # it ended in the middle of a member
            why = f"its process ended with code {code}: see {self.log}"
            self.events.put(Event("failed", self.key, why=why))

    def ask(self, key: str) -> None:
        """Have it do a member."""
        self.restart_if_ended()
        self.key = key
        assert self._process.stdin is not None  # noqa: S101 - a pipe, see above
        try:
            self._process.stdin.write(f"{key}\n".encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            self.events.put(Event("failed", key, why=f"its process ended: see {self.log}"))

    def restart_if_ended(self) -> None:
        """Start a new process where the old one is dead."""
        if self._process.poll() is not None:
            self._close()
            self._start()

    def end(self) -> None:
        """End it, now."""
        self.key = ""
        self._close()
        try:
            self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join()

    def _close(self) -> None:
        """End its input, which tells it to end."""
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.close()


def _events(stream: IO[bytes]) -> Iterator[Event]:
    for line in stream:
        told: dict[str, Any] = json.loads(line)
        yield Event(told.pop("event"), **told)


@contextmanager
def _workers(reproduction: Reproduction, n: int, n_jobs: int) -> Iterator[list[_Worker]]:
    events: queue.Queue[Event] = queue.Queue()
    workers = [_Worker(reproduction, number, n_jobs, events) for number in range(n)]
    try:
        yield workers
    finally:
        closing = [threading.Thread(target=worker.end) for worker in workers]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join()


def _visible(number: int) -> dict[str, str]:
    """The GPU that a worker gets, where there are several."""
    import torch

    n_gpus = torch.cuda.device_count()
    if n_gpus < 2:
        return {}
    allowed = [each for each in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if each]
    at = number % n_gpus
    return {"CUDA_VISIBLE_DEVICES": allowed[at] if at < len(allowed) else str(at)}


def default_jobs() -> int:
    """How many members run at a time: one a GPU, or one a core."""
    import torch

    return torch.cuda.device_count() or n_cores()
