"""Batches for a device: read ahead by threads, in page-locked memory where a GPU takes them.

Threads rather than processes: reading and decoding let go of Python's lock, and nothing goes through shared memory, of
which containers have little (64 MB in Docker unless told otherwise; a batch of 256 images of 224 px has 38.5 MB).
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from m3di.data import read_ahead
from m3di.learn.choices import WorkerKind
from m3di.learn.training.inputs import Batch, PairedDataset

MOST_WORKERS = 8  # by default; a core decodes about 1,750 images/s of 224 px, so these should keep one GPU busy
SPARE = 2  # batches that wait, read, beside those being read


def n_cores() -> int:
    """Processor cores that this process may use, shared out evenly where torchrun started several on this machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def resolve_workers(n_workers: int | None, device: str, dataset: PairedDataset, kind: WorkerKind = "threads") -> int:
    """How many workers load: what was asked for, or by default what suits the device and the dataset.

    On the CPU none do, since training needs all cores itself. For a GPU, 8 or all cores but one; a single thread where
    the dataset does not say that several may read it at once (`thread_safe`). Processes have a copy each.
    """
    if n_workers is not None:
        return n_workers
    if torch.device(device).type == "cpu":
        return 0
    may_be_several = kind == "processes" or getattr(dataset, "thread_safe", False)
    return min(MOST_WORKERS, max(1, n_cores() - 1)) if may_be_several else 1


def batch_loader(
    dataset: PairedDataset,
    views: Sequence[str],
    order: Iterable[list[int]],
    *,
    n_workers: int,
    device: torch.device,
    kind: WorkerKind = "threads",
) -> Generator[Batch, None, None]:
    """The chosen views of one batch a list of indices, in their order; equal bytes for any number of workers.

    Close it where it is left before its end, and its threads end with it.

    Args:
        dataset: What to read.
        views: Names of its views.
        order: Lists of indices.
        n_workers: Workers that read ahead; with 0 a batch is read when it is asked for.
        device: Where batches go; for a GPU they are in page-locked memory.
        kind: "threads", or "processes": for datasets that only one thread may read, or whose Python code is slow.
    """
    read = partial(_read, dataset, tuple(views))
    if kind == "processes" and n_workers > 0:
        yield from _from_processes(_Views(dataset, views), order, n_workers, pin=device.type == "cuda")
        return
    take = (lambda indices: pinned(read(indices))) if device.type == "cuda" else read
    if n_workers == 0:
        yield from map(take, order)
        return
    start = None
    if device.type == "cuda":
        # A new thread stands at GPU 0, and page-locked memory would open that one in every process of torchrun.
        number = torch.cuda.current_device() if device.index is None else device.index
        start = partial(torch.cuda.set_device, number)
    yield from read_ahead(take, order, n_threads=n_workers, n_ahead=n_workers + SPARE, start=start)


def pinned(batch: Batch) -> Batch:
    """A copy in page-locked memory, laid out as it was, from which a GPU can copy by itself.

    Each batch has memory of its own: torch gives it out again once the batch is gone *and* the copies from it are done.
    NumPy copies, in this thread alone; torch would take all cores for it, in each of the loader's threads.
    """
    return {view: _pinned(each) for view, each in batch.items()}


def _pinned(tensor: Tensor) -> Tensor:
    copy = torch.empty_strided(tensor.size(), tensor.stride(), dtype=tensor.dtype, pin_memory=True)
    np.copyto(copy.numpy(), tensor.numpy())
    return copy


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The batch on a device; copies from page-locked memory do not wait."""
    return {view: each.to(device, non_blocking=True) for view, each in batch.items()}


def _read(dataset: PairedDataset, views: tuple[str, ...], indices: list[int]) -> Batch:
    batch = dataset[indices]
    return {view: batch[view] for view in views}


class _Views(Dataset[Batch]):
    """The chosen views of whole batches; captions and latents need not cross from process to process."""

    def __init__(self, dataset: PairedDataset, views: Sequence[str]) -> None:
        self.dataset, self.views = dataset, tuple(views)

    def __getitem__(self, indices: Any) -> Batch:
        return _read(self.dataset, self.views, indices)


def _from_processes(views: _Views, order: Iterable[list[int]], n_workers: int, *, pin: bool) -> DataLoader[Batch]:
    return DataLoader(
        views,
        batch_size=None,
        sampler=order,
        num_workers=n_workers,
        pin_memory=pin,
        persistent_workers=True,
        # Worker seeds come from here rather than from the process-wide generator.
        generator=torch.Generator().manual_seed(0),
    )
