"""Log-sum-exp over rows and columns of a matrix of inner products that is never held whole.

A block of rows is computed, used and overwritten while it is in the cache; the backward pass computes it again,
which costs less than reading it back from memory. Beside its inputs and outputs, the memory is one block.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

# Entries of a block. On the CPU a block should stay in the last-level cache; on a GPU it should be few launches.
BLOCK_ENTRIES = {"cpu": 2**20, "cuda": 2**27}


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
    rows = block_rows or max(1, BLOCK_ENTRIES.get(a.device.type, 2**24) // max(1, len(b)))
    return _LogSumExp.apply(a.to(wide), b.to(wide), period, columns, min(rows, len(a)))  # type: ignore[no-untyped-call]


class _LogSumExp(torch.autograd.Function):
    """The differentiable operation; see `logsumexp_of_products`."""

    @staticmethod
    def forward(
        ctx: Any, a: Tensor, b: Tensor, period: int | None, columns: bool, block_rows: int
    ) -> tuple[Tensor, Tensor]:
        n_rows, n_columns = len(a), len(b)
        rows = a.new_empty(n_rows)  # [M]
        sums = a.new_zeros(n_columns if columns else 0)  # [N], of exp(logit - peaks)
        peaks = torch.full_like(sums, -torch.inf)  # [N], the largest logit of each column so far
        block = a.new_empty(block_rows, n_columns)
        spare = torch.empty_like(block) if columns else None
        with torch.autocast(a.device.type, enabled=False):
            for start in range(0, n_rows, block_rows):
                part = a[start : start + block_rows]
                logits = torch.mm(part, b.T, out=block[: len(part)])  # [m, N]
                _exclude(logits, start, period)
                if spare is not None:
                    _add_to_columns(logits, peaks, sums, spare[: len(part)])
                peak = logits.amax(dim=1, keepdim=True)  # [m, 1]
                total = logits.sub_(peak).exp_().sum(dim=1)  # [m]
                rows[start : start + block_rows] = total.log_().add_(peak[:, 0])
        sums = sums.log_().add_(peaks)
        ctx.save_for_backward(a, b, rows, sums)
        ctx.period, ctx.columns, ctx.block_rows = period, columns, block_rows
        return rows, sums

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        a, b, rows, sums = ctx.saved_tensors
        # d rows_i / d logit_ij = exp(logit_ij - rows_i). The incoming gradients scale the thin factors, not the block.
        grad_rows, grad_columns = (grad[:, None] for grad in grads)  # [M, 1], [N, 1]
        rows_a = grad_rows * a  # [M, E]
        columns_b = grad_columns * b if ctx.columns else b  # [N, E]
        grad_a, grad_b = torch.zeros_like(a), torch.zeros_like(b)
        block = a.new_empty(ctx.block_rows, len(b))
        spare = torch.empty_like(block) if ctx.columns else None
        with torch.autocast(a.device.type, enabled=False):
            for start in range(0, len(a), ctx.block_rows):
                cut = slice(start, start + ctx.block_rows)
                logits = torch.mm(a[cut], b.T, out=block[: len(a[cut])])  # [m, N], as in the forward pass to the bit
                _exclude(logits, start, ctx.period)
                if spare is not None:
                    softmax = torch.sub(logits, sums, out=spare[: len(logits)]).exp_()  # columns sum to 1
                    grad_a[cut] += softmax @ columns_b
                    grad_b += (softmax.T @ a[cut]).mul_(grad_columns)
                softmax = logits.sub_(rows[cut, None]).exp_()  # rows sum to 1
                grad_a[cut] += (softmax @ b).mul_(grad_rows[cut])
                grad_b.addmm_(softmax.T, rows_a[cut])
        return grad_a, grad_b, None, None, None


def _exclude(logits: Tensor, start: int, period: int | None) -> None:
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
    sums.mul_((peaks - finite).exp_()).add_(torch.sub(logits, finite, out=spare).exp_().sum(dim=0))
    peaks.copy_(new)
