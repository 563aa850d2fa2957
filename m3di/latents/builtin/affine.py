"""A weighted mean of numbers and noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from m3di.latents.builtin.weighted import Strength, Weights
from m3di.latents.factor import Factor
from m3di.latents.mechanisms import Parent, register


@register("affine", n_parents=None, types=("continuous",))
def affine(
    u: NDArray[np.float64], parents: Sequence[Parent], factor: Factor, *, weights: Weights, strength: Strength = 1.0
) -> NDArray[np.float64]:
    """Weighted mean of the parents and uniform noise, all on the unit interval, then mapped to the range.

    `weights` (sum at most 1) belong to the parents; the noise gets the rest.
    """
    if len(weights) != len(parents) or sum(weights) > 1.0 + 1e-9:
        raise ValueError(f"{len(parents)} weights are needed, one a parent, their sum at most 1, got {weights}")
    shares = [strength * weight for weight in weights]
    mixed = (1.0 - sum(shares)) * u
    for share, parent in zip(shares, parents, strict=True):
        mixed = mixed + share * parent.unit
    return factor.from_unit(mixed)
