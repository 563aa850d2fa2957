"""A pool on GPUs that are stand-ins, in real processes and without Blender."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from m3di.errors import M3diError
from m3di.render import QUALITIES, Gpu, PoolEvent, RenderPool, RenderSettings, SceneValues, WorkerLimits, mps, starting
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


def fails_in_company(settings: RenderSettings) -> None:
    """In a worker: the first render, on a card that cannot be shared at the same time."""
    note(f"first render, service {mps.PIPE in os.environ}")
    if mps.PIPE in os.environ:
        raise M3diError("Blender did not render the image", got="CUDA error: 805")


def tells_its_service(settings: RenderSettings, values: SceneValues) -> object:
    """In a worker: where the service of the card is."""
    return values.seed, os.environ.get(mps.PIPE, "none")


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


def no_room_then_bad(settings: RenderSettings, values: SceneValues) -> object:
    """In a worker: three find no room, and those after them cannot render this image."""
    note("tried")
    if Path(os.environ[NOTES]).read_text().splitlines().count("tried") <= 3:
        raise OutOfGpuMemory("the GPU has no memory left for this worker")
    raise M3diError("it is bad")


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
    monkeypatch.setattr(starting, "list_gpus", two_cards)
    monkeypatch.setattr(starting, "open_scene", warm)
    monkeypatch.setattr(starting, "import_blender", os.getpid)
    monkeypatch.setenv("PATH", str(tmp_path))  # no tools of any driver
    return path


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the control of the Multi-Process Service; what it is told lands in a file."""
    told = tmp_path / "told"
    tool = tmp_path / mps.CONTROL
    tool.write_text(f"""#!/bin/sh
echo "$@ in $CUDA_MPS_PIPE_DIRECTORY, cards $CUDA_VISIBLE_DEVICES" >> {told}
if [ "$1" = -d ]; then [ -z "$REFUSE" ]; else /bin/cat >> {told}; fi
""")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(mps.PIPE, raising=False)
    return told


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
    monkeypatch.setattr(starting, "list_gpus", driver)
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
def test_an_image_that_met_full_cards_first_still_fails_after_so_many_tries(
    notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "render_image", no_room_then_bad)
    events: list[PoolEvent] = []
    with RenderPool(replace(SETTINGS, gpu_devices=(0,)), 4, LIMITS, events.append) as pool:
        (outcome,) = pool.outcomes(jobs("a"))
    assert "it is bad" in outcome.error
    kinds = [event.kind for event in events]
    assert [kinds.count(kind) for kind in ("retire", "retry", "failed")] == [3, 1, 1]


@pytest.mark.slow
def test_where_not_even_one_worker_has_room_each_image_says_so_once(
    notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "render_image", never_room)
    events: list[PoolEvent] = []
    with RenderPool(SETTINGS, 3, LIMITS, events.append) as pool:
        outcomes = list(pool.outcomes(jobs(*"ab")))
    assert all("no memory left" in outcome.error and outcome.n_tries == 1 for outcome in outcomes)
    with (
        RenderPool(SETTINGS, 3, LIMITS) as pool,
        pytest.raises(M3diError, match=r"could not be rendered in 1 try\n(?s:.)*no memory left"),
    ):
        list(pool.render(jobs(*"a")))
    assert "retry" not in [event.kind for event in events]
    monkeypatch.setattr(starting, "open_scene", no_room)
    with (
        RenderPool(SETTINGS, 4, LIMITS) as pool,
        pytest.raises(OutOfGpuMemory, match=r"no memory left(?s:.)*System is out of GPU memory"),
    ):
        pool.check()


@pytest.mark.slow
def test_workers_of_one_card_share_it_through_a_service_that_ends_with_them(
    notes: Path, service: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "render_image", tells_its_service)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    with RenderPool(SETTINGS, 4, LIMITS) as pool:
        pool.check()
        pipes = {outcome.image[1] for outcome in pool.outcomes(jobs(*"abcd"))}  # type: ignore[index]
        assert pool._mps is not None
    (pipe,) = pipes
    assert service.read_text().splitlines() == [f"-d in {pipe}, cards ", f" in {pipe}, cards ", "quit -t 1"]
    assert not Path(str(pipe)).exists()
    assert mps.PIPE not in os.environ


