"""Log-sum-exp over rows and columns of a matrix of inner products that is never in memory as a whole.

A block of rows is computed, used and overwritten while it is in the cache; the backward pass computes it again,
which costs less than reading it back from memory. Beside its inputs and outputs, the memory is one block.

Internally, logits are in units of log 2, so that exponentials are powers of two: on the CPU torch computes these faster
than powers of e, and underflows do not slow it down (see `power_of_two_`).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from m3di.learn.training.precision import exact_products

# Entries of a block. On the CPU a block should stay in the last-level cache; on a GPU it should be few launches.
BLOCK_ENTRIES = {"cpu": 2**20, "cuda": 2**27}
LOG2_E, LOG_2 = math.log2(math.e), math.log(2)


def logsumexp_of_products(
    a: Tensor, b: Tensor, *, period: int | None = None, columns: bool = False, block_rows: int | None = None
) -> tuple[Tensor, Tensor]:
    """Log-sum-exp along the rows, and along the columns, of `a @ b.T`.

    Args:
        a: [M, E] float.
        b: [N, E] float; half precision is computed in float32.
        period: Entries (i, j) where i - j is a multiple of it are left out of the sums.
        columns: Whether the sums along columns are wanted too.
        block_rows: Rows of a block; by default as many as suit the device.

    Returns:
        [M] float, and [N] float ([0] without `columns`); differentiable once in `a` and `b`.
    """
    wide = torch.promote_types(a.dtype, torch.float32)
    rows = min(block_rows or default_block_rows(a.device.type, len(b)), len(a))
    return _LogSumExp.apply(a.to(wide), b.to(wide), period, columns, rows)  # type: ignore[no-untyped-call]


def default_block_rows(device: str, n_columns: int) -> int:
    """Return the rows of a block for a number of columns and a type of device."""
    return max(1, BLOCK_ENTRIES.get(device, 2**24) // max(1, n_columns))


def power_of_two_(exponents: Tensor) -> Tensor:
    """Compute 2 to the power of each entry, in place; at least 2^-126, the least normal float32.

    Beside the largest entry of its row or column, which is 1, it counts for nothing; and numbers that underflow, which
    are most of them once encodings are far apart, would take many times as long.
    """
    return exponents.clamp_(min=-126).exp2_()


class _LogSumExp(torch.autograd.Function):
    """The differentiable operation; see `logsumexp_of_products`."""

    @staticmethod
    def forward(
        ctx: Any, a: Tensor, b: Tensor, period: int | None, columns: bool, block_rows: int
    ) -> tuple[Tensor, Tensor]:
        n_rows, n_columns = len(a), len(b)
        rows = a.new_empty(n_rows)  # [M], in units of log 2
        sums = a.new_zeros(n_columns if columns else 0)  # [N], of 2^(logit - peaks)
        peaks = torch.full_like(sums, -torch.inf)  # [N], the largest logit of each column so far
        block = a.new_empty(block_rows, n_columns)
        spare = torch.empty_like(block) if columns else None
        scaled = a * LOG2_E
        b_columns = b.T.contiguous()  # [E, N]: thin products are fastest along the rows of the block
        with torch.autocast(a.device.type, enabled=False), exact_products(a.device.type):
            for start in range(0, n_rows, block_rows):
                part = scaled[start : start + block_rows]
                logits = torch.mm(part, b_columns, out=block[: len(part)])  # [m, N]
                exclude(logits, start, period)
                if spare is not None:
                    _add_to_columns(logits, peaks, sums, spare[: len(part)])
                peak = logits.amax(dim=1, keepdim=True)  # [m, 1]
                total = power_of_two_(logits.sub_(peak)).sum(dim=1)  # [m]
                rows[start : start + block_rows] = total.log2_().add_(peak[:, 0])
        sums = sums.log2_().add_(peaks)
        ctx.save_for_backward(a, b, rows, sums)
        ctx.period, ctx.columns, ctx.block_rows = period, columns, block_rows
        return rows * LOG_2, sums * LOG_2

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        a, b, rows, sums = ctx.saved_tensors
        scaled = a * LOG2_E
        # d rows_i / d logit_ij = exp(logit_ij - rows_i). The incoming gradients scale the thin factors, not the block;
        # thin matrices are transposed, so that the products run along the rows of the block.
        grad_rows, grad_columns = grads  # [M], [N]
        a_columns, b_columns = a.T.contiguous(), b.T.contiguous()  # [E, M], [E, N]
        weighted_a, weighted_b = a_columns * grad_rows, b_columns * grad_columns if ctx.columns else b_columns
        grad_a, grad_b = torch.zeros_like(a_columns), torch.zeros_like(b_columns)
        block = a.new_empty(ctx.block_rows, len(b))
        spare = torch.empty_like(block) if ctx.columns else None
        with torch.autocast(a.device.type, enabled=False), exact_products(a.device.type):
            for start in range(0, len(a), ctx.block_rows):
                cut = slice(start, start + ctx.block_rows)
                # As in the forward pass, to the bit: so softmaxes sum to 1 however large the logits are.
                logits = torch.mm(scaled[cut], b_columns, out=block[: len(a[cut])])  # [m, N]
                exclude(logits, start, ctx.period)
                if spare is not None:
                    softmax = power_of_two_(torch.sub(logits, sums, out=spare[: len(logits)]))  # columns sum to 1
                    grad_a[:, cut] += weighted_b @ softmax.T
                    grad_b += (a_columns[:, cut] @ softmax).mul_(grad_columns)
                softmax = power_of_two_(logits.sub_(rows[cut, None]))  # rows sum to 1
                grad_a[:, cut] += (b_columns @ softmax.T).mul_(grad_rows[cut])
                grad_b += weighted_a[:, cut] @ softmax
        return grad_a.T, grad_b.T, None, None, None


def exclude(logits: Tensor, start: int, period: int | None) -> None:
    """Set entries (i, j) with i - j a multiple of `period` to -inf; row 0 of `logits` is i = `start`."""
    if period is None:
        return
    first = start - (start + len(logits) - 1) // period * period  # the lowest diagonal that meets the block
    for offset in range(first, logits.shape[1], period):
        if offset > -len(logits):
            logits.diagonal(offset).fill_(-torch.inf)


def _add_to_columns(logits: Tensor, peaks: Tensor, sums: Tensor, spare: Tensor) -> None:
    """Add a block's exponentials to the running sums of the columns, in place."""
    new = torch.maximum(peaks, logits.amax(dim=0))  # [N]
    # A column may have seen excluded entries only; -inf - -inf would be NaN.
    finite = new.clamp_min(torch.finfo(new.dtype).min)
    sums.mul_((peaks - finite).exp2_()).add_(power_of_two_(torch.sub(logits, finite, out=spare)).sum(dim=0))
    peaks.copy_(new)
