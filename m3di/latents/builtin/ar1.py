"""A number that goes on from its value one frame earlier."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from m3di.latents.builtin.weighted import Strength
from m3di.latents.factor import Factor
from m3di.latents.mechanisms import Parent, register


@register("ar1", n_parents=0, types=("continuous",), temporal=True)
def ar1(
    u: NDArray[np.float64], parents: Sequence[Parent], factor: Factor, *, strength: Strength = 0.9
) -> NDArray[np.float64]:
    """First-order autoregression along a sequence, as a Gaussian copula: every frame is uniform over the range.

    `strength` is the correlation of the normal scores of neighbouring frames.
    """
    if not parents:
        return factor.from_unit(u)
    scores = strength * ndtri(np.clip(parents[0].unit, 1e-15, 1 - 1e-15)) + np.sqrt(1.0 - strength**2) * ndtri(u)
    return factor.from_unit(ndtr(scores))
