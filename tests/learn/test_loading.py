"""Batches for a device: the same for any number of workers of any kind, read ahead, and nothing left running."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from itertools import islice

import pytest
import torch

from m3di import Multimodal3DIdent
from m3di.data import Tokenizer
from m3di.errors import M3diError, UsageError
from m3di.learn import TrainConfig, train_on
from m3di.learn.training import loading as module
from m3di.learn.training.inputs import TrainingOrder
from m3di.learn.training.loading import batch_loader, n_cores, pinned, resolve_workers, to_device

CPU = torch.device("cpu")
TINY = TrainConfig(
    n_steps=9,
    batch_size=4,
    hidden_size=8,
    image_encoder="tiny-bn",
    text_encoder="tiny",
    precision="fp32",
    checkpoint_every=2,
    val_every=4,
    tensorboard=False,
)
FORKS = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")  # Python 3.12 and later


def loader_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("m3di-loader")]


@pytest.mark.parametrize("n_workers", [0, 1, 3])
def test_batches_are_those_of_the_order(make_pairs, n_workers):
    pairs = make_pairs(n_samples=17)
    order = list(TrainingOrder(17, 4, 11, seed=2))
    loaded = list(batch_loader(pairs, ("text", "image"), order, n_workers=n_workers, device=CPU))
    assert len(loaded) == 11
    for batch, indices in zip(loaded, order, strict=True):
        assert list(batch) == ["text", "image"]
        assert torch.equal(batch["image"], pairs.images[indices])
        assert torch.equal(batch["text"], pairs.texts[indices])
    assert loader_threads() == []


@pytest.mark.slow
@FORKS
def test_batches_from_processes_are_the_same(make_pairs):
    pairs = make_pairs()
    order = list(TrainingOrder(16, 4, 5, seed=2))
    loaded = list(batch_loader(pairs, ("image",), order, n_workers=2, device=CPU, kind="processes"))
    assert all(torch.equal(batch["image"], pairs.images[each]) for batch, each in zip(loaded, order, strict=True))


def test_a_dataset_on_disk_gives_the_same_to_any_number_of_threads(fake_dataset):
    dataset = Multimodal3DIdent(fake_dataset)
    order = list(TrainingOrder(20, 6, 13, seed=1))
    few, many = (list(batch_loader(dataset, ("image", "text"), order, n_workers=n, device=CPU)) for n in (0, 4))
    for one, other in zip(few, many, strict=True):
        assert torch.equal(one["image"], other["image"]) and torch.equal(one["text"], other["text"])
        assert other["image"].is_contiguous(memory_format=torch.channels_last)


def test_only_so_many_batches_are_read_ahead(make_pairs):
    class Counting(make_pairs):
        def __getitem__(self, index):
            read.append(index)
            return super().__getitem__(index)

    read: list[object] = []
    order = [[number] for number in range(16)]
    batches = batch_loader(Counting(), ("image",), order, n_workers=2, device=CPU)
    next(batches)
    until = time.monotonic() + 10
    while len(read) < 4 and time.monotonic() < until:
        time.sleep(0.005)
    time.sleep(0.05)
    assert len(read) == 2 + module.SPARE
    assert len(loader_threads()) == 2
    batches.close()
    assert loader_threads() == []


def test_an_error_arrives_where_its_batch_is_due(make_pairs):
    class Broken(make_pairs):
        def __getitem__(self, index):
            if 5 in index:
                raise M3diError("sample 5 cannot be read")
            return super().__getitem__(index)

    batches = batch_loader(Broken(), ("image",), [[1], [2], [5], [6]], n_workers=3, device=CPU)
    assert len(list(islice(batches, 2))) == 2
    with pytest.raises(M3diError, match="sample 5 cannot be read"):
        next(batches)
    assert loader_threads() == []


def test_how_many_workers_there_are_by_default(make_pairs, fake_dataset, monkeypatch):
    ours, theirs = Multimodal3DIdent(fake_dataset), make_pairs()
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    for cores, expected in ((1, 1), (2, 1), (6, 5), (9, 8), (64, 8)):
        monkeypatch.setattr("os.sched_getaffinity", lambda _pid, n=cores: set(range(n)), raising=False)
        assert n_cores() == cores
        assert resolve_workers(None, "cuda", ours) == expected
        assert resolve_workers(None, "cuda", theirs) == 1  # it does not say that several threads may read it
        assert resolve_workers(None, "cuda", theirs, "processes") == expected  # each has one of its own
        assert resolve_workers(None, "cpu", ours) == resolve_workers(None, "cpu", ours, "processes") == 0
        assert resolve_workers(3, "cpu", theirs) == resolve_workers(3, "cuda", theirs) == 3
        assert resolve_workers(0, "cuda", ours) == 0
    theirs.thread_safe = True
    assert resolve_workers(None, "cuda", theirs) == 8
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "16")  # 4 cores for each of torchrun's processes
    assert resolve_workers(None, "cuda", ours) == 3


def test_functions_of_yours_are_not_called_by_several_threads_unasked(fake_dataset):
    assert Multimodal3DIdent(fake_dataset).thread_safe
    assert not Multimodal3DIdent(fake_dataset, transform=lambda image: image).thread_safe
    assert not Multimodal3DIdent(fake_dataset, target_transform=lambda z: z).thread_safe

    class Mine(Tokenizer):
        """Counts how often it was called, without a lock."""

    known = Multimodal3DIdent(fake_dataset).tokenizer
    mine = Mine(known.vocabulary, known.length)
    assert not Multimodal3DIdent(fake_dataset, tokenizer=mine).thread_safe
    assert Multimodal3DIdent(fake_dataset, tokenizer=known).thread_safe


class Locks:
    """Stands in for the only part of torch that a machine without a GPU cannot do: to lock pages."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.n, whole = 0, torch.empty_strided

        def empty_strided(*arguments, pin_memory, **options):
            self.n += pin_memory
            return whole(*arguments, **options)

        monkeypatch.setattr(torch, "empty_strided", empty_strided)


