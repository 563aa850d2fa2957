"""Datasets from strangers: whatever their files say, nothing outside is touched, and each fault is one message."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from m3di import data
from tests.conftest import FakeRenderPool, write_fake_dataset
from tests.data.hostile import run_case

GIGABYTE_KB = 1 << 20
SIZES = {"n_train": 6, "n_val": 2, "n_test": 1, "size_px": 8, "shard_size": 4}


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Read only: rendered, derived, of another seed."""
    folder = tmp_path_factory.mktemp("sound")
    sound = write_fake_dataset(folder / "sound", **SIZES)
    data.subset(sound, folder / "derived", n=5)
    return sound, folder / "derived", write_fake_dataset(folder / "other", seed=1, **SIZES)


def run_cases(numbers: range, datasets: tuple[Path, Path, Path], tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wrong = [each for number in numbers for each in run_case(number, *datasets, tmp_path / str(number))]
    assert not wrong, "\n".join(wrong)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < GIGABYTE_KB


def test_forged_datasets(datasets: tuple[Path, Path, Path], tmp_path: Path, pools: type[FakeRenderPool]) -> None:
    run_cases(range(25), datasets, tmp_path)


@pytest.mark.slow
def test_a_thousand_forged_datasets(
    datasets: tuple[Path, Path, Path], tmp_path: Path, pools: type[FakeRenderPool]
) -> None:
    run_cases(range(1000, 2000), datasets, tmp_path)
