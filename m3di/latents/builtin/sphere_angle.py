"""An angle of a point on a sphere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import betaincinv

from m3di.latents.factor import Factor
from m3di.latents.mechanisms import Parent, register


@register("sphere_angle", n_parents=0, types=("continuous",))
def sphere_angle(
    u: NDArray[np.float64], parents: Sequence[Parent], factor: Factor, *, power: Annotated[int, Field(ge=0, le=100)]
) -> NDArray[np.float64]:
    """A polar angle of a point that is uniform on a sphere: density sin^`power` on half a turn, spread over the range.

    The k-th of the hyperspherical angles of a point on the sphere in n dimensions has `power` n - 1 - k.
    """
    # (1 - cos angle) / 2 has a beta distribution with both parameters (power + 1) / 2.
    half = (power + 1) / 2.0
    return factor.from_unit(np.arccos(1.0 - 2.0 * betaincinv(half, half, u)) / np.pi)
