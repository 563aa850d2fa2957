"""One value always."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m3di.latents.factor import Factor
from m3di.latents.mechanisms import ALL_TYPES, Parent, register


@register("constant", n_parents=0, types=ALL_TYPES, needs_range=False)
def constant(u: NDArray[np.float64], parents: Sequence[Parent], factor: Factor, *, value: float) -> NDArray[Any]:
    """Always the same raw `value`."""
    if factor.type != "continuous" and value != int(value):
        raise ValueError(f"`value` is a whole number for a {factor.type} factor, got {value:g}")
    return np.full(len(u), value, dtype=factor.dtype)
