"""Labels by weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from m3di.latents.builtin.weighted import Shares, from_weights
from m3di.latents.factor import Factor
from m3di.latents.mechanisms import Parent, register


@register("categorical", n_parents=0, types=("categorical",))
def categorical(
    u: NDArray[np.float64], parents: Sequence[Parent], factor: Factor, *, weights: Shares
) -> NDArray[np.int64]:
    """Values with given `weights`, in the order of the factor's values.

    Weights are probabilities (their sum is 1) or ratios in whole numbers: [10, 1] is ten to one.
    """
    return from_weights(u, np.asarray(weights)[None, :], factor)
