"""A normal number around another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from m3di.latents.builtin.truncated import truncated
from m3di.latents.builtin.weighted import Positive, Strength
from m3di.latents.factor import Factor
from m3di.latents.mechanisms import Parent, register


@register("truncated_normal", n_parents=1, types=("continuous",))
def truncated_normal(
    u: NDArray[np.float64], parents: Sequence[Parent], factor: Factor, *, std: Positive, strength: Strength = 1.0
) -> NDArray[np.float64]:
    """Normal around the parent's value, truncated to the range; `strength` 0 puts the mean in the range's middle."""
    middle = sum(factor.bounds) / 2.0
    return truncated(u, strength * parents[0].values + (1.0 - strength) * middle, std, factor)
