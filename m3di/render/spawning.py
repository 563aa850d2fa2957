"""Worker processes that need nothing of the script that starts them: neither a guard, nor a file, nor that it is no
worker itself.

A process that Python spawns runs the caller's script first, so that it finds the functions defined there. Ours call
functions of m3di only. Without this, a script that has no `if __name__ == "__main__":` would render in each worker
again, one that comes from standard input would not be found, and everybody's imports would be done once a worker.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import spawn
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

from m3di.errors import UsageError

_one_at_a_time = threading.Lock()


class _Process(SpawnProcess):
    def start(self) -> None:
        me = multiprocessing.current_process()
        if getattr(me, "_inheriting", False):
            raise UsageError(
                "a process that this script has started is rendering before it has begun its work",
                got="the script runs again in each process that it spawns, down to the call that renders",
                expected="a script that renders only where it is run, not where it is imported",
                next_step='put what it does under `if __name__ == "__main__":`',
            )
        was_daemon = me.daemon
        if was_daemon:  # such as a worker of a `multiprocessing.Pool`
            # It may have no children, which would outlive it. Ours end with their parent, see `start_worker`.
            me.daemon = False
        try:
            super().start()
        finally:
            if was_daemon:
                me.daemon = True

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        with _without_the_script():
            return SpawnProcess._Popen(process_obj)


class _Context(SpawnContext):
    Process = _Process


SPAWN = _Context()
"""Spawned, not forked: Blender does not survive a fork, and neither do torch's threads."""


@contextmanager
def _without_the_script() -> Iterator[None]:
    """A process that this thread starts meanwhile is not told of the script; those of other threads are."""
    thread = threading.get_ident()
    with _one_at_a_time:
        whole = spawn.get_preparation_data

        def parts(name: str) -> dict[str, Any]:
            told: dict[str, Any] = whole(name)
            if threading.get_ident() == thread:
                told.pop("init_main_from_name", None)
                told.pop("init_main_from_path", None)
            return told

        spawn.get_preparation_data = parts
        try:
            yield
        finally:
            spawn.get_preparation_data = whole
