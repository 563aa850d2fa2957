"""Every value alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m3di.latents.factor import Factor
from m3di.latents.mechanisms import ALL_TYPES, Parent, register


@register("uniform", n_parents=0, types=ALL_TYPES)
def uniform(u: NDArray[np.float64], parents: Sequence[Parent], factor: Factor) -> NDArray[Any]:
    """Every value of the support is equally likely."""
    return factor.from_unit(u)
