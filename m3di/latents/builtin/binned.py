"""A number within a bin that a label selects."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from m3di.latents.builtin.weighted import Strength
from m3di.latents.factor import Factor
from m3di.latents.mechanisms import Parent, register


@register("binned", n_parents=1, types=("continuous",), parent_types=("categorical",))
def binned(
    u: NDArray[np.float64], parents: Sequence[Parent], factor: Factor, *, strength: Strength = 1.0
) -> NDArray[np.float64]:
    """Uniform in the bin that a categorical parent selects; bins divide the range evenly.

    With `strength` 1 this is the published hue given the x-position, (parent + u) / n_bins; with 0 the parent has no
    influence; between, quantiles are interpolated.
    """
    (parent,) = parents
    selected = (parent.values + u) / parent.factor.n
    return factor.from_unit((1.0 - strength) * u + strength * selected)
