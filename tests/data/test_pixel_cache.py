"""A cache gives the pixels that were put into it, or none, whoever else writes and whatever has its number now."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from m3di import Multimodal3DIdent
from m3di.data import export
from m3di.data.load.pixel_cache import PixelCache
from m3di.errors import M3diError

SHAPE = (5, 7)


def image(number: int) -> NDArray[np.uint8]:
    return np.random.default_rng(number).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)


def filled(path: Path | None, n: int = 2000) -> PixelCache:
    cache = PixelCache(path, n, SHAPE)
    for index in (0, 3, n - 1):
        cache.put(index, image(index))
    return cache


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("M3DI_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("kept", [False, True])
def test_what_was_put_is_what_comes(tmp_path: Path, kept: bool) -> None:
    cache = filled(tmp_path / "new" / "it.rgb" if kept else None)
    for each in (cache, pickle.loads(pickle.dumps(cache)), *([filled(cache.path)] if kept else [])):
        assert each.is_filled.sum() == 3
        for indices in ([0], [3, 1999, 0]):
            found = each.get(indices)
            assert found is not None
            np.testing.assert_array_equal(found, [image(index) for index in indices])
        assert each.get([0, 1]) is None
    zeros = np.zeros((*SHAPE, 3), np.uint8)
    cache.put(1, zeros)
    found = cache.get([1])
    assert found is not None and not found.any()


def test_pixels_that_a_power_loss_took_are_not_there(tmp_path: Path) -> None:
    """The page of the flags reached the disk, that of the pixels did not."""
    path = tmp_path / "it.rgb"
    filled(path)
    raw = bytearray(path.read_bytes())
    n_pixels = SHAPE[0] * SHAPE[1] * 3
    start = len(raw) - 2000 * n_pixels
    raw[start + 3 * n_pixels : start + 4 * n_pixels] = bytes(n_pixels)
    path.write_bytes(raw)
    again = PixelCache(path, 2000, SHAPE)
    assert again.get([3]) is None
    assert again.get([0, 1999]) is not None
    again.put(3, image(3))
    found = again.get([3])
    assert found is not None
    np.testing.assert_array_equal(found[0], image(3))


def test_a_file_that_was_cut_off_is_filled_up(tmp_path: Path) -> None:
    path = tmp_path / "it.rgb"
    filled(path)
    os.truncate(path, 8192 + 10)
    again = PixelCache(path, 2000, SHAPE)
    assert path.stat().st_size == again.n_bytes
    assert again.get([0]) is None


PICKLED = """
import pickle, sys
from m3di import Multimodal3DIdent
dataset = Multimodal3DIdent(sys.argv[1], cache="ram")
dataset[:]
pickle.dump(dataset, open(sys.argv[2], "wb"))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_pickle_of_another_process_gives_an_empty_cache(fake_dataset: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", PICKLED, str(fake_dataset), str(tmp_path / "it")], check=True, timeout=120)
    again = pickle.loads((tmp_path / "it").read_bytes())
    assert not again._caches["image"].is_filled.any()
    assert torch.equal(again[:]["image"], Multimodal3DIdent(fake_dataset)[:]["image"])


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("link", ["of a stranger", "of another cache", "to nowhere"])
def test_a_pickle_never_touches_what_has_its_number_now(tmp_path: Path, link: str) -> None:
    """The process that pickled is gone, and its number and its file's are those of others."""
    victim = tmp_path / "victim.bin"
    victim.write_bytes(bytes(1_000_000))
    other = filled(None)
    with victim.open("r+b") as stream:
        links = {"of a stranger": stream.fileno(), "of another cache": other._descriptor, "to nowhere": 99_999}
        gone = filled(None)
        state: dict[str, Any] = gone.__getstate__() | {"link": f"/proc/{os.getpid()}/fd/{links[link]}"}
        again = PixelCache.__new__(PixelCache)
        again.__setstate__(state)
        assert not again.is_filled.any()
        again.put(1, image(1))
    assert victim.read_bytes() == bytes(1_000_000)
    assert other.is_filled.sum() == 3


def test_other_pictures_with_the_same_latents(fake_dataset: Path, tmp_path: Path, home: Path) -> None:
    export(fake_dataset, "upstream", tmp_path / "a")
    for path in [tmp_path / "a" / "m3di.json", *(tmp_path / "a").glob("*/m3di.parquet")]:
        path.unlink()
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    for path in (tmp_path / "b").glob("*/images/*.png"):
        Image.new("RGBA", (32, 32), (255, 0, 0, 255)).save(path)
    shown = Multimodal3DIdent(tmp_path / "a", cache="disk")[:]["image"]
    assert torch.equal(shown, Multimodal3DIdent(fake_dataset)[:]["image"])
    assert Multimodal3DIdent(tmp_path / "b", cache="disk")[0]["image"][:, 0, 0].tolist() == [255, 0, 0]
    n_files = len(list(home.iterdir()))
    assert torch.equal(Multimodal3DIdent(tmp_path / "a", cache="disk")[:]["image"], shown)
    assert len(list(home.iterdir())) == n_files  # the same again: the same file
    first, second = (tmp_path / "a" / "train" / "images" / name for name in ("00.png", "01.png"))
    first.rename(tmp_path / "kept")
    second.rename(first)
    (tmp_path / "kept").rename(second)
    swapped = Multimodal3DIdent(tmp_path / "a", cache="disk")[:]["image"]
    assert torch.equal(swapped[:2], shown[[1, 0]])
    assert torch.equal(swapped[2:], shown[2:])


@pytest.mark.parametrize("blocked", ["the folder", "a folder above", "the file"])
def test_a_blocked_folder_is_one_message(
    fake_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blocked: str
) -> None:
    file = tmp_path / "file"
    file.touch()
    folder = {"the folder": file, "a folder above": file / "below", "the file": tmp_path / "cache"}[blocked]
    monkeypatch.setenv("M3DI_CACHE", str(folder))
    if blocked == "the file":
        Multimodal3DIdent(fake_dataset, cache="disk")
        (path,) = folder.iterdir()
        path.unlink()
        path.mkdir()
    with pytest.raises(M3diError, match=r"cache of decoded images cannot be written(?s:.)*set M3DI_CACHE"):
        Multimodal3DIdent(fake_dataset, cache="disk")


@pytest.mark.parametrize(
    "variables",
    [{"M3DI_CACHE": "~/pictures"}, {"XDG_CACHE_HOME": "~/xdg"}, {"XDG_CACHE_HOME": ""}, {"M3DI_CACHE": "rel"}],
)
def test_where_it_lies(
    fake_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    monkeypatch.delenv("M3DI_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    dataset = Multimodal3DIdent(fake_dataset, cache="disk")
    folder = {"~/pictures": "home/pictures", "~/xdg": "home/xdg/m3di", "": "home/.cache/m3di", "rel": "rel"}
    (path,) = (tmp_path / folder[next(iter(variables.values()))]).iterdir()
    assert dataset._caches["image"].path == path
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert pickle.loads(pickle.dumps(dataset))._caches["image"].path == path
    assert not list((tmp_path / "elsewhere").iterdir())


def test_nobody_is_at_home(fake_dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(self: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("M3DI_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "expanduser", nobody)
    with pytest.raises(M3diError, match=r"no folder for the cache(?s:.)*home directory(?s:.)*set M3DI_CACHE"):
        Multimodal3DIdent(fake_dataset, cache="disk")


def test_a_disk_that_was_full_is_no_cache_later(
    fake_dataset: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.posix_fallocate", full)
        for _ in range(2):  # the first left a file of the right size without any room behind it
            with pytest.raises(M3diError, match="no room for the cache"):
                Multimodal3DIdent(fake_dataset, cache="disk")
    assert not list(home.iterdir())
    Multimodal3DIdent(fake_dataset, cache="disk")


def test_a_disk_that_cannot_reserve_room(fake_dataset: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("os.posix_fallocate", unknown)
    dataset = Multimodal3DIdent(fake_dataset, cache="disk")
    assert torch.equal(dataset[:]["image"], Multimodal3DIdent(fake_dataset)[:]["image"])
