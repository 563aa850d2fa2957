"""Worker processes that render: even where one crashes or hangs, every job gets an image or a reason."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, replace
from pathlib import Path

from m3di.errors import M3diError
from m3di.render.gpu import Gpu, OutOfGpuMemory, assign_gpus, choose_gpus
from m3di.render.gpu_environment import gpu_environment
from m3di.render.job import Outcome, PoolEvent, RenderedImage, RenderJob, RenderSettings, Watch, WorkerLimits
from m3di.render.machine import default_n_workers
from m3di.render.mps import CONTROL, MPS_BACKENDS, Mps, is_chosen, start_mps
from m3di.render.scratch import Scratch
from m3di.render.starting import answer, find_gpus, opening, reason
from m3di.render.worker import Report, render_image
from m3di.render.worker_process import WorkerProcess

TICK_S = 1.0
START_TIMEOUT_S = 120.0


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
    images or where they have grown, and they end with the process that made them, even if it is killed.

    Args:
        settings: What all images share.
        n_workers: Number of processes; None takes one a core, or on GPUs see `assign_gpus`.
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
        self._environment = gpu_environment() if settings.gpu else {}
        self._scratch = Scratch()
        self._workers: list[WorkerProcess] = []
        self._settings: list[RenderSettings] = []
        self._abandoned: set[WorkerProcess] = set()
        self._retired: set[WorkerProcess] = set()
        self._mps: Mps | None = None

    @property
    def gpus(self) -> list[Gpu]:
        """The GPUs that render, each once; none on the CPU, or before the first call of `check`."""
        return list(dict.fromkeys(each.device for each in self._settings if each.device is not None))

    @property
    def n_started(self) -> int:
        """How many workers there are; 0 before the first call of `check` or of what renders."""
        return len(self._workers)

    def __enter__(self) -> RenderPool:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End all workers at once, busy or not."""
        self._end_workers()
        self._scratch.close()

    def _end_workers(self) -> None:
        for worker in self._workers:
            if worker not in self._retired:
                worker.stop()
        for worker in self._workers:
            worker.join()
        if self._mps is not None:
            self._mps.stop()
        self._workers, self._retired, self._mps = [], set(), None

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
            self._open(self._workers[:1])
            return
        try:
            self._warm_up()
        except M3diError as error:
            if self._mps is None or isinstance(error, OutOfGpuMemory):
                raise
            self._end_workers()  # not every card, driver and container can share so
            got = error.details.get("got", "").partition("\n")[0]
            self._tell_unshared(f"the first render through it failed: {got or error.what}")
            self._workers = [self._make_worker(number) for number in range(len(self._settings))]
            self._warm_up()

    def _warm_up(self) -> None:
        first = {each.device: worker for each, worker in zip(self._settings[::-1], self._workers[::-1], strict=True)}
        for worker in first.values():
            gpu = self._settings[worker.number].device
            why = f"{gpu} loads its kernels; the first time on a machine this can take minutes"
            self._watch(PoolEvent("warm-up", worker.number, why=why))
        self._open(list(first.values()))
        others = [worker for worker in self._workers if worker not in {*first.values(), *self._retired}]
        self._open(others)

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
                    f"an image could not be rendered in {outcome.n_tries} {'try' if outcome.n_tries == 1 else 'tries'}",
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
                    if outcome is not None:
                        yield outcome
                    else:  # where there was no room on the card, the image itself has not been tried
                        has_failed = attempt.worker not in self._retired
                        again.append((attempt.job, attempt.number + has_failed))
        finally:
            self._abandoned |= {attempt.worker for attempt in busy.values()}

    def _start(self) -> None:
        if self._workers:
            return
        if self.settings.gpu:
            found = choose_gpus(self._find_gpus(), self.settings.gpu_devices, self.settings.gpu_backend)
            each = [
                replace(self.settings, device=gpu) for gpu in assign_gpus(found, self.n_workers, default_n_workers())
            ]
        else:
            each = [self.settings] * (self.n_workers or default_n_workers())
        n_threads = self.settings.n_threads or max(1, default_n_workers() // len(each))
        self._settings = [replace(settings, n_threads=n_threads) for settings in each]
        if len(each) > len(self.gpus) and any(gpu.backend in MPS_BACKENDS for gpu in self.gpus):
            self._mps = start_mps(Path(self._scratch.name))
            if self._mps is None and not is_chosen():
                self._tell_unshared(f"{CONTROL} is not there or does not start")
        self._workers = [self._make_worker(number) for number in range(len(each))]

    def _tell_unshared(self, why: str) -> None:
        slow = "workers take turns on their GPU, which is slower than NVIDIA's Multi-Process Service"
        self._watch(PoolEvent("unshared", 0, why=f"{slow}: {why}"))

    def _make_worker(self, number: int) -> WorkerProcess:
        shared = self._mps.environment if self._mps is not None else {}
        return WorkerProcess(number, Path(self._scratch.name), {**self._environment, **shared})

    def _find_gpus(self) -> list[Gpu]:
        worker = self._make_worker(0)
        try:
            return find_gpus(worker, self.settings.gpu_backend, self.limits)
        finally:
            worker.stop()
            worker.join()

    def _open(self, workers: list[WorkerProcess]) -> None:
        """Open the scene in some workers, all at the same time."""
        calls = [opening(self._settings[worker.number], self.limits) for worker in workers]
        futures = [call.submit(worker) for call, worker in zip(calls, workers, strict=True)]
        for worker, future, call in zip(workers, futures, calls, strict=True):
            try:
                answer(worker, future, call, self.limits.n_tries)
            except OutOfGpuMemory as error:
                if not self._retire(worker, str(error)):
                    raise

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
        """Futures that are done, or so late that not even their time limit has ended them."""
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
        why = reason(error, attempt.limit_s)
        if isinstance(error, OutOfGpuMemory) and self._retire(worker, why):
            return None  # to be tried where there is room
        is_last = attempt.number == self.limits.n_tries or isinstance(error, OutOfGpuMemory)
        self._watch(PoolEvent("failed" if is_last else "retry", worker.number, worker.pid, job.name, why=why))
        self._replace(worker, why)
        return Outcome(job, None, why, attempt.number) if is_last else None

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
