"""Choice of GPUs, against stand-ins for what Blender tells of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from m3di.errors import M3diError, UsageError
from m3di.render.gpu import (
    Gpu,
    assign_gpus,
    choose_gpus,
    default_workers_per_gpu,
    driver_version,
    find_gpus,
    is_out_of_memory,
    use_gpu,
)
from m3di.render.gpu_environment import gpu_environment

FOUND = [Gpu("CUDA", f"CUDA_{index}", "Card") for index in range(4)]


@dataclass
class FakeDevice:
    type: str
    id: str
    name: str = "Card"
    use: bool = False


@dataclass
class FakePreferences:
    """Like those of the add-on `cycles`: a back end that the build does not know is a TypeError."""

    built: tuple[str, ...]
    installed: dict[str, int]
    devices: list[FakeDevice] = field(default_factory=list)
    chosen: str = "NONE"
    asked: list[str] = field(default_factory=list)

    @property
    def compute_device_type(self) -> str:
        return self.chosen

    @compute_device_type.setter
    def compute_device_type(self, backend: str) -> None:
        if backend not in self.built:
            raise TypeError(f'enum "{backend}" not found')
        self.chosen = backend

    def get_device_list(self, backend: str) -> list[tuple[str, str, str, bool, bool]]:
        """As Cycles answers: a tuple a device, and `devices` is brought up to date. The CPU is always among them."""
        self.asked.append(backend)
        n = self.installed.get(backend, 0)
        self.devices = [FakeDevice(backend, f"{backend}_{index}") for index in range(n)]
        self.devices.append(FakeDevice("CPU", "CPU", use=True))
        return [(device.name, device.type, device.id, False, False) for device in self.devices]


def test_a_back_end_tells_its_devices_and_no_other_driver_is_asked() -> None:
    preferences = FakePreferences(("CUDA", "OPTIX", "HIP"), {"CUDA": 2, "OPTIX": 2, "HIP": 1})
    assert [gpu.id for gpu in find_gpus(preferences, "OPTIX")] == ["OPTIX_0", "OPTIX_1"]
    assert [gpu.id for gpu in find_gpus(preferences, "CUDA")] == ["CUDA_0", "CUDA_1"]
    assert preferences.asked == ["OPTIX", "CUDA"]
    assert find_gpus(FakePreferences(("METAL",), {"METAL": 1}), "OPTIX") == []  # a build without it
    assert find_gpus(FakePreferences(("CUDA",), {}), "CUDA") == []


def test_a_worker_uses_its_device_and_nothing_else() -> None:
    preferences = FakePreferences(("CUDA", "OPTIX"), {"CUDA": 2, "OPTIX": 2})
    use_gpu(preferences, find_gpus(preferences, "OPTIX")[1])
    assert [device.id for device in preferences.devices if device.use] == ["OPTIX_1"]
    preferences.installed["OPTIX"] = 1
    with pytest.raises(M3diError, match=r"a GPU that was there is gone(?s:.)*expected: Card \(OPTIX\)"):
        use_gpu(preferences, Gpu("OPTIX", "OPTIX_1", "Card"))
    with pytest.raises(M3diError, match="a GPU that was there is gone"):
        use_gpu(preferences, Gpu("HIP", "HIP_0", "Card"))


def test_devices_are_chosen_by_number() -> None:
    assert choose_gpus(FOUND) == FOUND
    assert choose_gpus(FOUND, (2, 0, 2)) == [FOUND[2], FOUND[0]]
    with pytest.raises(UsageError, match=r"there is no GPU 4(?s:.)*0: Card \(CUDA\); 1: Card"):
        choose_gpus(FOUND, (0, 4))
    with pytest.raises(M3diError, match=r"finds no GPU(?s:.)*OPTIX, CUDA, HIP, ONEAPI, METAL(?s:.)*graphics"):
        choose_gpus([])
    with pytest.raises(M3diError, match=r"--gpu-backend optix(?s:.)*no device for OPTIX"):
        choose_gpus([], backend="OPTIX")


def test_a_device_says_where_it_sits(monkeypatch: pytest.MonkeyPatch) -> None:
    card = Gpu("OPTIX", "CUDA_NVIDIA H100 80GB HBM3_0000:C1:00_OptiX", "NVIDIA H100 80GB HBM3")
    assert str(card) == "NVIDIA H100 80GB HBM3 (OPTIX, PCI 0000:c1:00)"
    assert str(FOUND[0]) == "Card (CUDA)"
    monkeypatch.setenv("PATH", "")
    assert driver_version("CUDA") == ""
    assert card.described() == "NVIDIA H100 80GB HBM3 (OPTIX)"


def test_the_driver_is_read_from_its_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 580.159.04\necho 580.159.04\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert Gpu("CUDA", "CUDA_x", "Card").described() == "Card (CUDA, driver 580.159.04)"


@pytest.mark.parametrize(
    ("line", "is_one"),
    [
        ("Error: System is out of GPU memory", True),
        ("Error: System is out of GPU and shared host memory", True),
        ("CUDA_ERROR_OUT_OF_MEMORY in cuMemAlloc", True),
        ("Error: Failed to open file", False),
    ],
)
def test_what_means_that_the_memory_is_used_up(line: str, is_one: bool) -> None:
    assert is_out_of_memory(["Fra:1", line]) is is_one


def test_drivers_keep_compiled_kernels_where_it_can_be_written(tmp_path: Path) -> None:
    home, closed = tmp_path / "home", tmp_path / "closed"
    home.mkdir()
    closed.write_text("no folder")
    at_home = gpu_environment({"HOME": str(home)})
    assert "CUDA_CACHE_PATH" not in at_home
    assert float(at_home["CYCLES_CONCURRENT_STATES_FACTOR"]) < 1
    assert int(at_home["CUDA_CACHE_MAXSIZE"]) >= 2**30
    for environment in ({}, {"HOME": str(closed)}):
        assert "cuda" in gpu_environment(environment)["CUDA_CACHE_PATH"]
    assert gpu_environment({"HOME": str(home), "CUDA_CACHE_MAXSIZE": "5"}).get("CUDA_CACHE_MAXSIZE") is None


def test_workers_are_dealt_out_in_turn() -> None:
    assert assign_gpus(FOUND, None, n_cores=8) == FOUND
    assert assign_gpus(FOUND[:2], None, n_cores=9) == FOUND[:2] * 2
    assert assign_gpus(FOUND[:1], None, n_cores=1) == FOUND[:1]
    assert assign_gpus(FOUND[:2], 5, n_cores=1) == [FOUND[0], FOUND[1], FOUND[0], FOUND[1], FOUND[0]]
    with pytest.raises(UsageError, match=r"a GPU needs a worker of its own(?s:.)*--workers(?s:.)*4 or more"):
        assign_gpus(FOUND, 3, n_cores=64)
    assert default_workers_per_gpu(64, 1) == default_workers_per_gpu(64, 2) == 8
    assert default_workers_per_gpu(16, 1) == 8
