"""Choice of GPUs, against stand-ins for what Blender tells of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from m3di.errors import M3diError, UsageError
from m3di.render.gpu import Gpu, choose_gpus, deal, find_gpus, use_gpu

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

    @property
    def compute_device_type(self) -> str:
        return self.chosen

    @compute_device_type.setter
    def compute_device_type(self, backend: str) -> None:
        if backend not in self.built:
            raise TypeError(f'enum "{backend}" not found')
        self.chosen = backend

    def refresh_devices(self) -> None:
        n = self.installed.get(self.chosen, 0)
        self.devices = [FakeDevice(self.chosen, f"{self.chosen}_{index}") for index in range(n)]
        self.devices.append(FakeDevice("CPU", "CPU", use=True))


def test_the_best_back_end_with_a_device_is_taken_with_all_its_devices() -> None:
    preferences = FakePreferences(("CUDA", "OPTIX", "HIP"), {"CUDA": 2, "OPTIX": 2, "HIP": 1})
    assert [gpu.id for gpu in find_gpus(preferences)] == ["OPTIX_0", "OPTIX_1"]
    preferences.installed["OPTIX"] = 0
    assert [gpu.id for gpu in find_gpus(preferences)] == ["CUDA_0", "CUDA_1"]
    assert [gpu.id for gpu in find_gpus(FakePreferences(("METAL",), {"METAL": 1}))] == ["METAL_0"]
    assert [gpu.id for gpu in find_gpus(FakePreferences(("ONEAPI", "HIP"), {"ONEAPI": 1}))] == ["ONEAPI_0"]
    assert find_gpus(FakePreferences(("CUDA",), {})) == []


def test_a_worker_uses_its_device_and_nothing_else() -> None:
    preferences = FakePreferences(("CUDA", "OPTIX"), {"CUDA": 2, "OPTIX": 2})
    use_gpu(preferences, find_gpus(preferences)[1])
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
    with pytest.raises(M3diError, match=r"finds no GPU(?s:.)*OPTIX, CUDA, HIP, ONEAPI, METAL"):
        choose_gpus([])


def test_workers_are_dealt_out_in_turn() -> None:
    assert deal(FOUND, None) == FOUND
    assert deal(FOUND[:2], 5) == [FOUND[0], FOUND[1], FOUND[0], FOUND[1], FOUND[0]]
    with pytest.raises(UsageError, match=r"a GPU needs a worker of its own(?s:.)*--workers(?s:.)*4 or more"):
        deal(FOUND, 3)
