"""The encoder of the simulation: an MLP of seven layers."""

from __future__ import annotations

import itertools

from torch import nn

SLOPE = 0.01
WIDTHS = (10, 50, 50, 50, 50, 10)  # of the hidden layers, in multiples of the input


class MLPEncoder(nn.Sequential):
    """[n, d] observations -> [n, encoding_size]; hidden layers 10 d, 50 d (four times) and 10 d wide, LeakyReLU 0.01.

    Args:
        size: d.
        encoding_size: Numbers of an encoding.
    """

    def __init__(self, size: int, encoding_size: int) -> None:
        sizes = [size, *(width * size for width in WIDTHS), encoding_size]
        layers: list[nn.Module] = []
        for n_in, n_out in itertools.pairwise(sizes):
            # In place: a linear layer's gradient does not need its own output, and memory traffic is what is left
            # to save beside the matrix products.
            layers += [nn.Linear(n_in, n_out), nn.LeakyReLU(SLOPE, inplace=True)]
        super().__init__(*layers[:-1])
