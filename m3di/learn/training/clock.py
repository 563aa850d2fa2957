"""Measure the time of a run, and since its last checkpoint."""

from __future__ import annotations

import time

SECONDS_BETWEEN_CHECKPOINTS = 600.0


class Clock:
    """Seconds of a run, over all its processes, and since its last checkpoint."""

    def __init__(self, before: float) -> None:
        self._start = time.perf_counter() - before
        self.saved()

    def seconds(self) -> float:
        return time.perf_counter() - self._start

    def saved(self) -> None:
        self._saved = time.perf_counter()

    def is_time_to_save(self) -> bool:
        return time.perf_counter() - self._saved > SECONDS_BETWEEN_CHECKPOINTS
