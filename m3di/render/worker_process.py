"""A worker process that renders images, and is replaced when it has ended."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from m3di.render.spawning import SPAWN
from m3di.render.worker import Report, report, start_worker
from m3di.system.signals import without_ctrl_c


class WorkerProcess:
    """A worker process that can be replaced.

    A pebble pool of one process: workers of one pool share a pipe and its locks, and one that is killed at the wrong
    moment takes the lock of all others with it. Alone, it takes nothing but its own.

    Args:
        number: Of the worker, from 0.
        scratch: Folder in which it may make one for its temporary files.
        environment: Environment variables that it sets before it imports Blender.

    Attributes:
        number: As given.
        pid: Its process; 0 where that is not known yet.
        n_images: Images that this process has rendered.
        started: When it was started, by `time.monotonic`.
    """

    def __init__(self, number: int, scratch: Path, environment: Mapping[str, str] | None = None) -> None:
        self.number = number
        self.pid = 0
        self.n_images = 0
        self._scratch = scratch
        self._environment = dict(environment or {})
        self._n_starts = 0
        self._retired: list[threading.Thread] = []
        self._start()

    def _start(self) -> None:
        import pebble

        self._n_starts += 1
        self.started = time.monotonic()
        self._own_scratch = self._scratch / f"worker-{self.number}-{self._n_starts}"
        self._reader, self._lifeline = SPAWN.Pipe(duplex=False)
        self._pool = pebble.ProcessPool(
            max_workers=1,
            context=SPAWN,
            initializer=start_worker,
            initargs=(self._reader, self._own_scratch, self._environment),
        )

    def submit(self, timeout_s: float, function: Any, *arguments: Any) -> Future[Report]:
        """Call a function in the process."""
        with without_ctrl_c():  # the first call starts the process
            future: Future[Report] = self._pool.schedule(report, args=[function, *arguments], timeout=timeout_s)
        return future

    def restart(self) -> None:
        """End the process, busy or not, and start another one; a thread cleans up after the old one."""
        self.stop()
        self.pid = self.n_images = 0
        self._start()

    def stop(self) -> None:
        """End the process at once."""
        self._pool.stop()
        self._lifeline.close()
        thread = threading.Thread(target=_clean_up, args=(self._pool, self._reader, self._own_scratch), daemon=True)
        thread.start()
        self._retired = [each for each in self._retired if each.is_alive()] + [thread]

    def join(self) -> None:
        """Wait until every process that was stopped is gone."""
        for thread in self._retired:
            thread.join()


def _clean_up(pool: Any, reader: Connection, scratch: Path) -> None:
    pool.join()
    reader.close()
    shutil.rmtree(scratch, ignore_errors=True)
