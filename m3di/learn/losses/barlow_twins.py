"""Barlow Twins (Zbontar et al., ICML 2021)."""

from __future__ import annotations

import torch
from torch import Tensor

from m3di.learn.losses.objective import Objective, register_loss, wide
from m3di.learn.losses.vicreg import check_weight

EPSILON = 1e-5  # added to each variance, as batch norm does in the published code


@register_loss("barlow-twins")
class BarlowTwins(Objective):
    """The cross-correlation matrix C of the two modalities' dimensions comes near the identity; no negatives.

        sum_d (1 - C_dd)^2 + redundancy * sum_{d != e} C_de^2

    Args:
        redundancy: lambda, the weight of what lies off the diagonal.

    Raises:
        UsageError: It is negative or not finite.
    """

    def __init__(self, *, redundancy: float = 0.0051) -> None:
        super().__init__()
        check_weight("redundancy", redundancy)
        self.redundancy = redundancy

    def of_pair(self, z1: Tensor, z2: Tensor) -> Tensor:
        """Loss [] of two views, [K, D] each."""
        with torch.autocast(z1.device.type, enabled=False):
            one, other = (_standardised(wide(z)) for z in (z1, z2))
            correlations = one.T @ other / len(one)  # [D, D]
            diagonal = correlations.diagonal()
            apart = correlations.square().sum() - diagonal.square().sum()
            return (1 - diagonal).square().sum() + self.redundancy * apart


def _standardised(z: Tensor) -> Tensor:
    return (z - z.mean(dim=0)) / (z.var(dim=0, unbiased=False) + EPSILON).sqrt()
