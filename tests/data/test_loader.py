"""Batches read ahead by threads are those of the order, and the order knows what was used."""

from __future__ import annotations

import threading
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from m3di import Multimodal3DIdent
from m3di.data import Batches, BatchLoader
from m3di.errors import M3diError, UsageError


def captions_of(batches: Any) -> list[list[str]]:
    return [batch["caption"] for batch in batches]


@pytest.mark.parametrize("n_threads", [0, 1, 3])
@pytest.mark.parametrize("cache", [None, "ram"])
def test_threads_change_nothing(
    fake_dataset: Path, n_threads: int, cache: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("m3di.data.storage.places.MAX_OPEN", 1)  # every thread closes what the others read
    dataset = Multimodal3DIdent(fake_dataset, cache=cache)
    everything = dataset[:]["image"]
    loader = BatchLoader(dataset, Batches(dataset, 3, seed=5), n_threads=n_threads)
    expected = Batches(dataset, 3, seed=5)
    for _ in range(8):
        batches = list(loader)
        assert len(batches) == len(loader) == 7
        for batch, indices in zip(batches, expected, strict=True):
            assert torch.equal(batch["image"], everything[indices])
            assert batch["caption"] == dataset[indices]["caption"]


@pytest.mark.parametrize("stop", [1, 3, 7, 9])
def test_what_is_read_ahead_does_not_count(fake_dataset: Path, stop: int) -> None:
    dataset = Multimodal3DIdent(fake_dataset)
    whole = captions_of(list(BatchLoader(dataset, batches := Batches(dataset, 3), n_threads=2)))
    whole += captions_of(list(BatchLoader(dataset, batches)))
    before = Batches(dataset, 3)
    loader = BatchLoader(dataset, before, n_threads=2)
    head: list[list[str]] = []
    while len(head) < stop:
        head += captions_of(islice(loader, stop - len(head)))
    assert head == whole[:stop]
    after = Batches(dataset, 3)
    after.load_state_dict(before.state_dict())
    tail = captions_of(BatchLoader(dataset, after, n_threads=2))
    assert tail == whole[stop : 7 if stop < 7 else 14]


def test_an_epoch_left_in_the_middle_leaves_no_thread(fake_dataset: Path) -> None:
    dataset = Multimodal3DIdent(fake_dataset)
    rest = iter(BatchLoader(dataset, Batches(dataset, 2), n_threads=2))
    next(rest)
    assert any(thread.name.startswith("m3di-loader") for thread in threading.enumerate())
    rest.close()  # type: ignore[attr-defined]
    assert not any(thread.name.startswith("m3di-loader") for thread in threading.enumerate())


def test_errors_arrive_where_the_batch_is_used(fake_dataset: Path) -> None:
    dataset = Multimodal3DIdent(fake_dataset)
    dataset._files.read = lambda row, view: b""  # type: ignore[method-assign]
    loader = BatchLoader(dataset, Batches(dataset, 4, shuffle=False), n_threads=2)
    with pytest.raises(M3diError, match="sample 0 of split 'train' cannot be read"):
        list(loader)


@pytest.mark.parametrize(("name", "value"), [("n_threads", -1), ("n_ahead", 0)])
def test_numbers_that_are_too_small(fake_dataset: Path, name: str, value: int) -> None:
    dataset = Multimodal3DIdent(fake_dataset)
    with pytest.raises(UsageError, match=f"{name} is too small"):
        BatchLoader(dataset, Batches(dataset, 4), **{name: value})  # type: ignore[arg-type]
