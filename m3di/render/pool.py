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
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from m3di.errors import M3diError
from m3di.render.gpu import GPU_BACKENDS, Gpu, OutOfGpuMemory, choose_gpus, deal, lack_ray_tracing_cores
from m3di.render.gpu_environment import gpu_environment
from m3di.render.job import Outcome, PoolEvent, RenderedImage, RenderJob, RenderSettings, Watch, WorkerLimits
from m3di.render.mps import MPS_BACKENDS, start_mps, stop_mps
from m3di.render.worker import Report, import_blender, list_gpus, open_scene, render_image
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
    limit_s: float


class RenderPool:
    """Renders jobs in worker processes.

    A worker that dies or hangs costs the image in flight, which is tried again. Workers are replaced after a number of
    images or where they have grown, and they end with the process that made them, however that ends.

    Args:
        settings: What all images share.
        n_workers: Number of processes; None takes one a core, or on GPUs see `deal`.
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
        self._retired: set[WorkerProcess] = set()
        self._environment = gpu_environment() if settings.gpu else {}
        self._mps: dict[str, str] = {}

    @property
    def gpus(self) -> list[Gpu]:
        """The GPUs that render, each once; none on the CPU, or before the first call of `check`."""
        return list(dict.fromkeys(each.device for each in self._settings if each.device is not None))

    @property
    def is_shared(self) -> bool:
        """Whether workers render on one card at the same time, see `m3di.render.mps`."""
        return bool(self._mps)

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
            if worker not in self._retired:
                worker.stop()
        for worker in self._workers:
            worker.join()
        self._workers = []
        stop_mps(self._mps)
        self._mps = {}
        self._scratch.cleanup()

    def check(self) -> None:
        """Open the scene in a worker, so that what is wrong shows before anything is written.

        On GPUs, all workers render a corner of it: one a GPU first, which compiles kernels where the driver has none
        for the card and leaves them in its cache; then the others, which find them there.

        Raises:
            M3diError: Blender does not start, or there is no GPU where one was asked for, or it does not render.
            UsageError: There is no such GPU.
        """
        self._start()
        if not self.settings.gpu:
            self._call_all(self._workers[:1], self.limits.image_timeout_s)
            return
        try:
            self._warm_up()
        except M3diError as error:
            if not self._mps or isinstance(error, OutOfGpuMemory):
                raise
            self._leave_mps()  # not every card, driver and container can share so
            self._warm_up()

    def _warm_up(self) -> None:
        first = {each.device: worker for each, worker in zip(self._settings[::-1], self._workers[::-1], strict=True)}
        for worker in first.values():
            gpu = self._settings[worker.number].device
            why = f"{gpu} loads its kernels; the first time on a machine this can take minutes"
            self._watch(PoolEvent("warm-up", worker.number, why=why))
        self._call_all(list(first.values()), self.limits.kernel_timeout_s)
        others = [worker for worker in self._workers if worker not in {*first.values(), *self._retired}]
        self._call_all(others, self.limits.kernel_timeout_s)

    def _leave_mps(self) -> None:
        """Start all workers again, each with the card in turns."""
        for worker in self._workers:
            if worker not in self._retired:
                worker.stop()
        for worker in self._workers:
            worker.join()
        stop_mps(self._mps)
        self._mps, self._retired = {}, set()
        self._workers = [self._make_worker(number) for number in range(len(self._settings))]

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
            found = choose_gpus(self._find_gpus(), self.settings.gpu_devices, self.settings.gpu_backend)
            each = [replace(self.settings, device=gpu) for gpu in deal(found, self.n_workers, default_n_workers())]
        else:
            each = [self.settings] * (self.n_workers or default_n_workers())
        n_threads = self.settings.n_threads or max(1, default_n_workers() // len(each))
        self._settings = [replace(settings, n_threads=n_threads) for settings in each]
        if len(each) > len(self.gpus) and any(gpu.backend in MPS_BACKENDS for gpu in self.gpus):
            self._mps = start_mps(Path(self._scratch.name))
        self._workers = [self._make_worker(number) for number in range(len(each))]

    def _make_worker(self, number: int) -> WorkerProcess:
        return WorkerProcess(number, Path(self._scratch.name), self._environment | self._mps)

    def _find_gpus(self) -> list[Gpu]:
        """Those of the back end that was asked for, or of the first one that has any."""
        wanted = self.settings.gpu_backend
        worker, second = self._make_worker(0), list[Gpu]()
        try:
            self._call(worker, self.limits.image_timeout_s, import_blender)
            for backend in (wanted,) if wanted else GPU_BACKENDS:
                found: list[Gpu] = self._call(worker, self.limits.list_timeout_s, list_gpus, backend)
                if wanted is None and backend == "OPTIX" and lack_ray_tracing_cores(found):
                    second = found  # slower than CUDA there, and better than none
                elif found or second:
                    return found or second
            return []
        finally:
            worker.stop()
            worker.join()

    def _call(self, worker: WorkerProcess, timeout_s: float, function: Any, *arguments: Any) -> Any:
        """Call a function in a worker; one that dies of it is tried again."""
        return self._answer(worker, worker.submit(timeout_s, function, *arguments), timeout_s, function, arguments)

    def _call_all(self, workers: list[WorkerProcess], timeout_s: float) -> None:
        """Open the scene in some workers, all at the same time."""
        futures = [worker.submit(timeout_s, open_scene, self._settings[worker.number]) for worker in workers]
        for worker, future in zip(workers, futures, strict=True):
            try:
                self._answer(worker, future, timeout_s, open_scene, (self._settings[worker.number],))
            except OutOfGpuMemory as error:
                if not self._retire(worker, str(error)):
                    raise

    def _answer(
        self, worker: WorkerProcess, future: Future[Report], timeout_s: float, function: Any, arguments: tuple[Any, ...]
    ) -> Any:
        for number in range(1, self.limits.n_tries + 1):
            error = future.exception()
            if error is None:
                return future.result().result
            if isinstance(error, M3diError):
                raise error
            if number == self.limits.n_tries:
                raise self._start_error(function, arguments, number, self._reason(error, timeout_s)) from error
            worker.restart()
            future = worker.submit(timeout_s, function, *arguments)
        raise AssertionError("unreachable")

    def _start_error(self, function: Any, arguments: tuple[Any, ...], n_tries: int, why: str) -> M3diError:
        """Why a worker does not come to render."""
        if function is list_gpus:
            return M3diError(
                f"the driver of {arguments[0]} did not tell its GPUs in {n_tries} tries",
                where=f"--gpu-backend {arguments[0].lower()}",
                got=why.replace("no image", "no answer"),
                next_step="look at the driver's messages, or name the back end of your card with --gpu-backend",
            )
        gpu = self.settings.gpu
        return M3diError(
            f"the render worker failed {n_tries} times",
            where=f"the first render on {arguments[0].device}" if gpu else "the base scene",
            got=why,
            next_step="try another --gpu-backend, or update the driver"
            if gpu
            else "try `python -c 'import bpy'`; it must work with this Python",
        )

    def _idle(self, attempts: Iterable[_Attempt]) -> list[WorkerProcess]:
        busy = {attempt.worker for attempt in attempts}
        for worker in self._abandoned:  # it still renders what a caller who has left had asked for
            worker.restart()
        self._abandoned = set()
        return [worker for worker in self._workers if worker not in busy and worker not in self._retired]

    def _begin(self, worker: WorkerProcess, job: RenderJob, number: int) -> tuple[Future[Report], _Attempt]:
        # The first render of a process on a GPU loads its kernels.
        starts = self.settings.gpu and worker.n_images == 0
        limit_s = self.limits.image_timeout_s + (self.limits.kernel_timeout_s if starts else 0.0)
        arguments = (limit_s, render_image, self._settings[worker.number], job.values)
        try:
            future = worker.submit(*arguments)
        except RuntimeError:  # the threads that serve the process are gone
            worker.restart()
            future = worker.submit(*arguments)
        self._watch(PoolEvent("begin", worker.number, worker.pid, job.name))
        return future, _Attempt(job, number, worker, time.monotonic(), limit_s)

    def _wait_for_some(self, busy: dict[Future[Report], _Attempt]) -> set[Future[Report]]:
        """Those that are done; one that not even its time limit ends is done as well."""
        done, _ = wait(busy, timeout=TICK_S, return_when=FIRST_COMPLETED)
        now = time.monotonic() - START_TIMEOUT_S
        late = [future for future, attempt in busy.items() if attempt.began + attempt.limit_s < now]
        for future in [future for future in late if future not in done]:
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
        why = self._reason(error, attempt.limit_s)
        if isinstance(error, OutOfGpuMemory) and self._retire(worker, why):
            return None  # to be tried where there is room
        is_last = attempt.number == self.limits.n_tries or isinstance(error, OutOfGpuMemory)
        self._watch(PoolEvent("failed" if is_last else "retry", worker.number, worker.pid, job.name, why=why))
        self._replace(worker, why)
        return Outcome(job, None, why) if is_last else None

    def _retire(self, worker: WorkerProcess, why: str) -> bool:
        """End a worker for good where others render on its GPU: fewer have more room. Whether there are others."""
        gpu = self._settings[worker.number].device
        others = [each for each in self._workers if each not in {worker, *self._retired}]
        if not any(self._settings[each.number].device == gpu for each in others):
            return False
        self._watch(PoolEvent("retire", worker.number, worker.pid, why=why))
        self._retired.add(worker)
        worker.stop()
        return True

    def _recycle(self, worker: WorkerProcess, memory_bytes: int) -> None:
        is_old = time.monotonic() - worker.started >= self.limits.age_s
        if worker.n_images >= self.limits.n_images and is_old:
            self._replace(worker, f"{worker.n_images} images rendered")
        elif memory_bytes > self.limits.memory_bytes:
            limit = self.limits.memory_bytes
            self._replace(worker, f"{memory_bytes / 1e9:.2f} GB of memory, more than {limit / 1e9:.2f}")

    def _replace(self, worker: WorkerProcess, why: str) -> None:
        self._watch(PoolEvent("restart", worker.number, worker.pid, why=why))
        worker.restart()

    def _reason(self, error: BaseException, limit_s: float) -> str:
        from pebble import ProcessExpired

        if isinstance(error, ProcessExpired):
            return f"the worker died: {_ending(error.exitcode)}"
        if isinstance(error, BrokenProcessPool):
            return "the worker died before it began"
        if isinstance(error, FutureTimeoutError):
            return f"no image after {limit_s:g} s"
        return str(error) if isinstance(error, M3diError) else f"{type(error).__name__}: {error}"


def _ending(exit_code: int) -> str:
    """How a process ended, in words."""
    if exit_code >= 0:
        return f"exit code {exit_code}"
    names = {9: "SIGKILL; was the memory used up?", 11: "SIGSEGV", 6: "SIGABRT", 15: "SIGTERM"}
    return f"signal {-exit_code} ({names[-exit_code]})" if -exit_code in names else f"signal {-exit_code}"
