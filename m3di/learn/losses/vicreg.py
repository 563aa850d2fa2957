"""Variance-invariance-covariance regularisation (Bardes et al., ICLR 2022)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from m3di.errors import UsageError
from m3di.learn.losses.objective import Objective, register_loss, wide

EPSILON = 1e-4  # under the root of each variance


@register_loss("vicreg")
class VICReg(Objective):
    """Pairs are near, each dimension varies, and no two dimensions go together; no negatives.

    The sum, with these weights, of

    - invariance: mean over pairs and dimensions of the squared difference;
    - variance: mean over dimensions of max(0, 1 - standard deviation), averaged over the two modalities;
    - covariance: sum over pairs of different dimensions of their squared covariance, over D, added over the modalities.

    This is the published code. The paper writes the first as a mean over pairs only, and the second as a sum over both.

    Args:
        invariance: Weight of the first.
        variance: Weight of the second.
        covariance: Weight of the third.

    Raises:
        UsageError: A weight is negative or not finite.
    """

    similarity = "neg_squared_euclidean"  # the invariance

    def __init__(self, *, invariance: float = 25.0, variance: float = 25.0, covariance: float = 1.0) -> None:
        super().__init__()
        self.invariance, self.variance, self.covariance = invariance, variance, covariance
        for name in ("invariance", "variance", "covariance"):
            check_weight(name, getattr(self, name))

    def of_pair(self, z1: Tensor, z2: Tensor) -> Tensor:
        """Loss [] of two views, [K, D] each."""
        with torch.autocast(z1.device.type, enabled=False):
            both = (wide(z1), wide(z2))
            total = self.invariance * F.mse_loss(*both)
            for z in both:
                deviations = (z.var(dim=0) + EPSILON).sqrt()  # [D]
                centred = z - z.mean(dim=0)
                covariances = centred.T @ centred / (len(z) - 1)  # [D, D]
                apart = covariances.square().sum() - covariances.diagonal().square().sum()
                total = total + self.variance * F.relu(1 - deviations).mean() / 2
                total = total + self.covariance * apart / z.shape[1]
            return total


def check_weight(name: str, weight: float) -> None:
    """Check that a weight is finite and 0 or more; else raise UsageError."""
    if not (math.isfinite(weight) and weight >= 0):
        raise UsageError("a weight of the loss is out of range", where=name, got=weight, expected="0 or more")
