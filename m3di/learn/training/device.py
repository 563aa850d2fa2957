"""Choose the device of a training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from m3di.errors import UsageError


def resolve_device(device: str) -> str:
    """Return the device, "cpu" or "cuda", that "auto" stands for.

    Raises:
        UsageError: "cuda" was asked for where there is none.
    """
    has_cuda = torch.cuda.is_available()
    if device == "auto":
        return "cuda" if has_cuda else "cpu"
    if device == "cuda" and not has_cuda:
        raise UsageError(
            "cuda was asked for, but torch finds no CUDA device",
            where="device",
            got=f"torch {torch.__version__}",
            expected="a CUDA build of torch and an NVIDIA GPU",
            next_step="use device 'auto' or 'cpu'",
        )
    return device


@contextmanager
def tuned_convolutions(device: str) -> Iterator[None]:
    """Let cuDNN try its algorithms for each shape and keep the fastest, within: for batches that all have one shape."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = before or device == "cuda"
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
