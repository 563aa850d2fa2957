"""The InfoNCE loss along rows, with its gradient found in the same pass over the logits."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from m3di.learn.losses.logsumexp import LOG2_E, LOG_2, default_block_rows, exclude, power_of_two_
from m3di.learn.training.precision import exact_products

LINEAR_ABOVE = 40.0  # where softplus(x) is x to the last bit of a float64, and far below where exp(x) is infinite


def mean_infonce_of_rows(
    a: Tensor, b: Tensor, positives: Tensor, *, period: int | None = None, block_rows: int | None = None
) -> Tensor:
    """Mean over rows of -log( exp(p_i) / (exp(p_i) + sum_j exp((a @ b.T)_ij)) ).

    A row's softmax is known as soon as the row is, so each block of logits is exponentiated once, and turned into its
    part of the gradient while it is in the cache.

    Args:
        a: [M, E] float.
        b: [N, E] float.
        positives: [M] float, p.
        period: Entries (i, j) where i - j is a multiple of it are left out of the sums.
        block_rows: Rows of a block; by default as many as suit the device.

    Returns:
        [] float; differentiable once.
    """
    wide = torch.promote_types(a.dtype, torch.float32)
    rows = min(block_rows or default_block_rows(a.device.type, len(b)), len(a))
    keep = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (a, b, positives))
    arguments = (a.to(wide), b.to(wide), positives.to(wide), period, rows, keep)
    return _MeanInfoNCE.apply(*arguments)  # type: ignore[no-untyped-call]


class _MeanInfoNCE(torch.autograd.Function):
    """The differentiable operation; see `mean_infonce_of_rows`."""

    @staticmethod
    def forward(
        ctx: Any, a: Tensor, b: Tensor, positives: Tensor, period: int | None, block_rows: int, keep: bool
    ) -> Tensor:
        losses = torch.empty_like(positives)  # [M]
        grad_positives = torch.empty_like(positives)  # [M]
        a_columns, b_columns = a.T.contiguous(), b.T.contiguous()  # thin products are fastest along the block's rows
        grad_a, grad_b = torch.zeros_like(a_columns), torch.zeros_like(b_columns)  # [E, M], [E, N]
        scaled = a * LOG2_E  # logits are in units of log 2
        block = a.new_empty(block_rows, len(b))
        with torch.autocast(a.device.type, enabled=False), exact_products(a.device.type):
            for start in range(0, len(a), block_rows):
                cut = slice(start, start + block_rows)
                logits = torch.mm(scaled[cut], b_columns, out=block[: len(a[cut])])  # [m, N]
                exclude(logits, start, period)
                peak = logits.amax(dim=1, keepdim=True)  # [m, 1]
                exponentials = power_of_two_(logits.sub_(peak))
                sums = exponentials.sum(dim=1)  # [m], at least 1
                excess = sums.log2().add_(peak[:, 0]).mul_(LOG_2).sub_(positives[cut])  # [m], over the positive
                losses[cut] = F.softplus(excess, threshold=LINEAR_ABOVE)
                if keep:
                    grad = torch.sigmoid(excess) / len(a)  # [m], of the log-sum-exp
                    grad_positives[cut] = -grad
                    weights = grad / sums
                    grad_a[:, cut] = (b_columns @ exponentials.T).mul_(weights)
                    grad_b += (a_columns[:, cut] * weights) @ exponentials
        if keep:
            ctx.save_for_backward(grad_a, grad_b, grad_positives)
        return losses.mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad_a, grad_b, grad_positives = ctx.saved_tensors
        (grad,) = grads
        return grad * grad_a.T, grad * grad_b.T, grad * grad_positives, None, None, None
