"""Long work on a dataset tells how far it is: every sample or image once, in order, and all at the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from m3di.data import export, import_published, merge, subset, verify
from m3di.errors import DataError
from tests.conftest import write_fake_dataset

Counts = list[tuple[int, int]]


def all_of(n: int) -> Counts:
    return [(done, n) for done in range(1, n + 1)]


def test_verify_counts_samples(fake_dataset: Path) -> None:
    counts: Counts = []
    verify(fake_dataset, count=lambda done, total: counts.append((done, total)))
    assert [done for done, _ in counts] == sorted(done for done, _ in counts)
    assert sorted(set(counts)) == all_of(28)
    counts.clear()
    verify(fake_dataset, quick=True, count=lambda done, total: counts.append((done, total)))
    assert counts == [(8, 28), (16, 28), (20, 28), (24, 28), (28, 28)]  # shard by shard


def test_verify_counts_what_it_cannot_read(tmp_path: Path) -> None:
    out = write_fake_dataset(tmp_path / "it")
    (out / "train-00000.tar").write_bytes(b"")
    counts: Counts = []
    problems: list[str] = []
    with pytest.raises(DataError, match="the dataset is damaged"):
        verify(out, on_problem=lambda each: problems.append(each.file), count=lambda *each: counts.append(each))
    assert problems == ["train-00000.tar"]
    assert counts[0] == (8, 28)
    assert counts[-1] == (28, 28)


@pytest.mark.slow
def test_export_import_subset_and_merge_count(fake_dataset: Path, tmp_path: Path) -> None:
    counts: Counts = []

    def count(done: int, total: int) -> None:
        counts.append((done, total))

    export(fake_dataset, "upstream", tmp_path / "up", on_note=lambda note: None, count=count)
    assert counts == all_of(28)
    counts.clear()
    export(fake_dataset, "imagefolder", tmp_path / "folder", count=count)
    assert counts == all_of(28)
    counts.clear()
    import_published(tmp_path / "up", tmp_path / "back", count=count)
    assert counts == all_of(28)
    counts.clear()
    subset(fake_dataset, tmp_path / "a", where="image.object_xpos == 0", count=count)
    n = len(counts)
    assert 0 < n < 28
    assert counts == all_of(n)
    counts.clear()
    seeded = write_fake_dataset(tmp_path / "seeded", seed=1)
    merge((fake_dataset, seeded), tmp_path / "both", count)
    assert counts == all_of(56)
