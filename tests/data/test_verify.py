from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from m3di.data import verify
from m3di.errors import M3diError


@pytest.fixture
def copy(fake_dataset: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(fake_dataset, tmp_path / "copy"))


def test_a_sound_dataset(fake_dataset: Path) -> None:
    assert verify(fake_dataset).n_samples == {"train": 20, "val": 4, "test": 4}


@pytest.mark.parametrize("name", ["train-00001.tar", "test-00000.tar", "val.parquet"])
def test_a_flipped_byte_is_found_and_its_file_named(copy: Path, name: str) -> None:
    raw = bytearray((copy / name).read_bytes())
    raw[len(raw) // 2] ^= 1
    (copy / name).write_bytes(raw)
    with pytest.raises(M3diError, match=rf"1 of its files(?s:.)*{name}: sha256"):
        verify(copy)


def test_missing_short_and_foreign_files_in_one_report(copy: Path) -> None:
    (copy / "train-00000.tar").unlink()
    raw = (copy / "train-00001.tar").read_bytes()
    (copy / "train-00001.tar").write_bytes(raw[:-1])
    shutil.copy(copy / "val-00000.tar", copy / "val-00007.tar")
    with pytest.raises(M3diError, match=r"3 of its files") as error:
        verify(copy)
    assert "train-00000.tar: missing" in str(error.value)
    assert f"train-00001.tar: {len(raw) - 1} bytes, expected {len(raw)}" in str(error.value)
    assert "val-00007.tar: not part of the dataset" in str(error.value)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (("splits", "train", "n_samples"), "the shards of train hold 20 samples"),
        (("splits", "train", "shards", 0, "n_samples"), "train-00000.tar: 8 samples, expected 9"),
        (("splits", "val", "table", "n_samples"), "val.parquet: 4 rows, expected 5"),
    ],
)
def test_counts_are_recomputed(copy: Path, place: tuple[str | int, ...], message: str) -> None:
    data = json.loads((copy / "dataset.json").read_text())
    entry = data
    for key in place[:-1]:
        entry = entry[key]
    entry[place[-1]] += 1
    (copy / "dataset.json").write_text(json.dumps(data))
    if place[-2] == "train":
        data["n_samples"]["train"] += 1
        (copy / "dataset.json").write_text(json.dumps(data))
    with pytest.raises(M3diError, match=message):
        verify(copy)


def test_members_are_checked(copy: Path) -> None:
    data = json.loads((copy / "dataset.json").read_text())
    data["extensions"]["image"] = "webp"
    (copy / "dataset.json").write_text(json.dumps(data))
    with pytest.raises(M3diError, match=r"train-00000\.tar: sample 000000000 does not have exactly"):
        verify(copy)
