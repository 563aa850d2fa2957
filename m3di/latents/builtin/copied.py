"""Another factor's value, or any."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m3di.latents.builtin.weighted import Strength
from m3di.latents.factor import Factor
from m3di.latents.mechanisms import ALL_TYPES, Parent, register


@register("copy", n_parents=1, types=ALL_TYPES)
def copy(
    u: NDArray[np.float64], parents: Sequence[Parent], factor: Factor, *, strength: Strength = 1.0
) -> NDArray[Any]:
    """The parent's value (by its place in the support) with probability `strength`, else any value."""
    fresh = np.clip((u - strength) / max(1.0 - strength, 1e-300), 0.0, 1.0 - 2.0**-53)
    return np.where(u < strength, factor.from_unit(parents[0].unit), factor.from_unit(fresh))
