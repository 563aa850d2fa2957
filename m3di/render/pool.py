"""Worker processes that render: whatever they do to themselves, every job gets an image or a reason."""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from m3di.errors import M3diError
from m3di.render.gpu import choose_gpus, deal
from m3di.render.job import Outcome, PoolEvent, RenderedImage, RenderJob, RenderSettings, Watch, WorkerLimits
from m3di.render.worker import Report, list_gpus, open_scene, render_image
from m3di.render.worker_process import WorkerProcess

TICK_S = 1.0
START_TIMEOUT_S = 120.0


def check_blender() -> None:
    """Raise unless all that rendering needs is installed; imports none of it.

    Raises:
        M3diError: A package of the extra `render` is missing.
    """
    missing = [name for name in ("bpy", "OpenEXR", "pebble", "psutil") if importlib.util.find_spec(name) is None]
    if missing:
        raise M3diError(
            f"rendering needs Blender's Python module, and {', '.join(missing)} is not installed",
            got=f"Python {sys.version_info.major}.{sys.version_info.minor} without {', '.join(missing)}",
            expected="Python 3.11 (bpy exists for no other version) with the extra `render`",
            next_step="with Python 3.11: pip install 'm3di[render]'",
        )


def default_n_workers() -> int:
    """One worker a core that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass
class _Attempt:
    """A job in a worker."""

    job: RenderJob
    number: int
    worker: WorkerProcess
    began: float


class RenderPool:
    """Renders jobs in worker processes.

    A worker that dies or hangs costs the image in flight, which is tried again. Workers are replaced after a number of
    images or where they have grown, and they end with the process that made them, however that ends.

    Args:
        settings: What all images share.
        n_workers: Number of processes; None takes one a core, or one a GPU.
        limits: When a worker is replaced.
        watch: Called with everything that happens.
    """

    def __init__(
        self,
        settings: RenderSettings,
        n_workers: int | None = None,
        limits: WorkerLimits | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.settings = settings
        self.n_workers = n_workers
        self.limits = limits or WorkerLimits()
        self._watch = watch or (lambda event: None)
        # On a memory file system where there is one: what Blender renders is written and read back at once.
        memory = Path("/dev/shm")
        self._scratch = tempfile.TemporaryDirectory(
            prefix="m3di-",
            dir=memory if memory.is_dir() and os.access(memory, os.W_OK) else None,
            ignore_cleanup_errors=True,
        )
        self._workers: list[WorkerProcess] = []
        self._settings: list[RenderSettings] = []
        self._abandoned: set[WorkerProcess] = set()

    @property
    def n_started(self) -> int:
        """How many workers there are; 0 before the first call of `check` or of what renders."""
        return len(self._workers)

    def __enter__(self) -> RenderPool:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End all workers at once, whatever they do."""
        for worker in self._workers:
            worker.stop()
        for worker in self._workers:
            worker.join()
        self._workers = []
        self._scratch.cleanup()

    def check(self) -> None:
        """Open the scene in a worker, on each GPU, so that what is wrong shows before anything is written.

        Raises:
            M3diError: Blender does not start, or there is no GPU where one was asked for.
            UsageError: There is no such GPU.
        """
        self._start()
        for worker in self._workers if self.settings.gpu else self._workers[:1]:
            self._call(worker, open_scene, self._settings[worker.number])

    def render(self, jobs: Iterable[RenderJob]) -> Iterator[RenderedImage]:
        """The image of each job, in order.

        Raises:
            M3diError: An image failed; the message names it.
        """
        asked: deque[RenderJob] = deque()
        done: dict[int, RenderedImage] = {}

        def noted() -> Iterator[RenderJob]:
            for job in jobs:
                asked.append(job)
                yield job

        for outcome in self.outcomes(noted()):
            if outcome.image is None:
                raise M3diError(
                    f"an image could not be rendered in {self.limits.n_tries} tries",
                    where=outcome.job.name,
                    got=outcome.error,
                )
            done[id(outcome.job)] = outcome.image
            while asked and id(asked[0]) in done:
                yield done.pop(id(asked.popleft()))

    def outcomes(self, jobs: Iterable[RenderJob]) -> Iterator[Outcome]:
        """The image of each job, or why there is none, in the order in which they come.

        A worker gets its next job once the caller has taken the last one from here: what the caller has not yet seen
        is never more than one image a worker.
        """
        self._start()
        queue, again = iter(jobs), deque[tuple[RenderJob, int]]()
        busy: dict[Future[Report], _Attempt] = {}
        try:
            while True:
                for worker in self._idle(busy.values()):
                    if again:
                        job, number = again.popleft()
                    elif (first := next(queue, None)) is not None:
                        job, number = first, 1
                    else:
                        break
                    busy.update([self._begin(worker, job, number)])
                if not busy:
                    return
                for future in self._wait_for_some(busy):
                    attempt = busy.pop(future)
                    outcome = self._settle(attempt, future)
                    if outcome is None:
                        again.append((attempt.job, attempt.number + 1))
                    else:
                        yield outcome
        finally:
            self._abandoned |= {attempt.worker for attempt in busy.values()}

    def _start(self) -> None:
        if self._workers:
            return
        if self.settings.gpu:
            devices = deal(choose_gpus(self._find_gpus(), self.settings.gpu_devices), self.n_workers)
            each = [replace(self.settings, device=device) for device in devices]
        else:
            each = [self.settings] * (self.n_workers or default_n_workers())
        n_threads = self.settings.n_threads or max(1, default_n_workers() // len(each))
        self._settings = [replace(settings, n_threads=n_threads) for settings in each]
        self._workers = [WorkerProcess(number, Path(self._scratch.name)) for number in range(len(each))]

    def _find_gpus(self) -> Any:
        worker = WorkerProcess(0, Path(self._scratch.name))
        try:
            return self._call(worker, list_gpus)
        finally:
            worker.stop()
            worker.join()

    def _call(self, worker: WorkerProcess, function: Any, *arguments: Any) -> Any:
        """Call a function in a worker; one that dies of it is tried again."""
        for number in range(1, self.limits.n_tries + 1):
            future = worker.submit(self.limits.image_timeout_s, function, *arguments)
            error = future.exception()
            if error is None:
                return future.result().result
            if isinstance(error, M3diError):
                raise error
            if number == self.limits.n_tries:
                raise M3diError(
                    f"the render worker failed {number} times",
                    where="the base scene",
                    got=self._reason(error),
                    next_step="try `python -c 'import bpy'`; it must work with this Python",
                ) from error
            worker.restart()
        raise AssertionError("unreachable")

    def _idle(self, attempts: Iterable[_Attempt]) -> list[WorkerProcess]:
        busy = {attempt.worker for attempt in attempts}
        for worker in self._abandoned:  # it still renders what a caller who has left had asked for
            worker.restart()
        self._abandoned = set()
        return [worker for worker in self._workers if worker not in busy]

    def _begin(self, worker: WorkerProcess, job: RenderJob, number: int) -> tuple[Future[Report], _Attempt]:
        arguments = (self.limits.image_timeout_s, render_image, self._settings[worker.number], job.values)
        try:
            future = worker.submit(*arguments)
        except RuntimeError:  # the threads that serve the process are gone
            worker.restart()
            future = worker.submit(*arguments)
        self._watch(PoolEvent("begin", worker.number, worker.pid, job.name))
        return future, _Attempt(job, number, worker, time.monotonic())

    def _wait_for_some(self, busy: dict[Future[Report], _Attempt]) -> set[Future[Report]]:
        """Those that are done; one that not even its time limit ends is done as well."""
        done, _ = wait(busy, timeout=TICK_S, return_when=FIRST_COMPLETED)
        late = time.monotonic() - self.limits.image_timeout_s - START_TIMEOUT_S
        for future in [future for future, attempt in busy.items() if attempt.began < late and future not in done]:
            future.cancel()
            done.add(future)
        return done

    def _settle(self, attempt: _Attempt, future: Future[Report]) -> Outcome | None:
        """The outcome of a job; None where it is to be tried again."""
        worker, job = attempt.worker, attempt.job
        error = FutureTimeoutError() if future.cancelled() or not future.done() else future.exception()
        if error is None:
            report = future.result()
            worker.pid = report.pid
            worker.n_images += 1
            event = PoolEvent("image", worker.number, worker.pid, job.name, report.seconds, report.memory_bytes)
            self._watch(event)
            self._recycle(worker, report.memory_bytes)
            return Outcome(job, report.result)
        why = self._reason(error)
        is_last = attempt.number == self.limits.n_tries
        self._watch(PoolEvent("failed" if is_last else "retry", worker.number, worker.pid, job.name, why=why))
        self._replace(worker, why)
        return Outcome(job, None, why) if is_last else None

    def _recycle(self, worker: WorkerProcess, memory_bytes: int) -> None:
        if worker.n_images >= self.limits.n_images:
            self._replace(worker, f"{worker.n_images} images rendered")
        elif memory_bytes > self.limits.memory_bytes:
            limit = self.limits.memory_bytes
            self._replace(worker, f"{memory_bytes / 1e9:.2f} GB of memory, more than {limit / 1e9:.2f}")

    def _replace(self, worker: WorkerProcess, why: str) -> None:
        self._watch(PoolEvent("restart", worker.number, worker.pid, why=why))
        worker.restart()

    def _reason(self, error: BaseException) -> str:
        from pebble import ProcessExpired

        if isinstance(error, ProcessExpired):
            return f"the worker died: {_ending(error.exitcode)}"
        if isinstance(error, FutureTimeoutError):
            return f"no image after {self.limits.image_timeout_s:g} s"
        return str(error) if isinstance(error, M3diError) else f"{type(error).__name__}: {error}"


def _ending(exit_code: int) -> str:
    """How a process ended, in words."""
    if exit_code >= 0:
        return f"exit code {exit_code}"
    names = {9: "SIGKILL; was the memory used up?", 11: "SIGSEGV", 6: "SIGABRT", 15: "SIGTERM"}
    return f"signal {-exit_code} ({names[-exit_code]})" if -exit_code in names else f"signal {-exit_code}"
