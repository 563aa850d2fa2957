from __future__ import annotations

import zlib
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from m3di import data
from m3di.errors import M3diError
from m3di.render import RenderSettings
from m3di.render.image import encode_png
from m3di.repair import repair
from tests.conftest import FakePool, write_fake_dataset
from tests.test_generate import bytes_of


class FakeRenderPool(FakePool):
    """Takes the place of `RenderPool`."""

    made: ClassVar[list[FakeRenderPool]] = []

    def __init__(self, settings: RenderSettings, n_workers: int) -> None:
        super().__init__(settings.size_px)
        self.made.append(self)

    def __enter__(self) -> FakeRenderPool:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def check(self) -> None:
        pass


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> list[FakeRenderPool]:
    monkeypatch.setattr("m3di.repair.RenderPool", FakeRenderPool)
    monkeypatch.setattr(FakeRenderPool, "made", [])
    return FakeRenderPool.made


def test_repair_renders_what_is_bad_and_nothing_else(tmp_path: Path, pools: list[FakeRenderPool]) -> None:
    root = write_fake_dataset(tmp_path / "it", interventions=("object_shape=cow",))
    whole = bytes_of(root)
    assert repair(root) == []
    raw = bytearray(whole["train-00001.tar"])
    raw[1000] ^= 1
    (root / "train-00001.tar").write_bytes(raw)
    (root / "test.parquet").write_bytes(b"")
    (root / "README.md").unlink()
    (root / "val-00004.tar").write_bytes(b"foreign")
    assert repair(root) == ["README.md", "test.parquet", "train-00001.tar", "val-00004.tar"]
    assert bytes_of(root) == whole
    assert [pool.n_rendered for pool in pools] == [1]
    (root / "val.parquet").unlink()
    assert repair(root) == ["val.parquet"]
    assert bytes_of(root) == whole
    assert len(pools) == 1


def place(root: Path, key: str, extension: str) -> tuple[int, int]:
    """First byte and number of bytes of a file in the second shard."""
    members = {sample.key: sample.members for sample in data.read_shard(root / "train-00001.tar")}
    return members[key][extension].offset, members[key][extension].size


@pytest.mark.parametrize("table_is_sound", [True, False])
@pytest.mark.parametrize(
    ("damage", "n_rendered", "n_without_table"),
    [
        ("two images", 2, 2),
        ("one caption", 0, 0),
        ("latents", 0, 1),
        ("header of the fourth image", 0, 5),
        ("cut off in the sixth image", 3, 3),
        ("missing", 8, 8),
        ("another image in its place", 8, 8),
    ],
)
def test_good_images_of_a_bad_shard_are_kept(
    tmp_path: Path,
    pools: list[FakeRenderPool],
    damage: str,
    n_rendered: int,
    n_without_table: int,
    table_is_sound: bool,
) -> None:
    root = write_fake_dataset(tmp_path / "it")
    whole = bytes_of(root)
    path, raw = root / "train-00001.tar", bytearray(whole["train-00001.tar"])  # samples 8 to 15
    if damage == "two images":
        for key in ("000000009", "000000012"):
            raw[place(root, key, "png")[0] + 200] ^= 4
    elif damage == "one caption":
        raw[place(root, "000000010", "txt")[0]] ^= 1
    elif damage == "latents":
        raw[place(root, "000000010", "json")[0]] ^= 1
    elif damage == "header of the fourth image":
        raw[place(root, "000000011", "png")[0] - 500] ^= 1
    elif damage == "cut off in the sixth image":
        del raw[place(root, "000000013", "png")[0] + 100 :]
    elif (
        damage == "another image in its place"
    ):  # every checksum inside the shard holds: only that of the shard does not
        offset, size = place(root, "000000014", "png")
        other = encode_png(np.zeros((32, 32, 3), np.uint8))
        comment = b"tEXt" + b"a" * (size - len(other) - 12)
        chunk = (len(comment) - 4).to_bytes(4, "big") + comment + zlib.crc32(comment).to_bytes(4, "big")
        raw[offset : offset + size] = other[:33] + chunk + other[33:]
    path.write_bytes(raw)
    if damage == "missing":
        path.unlink()
    if not table_is_sound:
        (root / "train.parquet").write_bytes(b"")
    repair(root)
    assert bytes_of(root) == whole
    assert sum(pool.n_rendered for pool in pools) == (n_rendered if table_is_sound else n_without_table)


def test_a_repair_that_was_interrupted(
    tmp_path: Path, pools: list[FakeRenderPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_fake_dataset(tmp_path / "it")
    whole = bytes_of(root)
    raw = bytearray(whole["train-00001.tar"])
    for key in ("000000009", "000000012"):
        raw[place(root, key, "png")[0] + 200] ^= 4
    (root / "train-00001.tar").write_bytes(raw)
    with monkeypatch.context() as patch:
        patch.setattr(FakeRenderPool, "check", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            repair(root)
    assert not (root / "train-00001.tar").exists()
    repair(root)
    assert bytes_of(root) == whole
    assert pools[-1].n_rendered == 2


def test_what_cannot_be_repaired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_fake_dataset(tmp_path / "it")
    manifest = data.read_manifest(root)
    (root / "val-00000.tar").unlink()
    with monkeypatch.context() as patch:
        patch.setattr("m3di.repair.version", lambda _: "9.9")
        with pytest.raises(M3diError, match=r"other versions rendered this dataset(?s:.)*bpy 9\.9"):
            repair(root)
    data.write_manifest(root, manifest.model_copy(update={"source": "imported"}))
    with pytest.raises(M3diError, match=r"was imported cannot be rendered anew(?s:.)*val-00000\.tar: missing"):
        repair(root)
    (root / "dataset.json").write_text((root / "dataset.json").read_text().replace('"seed": 0', '"seed": 1'))
    with pytest.raises(M3diError, match="the manifest is damaged"):
        repair(root)
