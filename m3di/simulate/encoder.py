"""The encoder of the simulation: an MLP, passed through in blocks of rows that stay in the cache."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from m3di.simulate.config import WIDTHS

SLOPE = 0.01
# On the CPU a block's activations, its gradients and a layer's weights should fit the last-level cache together:
# then only the matrix products cost time. A GPU takes all rows at once.
BLOCK_ROWS = {"cpu": 768}


class MLPEncoder(nn.Module):
    """[n, d] observations -> [n, encoding_size]; LeakyReLU 0.01 after each hidden layer.

    Equal to the `nn.Sequential` of its `layers` with LeakyReLU between them; no gradient reaches the observations.

    Args:
        size: d.
        encoding_size: Numbers of an encoding.
        dtype: Of the matrix products and activations; weights, their gradients and the encodings are float32.
        widths: Of the hidden layers, in multiples of d.
    """

    def __init__(
        self, size: int, encoding_size: int, dtype: torch.dtype = torch.float32, widths: Sequence[int] = WIDTHS
    ) -> None:
        super().__init__()
        sizes = [size, *(width * size for width in widths), encoding_size]
        self.layers = nn.ModuleList(nn.Linear(n_in, n_out) for n_in, n_out in itertools.pairwise(sizes))
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        """[n, d] float32 -> [n, encoding_size] float32."""
        weights = [weight for layer in self.layers for weight in (layer.weight, layer.bias)]
        block_rows = BLOCK_ROWS.get(x.device.type, len(x))
        keep = torch.is_grad_enabled()
        encoding: Tensor = _BlockedMLP.apply(x, self.dtype, block_rows, keep, *weights)  # type: ignore[no-untyped-call]
        return encoding


class _BlockedMLP(torch.autograd.Function):
    """Forward and backward pass of the MLP, block of rows by block of rows."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dtype: torch.dtype, block_rows: int, keep: bool, *parameters: Tensor) -> Tensor:
        weights = [weight.to(dtype) for weight in parameters[::2]]  # [n_out, n_in] each
        biases = [bias.to(dtype) for bias in parameters[1::2]]  # [n_out] each
        x = x.to(dtype)
        n_rows = len(x) if keep else min(block_rows, len(x))
        hidden = [x.new_empty(n_rows, len(bias)) for bias in biases[:-1]]  # after the LeakyReLU
        encoding = x.new_empty(len(x), len(biases[-1]))
        for start in range(0, len(x), block_rows):
            rows = slice(start, min(start + block_rows, len(x)))
            kept = rows if keep else slice(0, rows.stop - start)
            h = x[rows]
            for weight, bias, activation in zip(weights, biases, hidden, strict=False):
                h = torch.addmm(bias, h, weight.T, out=activation[kept])  # [rows, n_out]
                torch.nn.functional.leaky_relu_(h, SLOPE)
            torch.addmm(biases[-1], h, weights[-1].T, out=encoding[rows])
        if keep:
            ctx.save_for_backward(x, *weights, *hidden)
            ctx.block_rows = block_rows
        return encoding.float()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        n_layers = len(ctx.saved_tensors) // 2
        x, *others = ctx.saved_tensors
        weights, inputs = others[:n_layers], [x, *others[n_layers:]]  # inputs of each layer
        grad = grads[0].to(x.dtype)  # [n, encoding_size]
        grad_weights = [torch.zeros_like(weight, dtype=torch.float32) for weight in weights]
        grad_biases = [weight.new_zeros(len(weight), dtype=torch.float32) for weight in weights]
        scratch = [x.new_empty(ctx.block_rows, weight.shape[1]) for weight in weights]
        for start in range(0, len(x), ctx.block_rows):
            rows = slice(start, min(start + ctx.block_rows, len(x)))
            g = grad[rows]
            for layer in reversed(range(n_layers)):
                h = inputs[layer][rows]  # [rows, n_in]
                _add_product(grad_weights[layer], g.T, h)
                grad_biases[layer] += g.sum(dim=0)
                if layer > 0:
                    g = torch.mm(g, weights[layer], out=scratch[layer][: len(g)])  # [rows, n_in]
                    torch.ops.aten.leaky_relu_backward(g, h, SLOPE, True, grad_input=g)
        both = itertools.chain(*zip(grad_weights, grad_biases, strict=True))
        return None, None, None, None, *both


def _add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """Total += a @ b; a sum over blocks is kept in float32 even where the products are not."""
    if a.dtype == total.dtype:
        total.addmm_(a, b)
    else:
        total += a @ b
