"""What workers do before they render: they import Blender, tell their GPUs, open the scene. And how they end."""

from __future__ import annotations

from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

from m3di.errors import M3diError
from m3di.render.gpu import GPU_BACKENDS, Gpu, lack_ray_tracing_cores
from m3di.render.job import RenderSettings, WorkerLimits
from m3di.render.worker import Report, import_blender, list_gpus, open_scene
from m3di.render.worker_process import WorkerProcess


@dataclass(frozen=True)
class Call:
    """A function to call in a worker, and how long it may take."""

    function: Any
    arguments: tuple[Any, ...]
    timeout_s: float

    def submit(self, worker: WorkerProcess) -> Future[Report]:
        """Begin it."""
        return worker.submit(self.timeout_s, self.function, *self.arguments)


def opening(settings: RenderSettings, limits: WorkerLimits) -> Call:
    """The call that opens the scene of a worker, and on a GPU renders a corner of it."""
    return Call(open_scene, (settings,), limits.kernel_timeout_s if settings.gpu else limits.image_timeout_s)


def answer(worker: WorkerProcess, future: Future[Report], call: Call, n_tries: int) -> Any:
    """What a call returns; where the worker dies of it, the call is tried again.

    Raises:
        M3diError: The function raised it, or the last try has failed.
    """
    for number in range(1, n_tries + 1):
        error = future.exception()
        if error is None:
            return future.result().result
        if isinstance(error, M3diError):
            raise error
        if number == n_tries:
            raise _start_error(call, n_tries, reason(error, call.timeout_s)) from error
        worker.restart()
        future = call.submit(worker)
    raise AssertionError("unreachable")


def find_gpus(worker: WorkerProcess, wanted: str | None, limits: WorkerLimits) -> list[Gpu]:
    """The GPUs of the back end that is wanted, or of the first one that has any.

    Back ends are asked one by one, and those after the first that has a GPU not at all: a driver can crash or hang.

    Raises:
        M3diError: Blender does not start, or a driver does not answer.
    """

    def ask(function: Any, *arguments: Any, timeout_s: float) -> Any:
        call = Call(function, arguments, timeout_s)
        return answer(worker, call.submit(worker), call, limits.n_tries)

    ask(import_blender, timeout_s=limits.image_timeout_s)
    second: list[Gpu] = []
    for backend in (wanted,) if wanted else GPU_BACKENDS:
        found: list[Gpu] = ask(list_gpus, backend, timeout_s=limits.list_timeout_s)
        if wanted is None and backend == "OPTIX" and lack_ray_tracing_cores(found):
            second = found  # slower than CUDA there, and better than none
        elif found or second:
            return found or second
    return []


def _start_error(call: Call, n_tries: int, why: str) -> M3diError:
    """Why a worker does not come to render."""
    if call.function is list_gpus:
        backend = call.arguments[0]
        return M3diError(
            f"the driver of {backend} did not tell its GPUs in {n_tries} tries",
            where=f"--gpu-backend {backend.lower()}",
            got=why.replace("no image", "no answer"),
            next_step="look at the driver's messages, or name the back end of your card with --gpu-backend",
        )
    device = call.arguments[0].device if call.function is open_scene else None
    return M3diError(
        f"the render worker failed {n_tries} times",
        where=f"the first render on {device}" if device else "the base scene",
        got=why,
        next_step="try another --gpu-backend, or update the driver"
        if device
        else "try `python -c 'import bpy'`; it must work with this Python",
    )


def reason(error: BaseException, limit_s: float) -> str:
    """Why a call has failed, in words.

    Args:
        error: What the call has raised.
        limit_s: How long it might have taken, seconds.
    """
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
