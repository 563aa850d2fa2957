"""The pool around functions that misbehave, in real processes and without Blender."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from m3di.errors import M3diError
from m3di.render import QUALITIES, PoolEvent, RenderJob, RenderPool, RenderSettings, SceneValues, WorkerLimits
from m3di.render import pool as pool_module
from m3di.render.image import check_image
from m3di.render.worker_process import WorkerProcess
from tests.render.test_blender import SMALL, VALUES

SETTINGS = RenderSettings(8, QUALITIES["draft"], n_threads=1)


def act(settings: RenderSettings, values: SceneValues) -> object:
    """In a worker: what the name of the shape says."""
    if values.shape == "die":
        os.kill(os.getpid(), 9)
    if values.shape == "hang":
        time.sleep(600)
    if values.shape == "fail":
        raise ValueError("a bug")
    return values.seed, os.getpid()


def jobs(*shapes: str) -> list[RenderJob]:
    return [RenderJob(f"{seed} {shape}", replace(VALUES, shape=shape, seed=seed)) for seed, shape in enumerate(shapes)]


@pytest.mark.slow
def test_every_job_gets_an_image_or_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "render_image", act)
    events: list[PoolEvent] = []
    limits = WorkerLimits(image_timeout_s=1.5, n_tries=2)
    with RenderPool(SETTINGS, 2, limits, events.append) as pool:
        outcomes = {outcome.job.name: outcome for outcome in pool.outcomes(jobs("a", "die", "b", "hang", "fail", "c"))}
        assert pool.n_started == 2
    assert {name for name, outcome in outcomes.items() if outcome.image} == {"0 a", "2 b", "5 c"}
    assert outcomes["1 die"].error == "the worker died: signal 9 (SIGKILL; was the memory used up?)"
    assert outcomes["3 hang"].error == "no image after 1.5 s"
    assert outcomes["4 fail"].error == "ValueError: a bug"
    kinds = [event.kind for event in events if event.kind != "begin"]
    assert {kind: kinds.count(kind) for kind in kinds} == {"image": 3, "retry": 3, "failed": 3, "restart": 6}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limits", "why", "n_processes"),
    [
        (WorkerLimits(n_images=2, age_s=0.0), "2 images rendered", 2),
        (WorkerLimits(n_images=2), "a worker is not replaced while it is young", 1),
        (WorkerLimits(memory_bytes=1), "GB of memory, more than", 3),
    ],
)
def test_workers_are_replaced(
    limits: WorkerLimits, why: str, n_processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "render_image", act)
    events: list[PoolEvent] = []
    with RenderPool(SETTINGS, 1, limits, events.append) as pool:
        pids = [outcome.image[1] for outcome in pool.outcomes(jobs(*"abc"))]  # type: ignore[index]
    assert len(set(pids)) == n_processes
    assert all(why in event.why for event in events if event.kind == "restart")


@pytest.mark.slow
def test_a_new_worker_for_each_image_changes_no_byte() -> None:
    todo = [RenderJob(f"{seed}", replace(VALUES, seed=seed, shape="cow")) for seed in range(2)]
    with RenderPool(SMALL, 1) as one, RenderPool(SMALL, 1, WorkerLimits(n_images=1, age_s=0.0)) as always_new:
        assert list(one.render(todo)) == list(always_new.render(todo[::-1]))[::-1]


@pytest.mark.slow
def test_a_pool_goes_on_after_a_caller_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "render_image", act)
    with RenderPool(SETTINGS, 1) as pool:
        for _ in pool.outcomes(jobs("a", "b")):
            break
        assert [outcome.image[0] for outcome in pool.outcomes(jobs("c", "d"))] == [0, 1]  # type: ignore[index]
        scratch = Path(pool._scratch.name)
        assert scratch.exists()
    assert not scratch.exists()


@pytest.mark.parametrize(
    ("radiance", "what"),
    [
        (np.zeros((4, 4, 3), np.float32), "a blank image, 0 everywhere"),
        (np.full((4, 4, 3), 0.5, np.float32), r"a blank image, 0\.5 everywhere"),
        (np.eye(4, dtype=np.float32)[..., None] * np.array([1, np.nan, 1], np.float32), "values that are not finite"),
        (np.ones((4, 5, 3), np.float32), r"an array of shape \[4, 5, 3\]"),
    ],
)
def test_what_is_no_image(radiance: np.ndarray, what: str) -> None:
    with pytest.raises(M3diError, match=rf"no image of the scene(?s:.)*{what}(?s:.)*4 x 4 pixels"):
        check_image(radiance, 4)
    good = np.eye(4, dtype=np.float32)[..., None] * np.ones(3, np.float32)
    assert check_image(good, 4) is good


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="signals of POSIX")
def test_ctrl_c_is_for_the_command_and_never_for_a_worker(tmp_path: Path) -> None:
    blocked = signal.pthread_sigmask, signal.SIG_BLOCK, []
    worker = WorkerProcess(0, tmp_path)
    try:
        for _ in range(2):
            assert signal.SIGINT in worker.submit(60, *blocked).result().result
            worker.restart()
    finally:
        worker.stop()
        worker.join()
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
