"""Invertible mixings: square layers of low condition number, with leaky rectifiers between them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

SLOPE = 0.2
N_LAYERS = 3
N_DRAWS = 25_000
QUANTILE = 1e-3  # of the condition numbers of that many draws
_BATCH = 5000


class InvertibleMLP(nn.Module):
    """x = W3 h(W2 h(W1 z)) with h the LeakyReLU of slope 0.2; fixed, of square matrices.

    Args:
        weights: [d, d] each, invertible.
    """

    def __init__(self, weights: list[Tensor]) -> None:
        super().__init__()
        for number, weight in enumerate(weights):
            self.register_buffer(f"weight{number}", weight)
        self.n_layers = len(weights)

    @property
    def weights(self) -> list[Tensor]:
        """[d, d] each, the first first."""
        return [self.get_buffer(f"weight{number}") for number in range(self.n_layers)]

    def forward(self, z: Tensor) -> Tensor:
        """[n, d] latents -> [n, d] observations."""
        first, *others = self.weights
        x = z @ first.T
        for weight in others:
            x = torch.nn.functional.leaky_relu_(x, SLOPE) @ weight.T
        return x

    def inverse(self, x: Tensor) -> Tensor:
        """[n, d] observations -> [n, d] latents, in float64."""
        *others, last = (weight.double() for weight in self.weights)
        z = torch.linalg.solve(last, x.double().T).T
        for weight in reversed(others):
            z = torch.where(z < 0, z / SLOPE, z)
            z = torch.linalg.solve(weight, z.T).T
        return z

    def condition_numbers(self) -> list[float]:
        """Of each layer, in the 2-norm."""
        return [float(torch.linalg.cond(weight.double())) for weight in self.weights]


class Whitening(nn.Module):
    """The symmetric linear map that gives the observations of a sample mean 0 and covariance I.

    The symmetric one (ZCA) moves observations least; encoders see as much as before, each direction at one scale.

    Args:
        x: [n, d] observations, n well above d.
    """

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        x = x.double()
        variances, directions = torch.linalg.eigh(torch.cov(x.T).reshape(x.shape[1], -1))
        self.register_buffer("mean", x.mean(dim=0).float())
        self.register_buffer("matrix", ((directions * variances.rsqrt()) @ directions.T).float())

    def forward(self, x: Tensor) -> Tensor:
        """[n, d] observations -> [n, d], whitened."""
        return (x - self.get_buffer("mean")) @ self.get_buffer("matrix")


def draw_mixing(
    size: int, seed: int, number: int, *, n_draws: int = N_DRAWS, n_layers: int = N_LAYERS
) -> InvertibleMLP:
    """Draw a mixing whose layers are well conditioned.

    Each layer is drawn, with entries uniform in (-1, 1) and columns of length 1, until its condition number lies at
    or below the quantile 1e-3 of the condition numbers of `n_draws` such matrices.

    Args:
        size: d.
        seed: Equal seeds give equal mixings.
        number: 1 for f1, 2 for f2: another mixing of the same seed.
        n_draws: Matrices that the quantile is taken over.
        n_layers: Matrices of the mixing.
    """
    generator = np.random.default_rng([seed, number, *b"mixing"])
    pool = np.concatenate([_conditions(_draw(size, count, generator)) for count in _batches(n_draws)])
    threshold = np.sort(pool)[int(n_draws * QUANTILE)]
    chosen: list[NDArray[np.float64]] = []
    while len(chosen) < n_layers:
        matrices = _draw(size, _BATCH, generator)
        chosen.extend(matrices[_conditions(matrices) <= threshold])
    return InvertibleMLP([torch.from_numpy(matrix).float() for matrix in chosen[:n_layers]])


def _batches(n: int) -> list[int]:
    return [min(_BATCH, n - start) for start in range(0, n, _BATCH)]


def _draw(size: int, n: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """[n, size, size] with columns of length 1."""
    matrices = generator.uniform(-1, 1, (n, size, size))
    return np.asarray(matrices / np.linalg.norm(matrices, axis=1, keepdims=True))


def _conditions(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.cond(matrices))
