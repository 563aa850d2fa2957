"""A pool on GPUs that are stand-ins, in real processes and without Blender."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from m3di.errors import M3diError
from m3di.render import QUALITIES, Gpu, PoolEvent, RenderPool, RenderSettings, SceneValues, WorkerLimits
from m3di.render import pool as pool_module
from m3di.render.gpu import OutOfGpuMemory
from tests.render.test_pool import jobs

SETTINGS = RenderSettings(8, QUALITIES["draft"], n_threads=1, gpu=True)
NOTES = "M3DI_TEST_NOTES"
LIMITS = WorkerLimits(image_timeout_s=1.0, n_tries=2, kernel_timeout_s=60.0)


def two_cards(backend: str) -> list[Gpu]:
    """In a worker: two cards of CUDA."""
    note(f"asked {backend}")
    return [Gpu("CUDA", f"CUDA_{index}", "Card") for index in range(2)] if backend == "CUDA" else []


def hanging_driver(backend: str) -> list[Gpu]:
    """In a worker: a driver that never answers."""
    time.sleep(60)
    return []


def crashing_driver(backend: str) -> list[Gpu]:
    """In a worker: a driver that takes the process with it."""
    os._exit(7)


def warm(settings: RenderSettings) -> None:
    """In a worker: the first render."""
    assert settings.device is not None
    note(f"begin {settings.device.id}")
    late = time.monotonic() + 50
    while not all(f"begin CUDA_{number}" in Path(os.environ[NOTES]).read_text() for number in range(2)):
        assert time.monotonic() < late, "the other card does not begin before this one has ended"
        time.sleep(0.05)
    note(f"end {settings.device.id}")


def no_room(settings: RenderSettings) -> None:
    """In a worker: the first render, where nothing of the card is left."""
    raise OutOfGpuMemory("the GPU has no memory left for this worker", got="System is out of GPU memory")


def slow_start(settings: RenderSettings, values: SceneValues) -> object:
    """In a worker: the first image takes longer than images may."""
    if not hasattr(slow_start, "is_warm"):
        time.sleep(2.0)
        slow_start.is_warm = True  # type: ignore[attr-defined]
    return values.seed, os.getpid()


def room_for_one(settings: RenderSettings, values: SceneValues) -> object:
    """In a worker: only one process a card has room."""
    assert settings.device is not None
    path = Path(os.environ[NOTES] + f".{settings.device.id}")
    try:
        path.touch(exist_ok=False)
        path.write_text(str(os.getpid()))
    except FileExistsError:
        time.sleep(0.2)
        if path.read_text() != str(os.getpid()):
            raise OutOfGpuMemory("the GPU has no memory left for this worker") from None
    time.sleep(0.1)
    return values.seed, os.getpid()


def never_room(settings: RenderSettings, values: SceneValues) -> object:
    """In a worker: no process has room."""
    raise OutOfGpuMemory("the GPU has no memory left for this worker")


def note(line: str) -> None:
    with Path(os.environ[NOTES]).open("a") as stream:
        stream.write(line + "\n")


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "notes"
    monkeypatch.setenv(NOTES, str(path))
    monkeypatch.setattr(pool_module, "list_gpus", two_cards)
    monkeypatch.setattr(pool_module, "open_scene", warm)
    monkeypatch.setattr(pool_module, "import_blender", os.getpid)
    return path


@pytest.mark.slow
def test_one_worker_a_card_loads_kernels_before_the_others(notes: Path) -> None:
    events: list[PoolEvent] = []
    with RenderPool(SETTINGS, 4, LIMITS, events.append) as pool:
        pool.check()
        assert [gpu.id for gpu in pool.gpus] == ["CUDA_0", "CUDA_1"]
        assert pool.n_started == 4
    lines = notes.read_text().splitlines()
    assert lines[:2] == ["asked OPTIX", "asked CUDA"]  # HIP and the rest are never asked
    assert sorted(lines[2:6]) == ["begin CUDA_0", "begin CUDA_1", "end CUDA_0", "end CUDA_1"]
    assert sorted(lines[6:]) == sorted(lines[2:6])
    warned = [event.why for event in events if event.kind == "warm-up"]
    assert len(warned) == 2
    assert all("this can take minutes" in why and "Card (CUDA)" in why for why in warned)


@pytest.mark.slow
@pytest.mark.parametrize(("driver", "why"), [(hanging_driver, "no answer after 1 s"), (crashing_driver, "exit code 7")])
def test_a_driver_that_does_not_answer_is_named(
    driver: object, why: str, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "list_gpus", driver)
    limits = WorkerLimits(n_tries=1, list_timeout_s=1.0)
    with (
        RenderPool(SETTINGS, 1, limits) as pool,
        pytest.raises(M3diError, match=rf"driver of OPTIX did not tell(?s:.)*{why}(?s:.)*--gpu-backend"),
    ):
        pool.check()


@pytest.mark.slow
def test_the_first_image_of_a_process_may_take_as_long_as_kernels_need(
    notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "render_image", slow_start)
    with RenderPool(SETTINGS, 2, LIMITS) as pool:
        outcomes = list(pool.outcomes(jobs(*"abcd")))
    assert all(outcome.image for outcome in outcomes)


@pytest.mark.slow
def test_workers_for_which_a_card_has_no_room_are_ended_and_their_images_rendered(
    notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "render_image", room_for_one)
    events: list[PoolEvent] = []
    with RenderPool(SETTINGS, 6, LIMITS, events.append) as pool:
        outcomes = list(pool.outcomes(jobs(*"abcdefghijkl")))
    assert sorted(outcome.image[0] for outcome in outcomes) == list(range(12))  # type: ignore[index]
    kinds = [event.kind for event in events]
    assert kinds.count("retire") == 4
    assert not {"retry", "failed", "restart"} & set(kinds)


@pytest.mark.slow
def test_where_not_even_one_worker_has_room_each_image_says_so_once(
    notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "render_image", never_room)
    events: list[PoolEvent] = []
    with RenderPool(SETTINGS, 3, LIMITS, events.append) as pool:
        outcomes = list(pool.outcomes(jobs(*"ab")))
    assert all("no memory left" in outcome.error for outcome in outcomes)
    assert "retry" not in [event.kind for event in events]
    monkeypatch.setattr(pool_module, "open_scene", no_room)
    with (
        RenderPool(SETTINGS, 4, LIMITS) as pool,
        pytest.raises(OutOfGpuMemory, match=r"no memory left(?s:.)*System is out of GPU memory"),
    ):
        pool.check()