@pytest.mark.slow
def test_without_company_or_with_a_service_of_the_users_own_none_is_started(
    notes: Path, service: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "render_image", tells_its_service)
    events: list[PoolEvent] = []
    with RenderPool(SETTINGS, 2, LIMITS, events.append) as pool:  # a worker a card
        assert [outcome.image[1] for outcome in pool.outcomes(jobs("a"))] == ["none"]  # type: ignore[index]
        assert pool._mps is None
    monkeypatch.setenv(mps.PIPE, "/run/own")
    with RenderPool(SETTINGS, 4, LIMITS, events.append) as pool:
        assert [outcome.image[1] for outcome in pool.outcomes(jobs("a"))] == ["/run/own"]  # type: ignore[index]
    assert not service.exists()
    assert "unshared" not in [event.kind for event in events]
    monkeypatch.delenv(mps.PIPE)
    monkeypatch.setenv("REFUSE", "yes")
    with RenderPool(SETTINGS, 4, LIMITS, events.append) as pool:
        assert [outcome.image[1] for outcome in pool.outcomes(jobs("a"))] == ["none"]  # type: ignore[index]
    assert "does not start" in next(event.why for event in events if event.kind == "unshared")


@pytest.mark.slow
def test_a_card_that_cannot_be_shared_at_the_same_time_is_shared_in_turns(
    notes: Path, service: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting, "open_scene", fails_in_company)
    monkeypatch.setattr(pool_module, "render_image", tells_its_service)
    events: list[PoolEvent] = []
    with RenderPool(SETTINGS, 4, LIMITS, events.append) as pool:
        pool.check()
        assert pool._mps is None
        assert pool.n_started == 4
        assert {outcome.image[1] for outcome in pool.outcomes(jobs(*"abcd"))} == {"none"}  # type: ignore[index]
    lines = notes.read_text().splitlines()
    assert lines.count("first render, service False") == 4
    (told,) = [event.why for event in events if event.kind == "unshared"]
    assert "workers take turns" in told
    assert "CUDA error: 805" in told
    assert service.read_text().splitlines()[-1] == "quit -t 1"


def test_a_service_that_does_not_start_is_none(tmp_path: Path, service: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFUSE", "yes")
    assert mps.start_mps(tmp_path) is None
    assert service.read_text().splitlines()[-1] == "quit -t 1"  # it may have come half way
    monkeypatch.setenv("PATH", "")
    assert mps.start_mps(tmp_path) is None


@pytest.mark.slow
def test_the_service_ends_with_a_process_that_is_killed_before_it_has_workers(tmp_path: Path, service: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
from m3di.render.mps import start_mps
assert start_mps(Path({str(tmp_path)!r}))
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    late = time.monotonic() + 20
    while "quit" not in service.read_text():
        assert time.monotonic() < late, "nobody has told the service to end"
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("capability", "wanted", "has_cuda", "backend"),
    [
        ("9.0", None, True, "CUDA"),
        ("8.9", None, True, "OPTIX"),
        ("9.0", None, False, "OPTIX"),
        ("9.0", "OPTIX", True, "OPTIX"),
        (None, None, True, "OPTIX"),
    ],
)
def test_cuda_comes_first_where_no_core_traces_rays(
    capability: str | None,
    wanted: str | None,
    has_cuda: bool,
    backend: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if capability:
        tool = tmp_path / "nvidia-smi"
        tool.write_text(f"#!/bin/sh\necho '00000000:C1:00.0, {capability}'\n")
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    asked: list[str] = []

    def answer(worker: object, future: object, call: starting.Call, n_tries: int) -> list[Gpu]:
        asked.extend(call.arguments)
        has = call.arguments and (call.arguments[0] == "OPTIX" or (call.arguments[0] == "CUDA" and has_cuda))
        return [Gpu(call.arguments[0], f"CUDA_Card_0000:c1:00_{call.arguments[0]}", "Card")] if has else []

    monkeypatch.setattr(starting, "answer", answer)
    monkeypatch.setattr(starting.Call, "submit", lambda self, worker: None)
    found = starting.find_gpus(None, wanted, WorkerLimits())  # type: ignore[arg-type]
    assert [gpu.backend for gpu in found] == [backend]
    assert "HIP" not in asked