def test_page_locked_copies_have_the_layout_of_the_batch(monkeypatch):
    locks = Locks(monkeypatch)
    images = torch.randint(0, 255, (3, 5, 7, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    tokens = torch.arange(12).view(4, 3).T
    copies = pinned({"image": images, "text": tokens})
    assert locks.n == 2
    for copy, original in ((copies["image"], images), (copies["text"], tokens)):
        assert torch.equal(copy, original)
        assert (copy.stride(), copy.dtype) == (original.stride(), original.dtype)
        assert copy.data_ptr() != original.data_ptr()


@pytest.mark.parametrize(("device", "number"), [(torch.device("cuda", 3), 3), (torch.device("cuda"), 1)])
def test_threads_stand_at_the_gpu_of_the_process(make_pairs, monkeypatch, device, number):
    locks, stood = Locks(monkeypatch), []
    monkeypatch.setattr("torch.cuda.current_device", lambda: 1)
    monkeypatch.setattr("torch.cuda.set_device", lambda each: stood.append((threading.current_thread().name, each)))
    loaded = list(batch_loader(make_pairs(), ("image", "text"), [[1], [2], [3]], n_workers=1, device=device))
    assert stood == [("m3di-loader_0", number)]
    assert locks.n == 6
    assert torch.equal(to_device(loaded[1], CPU)["image"], make_pairs().images[[2]])


@pytest.mark.parametrize("n_workers", [1, 4])
def test_a_killed_run_with_threads_goes_on_to_the_weights_of_one_without(make_pairs, tiny_encoder, tmp_path, n_workers):
    whole = train_on(make_pairs(), tmp_path / "whole", TINY, val=make_pairs(9))

    class Killed(Exception):
        pass

    def kill(step, _loss):
        if step == 5:
            raise Killed

    config = replace(TINY, n_workers=n_workers)
    with pytest.raises(Killed):
        train_on(make_pairs(), tmp_path / "run", config, kill, val=make_pairs(9))
    assert loader_threads() == []
    again = train_on(make_pairs(), tmp_path / "run", config, val=make_pairs(9))
    assert loader_threads() == []
    assert (again.final_loss, again.val_loss) == (whole.final_loss, whole.val_loss)
    files = [sorted((tmp_path / name / "checkpoint").rglob("*_encoder.safetensors")) for name in ("whole", "run")]
    assert [path.read_bytes() for path in files[0]] == [path.read_bytes() for path in files[1]]


def test_validation_is_read_by_the_same_workers(make_pairs, tiny_encoder, tmp_path):
    class Named(make_pairs):
        def __getitem__(self, index):
            if isinstance(index, list):
                readers.add(threading.current_thread().name.rstrip("0123456789"))
            return super().__getitem__(index)

    readers: set[str] = set()
    config = replace(TINY, n_steps=2, n_workers=2)
    train_on(make_pairs(), tmp_path, config, val=Named(9))
    assert readers == {"m3di-loader_"}


def test_an_unknown_kind_of_workers():
    with pytest.raises(UsageError, match=r"unknown kind of workers(?s:.)*did you mean 'threads'"):
        replace(TINY, worker_kind="thread")
