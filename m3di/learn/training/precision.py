"""Precision of a run: what "auto" stands for, and how an NVIDIA GPU multiplies float32 numbers."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from m3di.errors import UsageError

_TF32_SINCE = (8, 0)  # compute capability of the first GPUs that have it, Ampere


def resolve_precision(precision: str, device: str) -> str:
    """Return the precision that "auto" stands for: bf16 if the device computes faster in it than in float32.

    Raises:
        UsageError: "tf32" was asked for where there is none.
    """
    if precision == "tf32":
        _check_tf32(device)
    if precision != "auto":
        return precision
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if _cpu_has_bf16() else "fp32"


def _check_tf32(device: str) -> None:
    capability = torch.cuda.get_device_capability() if device == "cuda" else None
    if capability is None or capability < _TF32_SINCE:
        raise UsageError(
            "tf32 is a precision of NVIDIA GPUs from Ampere on",
            where="precision",
            got=device if capability is None else f"a GPU of compute capability {'.'.join(map(str, capability))}",
            expected="compute capability 8.0 or more",
            next_step="use precision 'fp32' or 'auto'",
        )


def _cpu_has_bf16() -> bool:
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:  # noqa: PTH123 (not a file of ours)
            flags = next((line for line in file if line.startswith("flags")), "")
    except OSError:  # not Linux: unknown, so the precision that is right everywhere
        return False
    return bool({"avx512_bf16", "amx_bf16"} & set(flags.split()))


@contextmanager
def float32_products(precision: str, device: str) -> Iterator[None]:
    """Have convolutions and matrix products of float32 numbers on a GPU computed as the precision says, within.

    Only "tf32" rounds their factors to TF32's 10 bits; else they are IEEE float32, also in convolutions, which torch
    by itself computes in TF32. What was set before is set again afterwards. Nothing is set for the CPU.
    """
    if device != "cuda":
        yield
        return
    before = _Switches()
    try:
        _set_tf32(precision == "tf32")
        yield
    finally:
        before.restore()


@contextmanager
def exact_products(device: str) -> Iterator[None]:
    """IEEE float32 products on a GPU within, for what TF32 is too coarse for: distances that cancel."""
    if device != "cuda" or not _is_tf32():
        yield
        return
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = True


def _is_tf32() -> bool:
    matmul: Any = torch.backends.cuda.matmul
    return matmul.fp32_precision == "tf32" if _has_words() else matmul.allow_tf32


def _has_words() -> bool:
    """Whether torch knows `fp32_precision`, from 2.9 on, beside the older `allow_tf32`."""
    return hasattr(torch.backends.cudnn, "conv")


def _set_tf32(on: bool) -> None:
    # The older switch sets the newer one too, not the other way round: torch.compile of torch 2.9 to 2.11 reads the
    # older and fails where the newer says otherwise (pytorch/pytorch#166387).
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch 2.9 announces that the older one will go
        torch.backends.cuda.matmul.allow_tf32 = on
        torch.backends.cudnn.allow_tf32 = on


class _Switches:
    """How the process has its float32 products computed, to be put back."""

    def __init__(self) -> None:
        self._words: dict[Any, str] = {}
        if _has_words():
            backends: Any = torch.backends
            modules = (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn)
            self._words = {module: module.fp32_precision for module in modules}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                self._older: tuple[bool, bool] | None = (
                    torch.backends.cuda.matmul.allow_tf32,
                    torch.backends.cudnn.allow_tf32,
                )
            except RuntimeError:  # the two were set to contradict each other, which torch does not read
                self._older = None

    def restore(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if self._older is not None:
                torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = self._older
        for module, word in self._words.items():
            module.fp32_precision = word
