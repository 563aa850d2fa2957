"""A normal number around a weighted sum."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from m3di.latents.builtin.truncated import truncated
from m3di.latents.builtin.weighted import Positive, Strength
from m3di.latents.factor import Factor
from m3di.latents.mechanisms import Parent, register


@register("linear_gaussian", n_parents=None, types=("continuous",), needs_range=False)
def linear_gaussian(
    u: NDArray[np.float64],
    parents: Sequence[Parent],
    factor: Factor,
    *,
    weights: list[float],
    std: Positive,
    intercept: float = 0.0,
    strength: Strength = 1.0,
) -> NDArray[np.float64]:
    """Normal around `intercept + strength * sum(weights * parents)`, truncated to the factor's range if it has one."""
    if len(weights) != len(parents):
        raise ValueError(f"{len(parents)} weights are needed, one a parent, got {len(weights)}")
    mean = np.full(len(u), intercept)
    for weight, parent in zip(weights, parents, strict=True):
        mean = mean + strength * weight * parent.values
    return truncated(u, mean, std, factor)
