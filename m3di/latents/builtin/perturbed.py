"""Another factor's value, changed now and then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m3di.latents.builtin.truncated import truncated
from m3di.latents.builtin.weighted import Positive, Strength
from m3di.latents.factor import Factor
from m3di.latents.mechanisms import ALL_TYPES, Parent, register


@register("perturb", n_parents=1, types=ALL_TYPES)
def perturb(
    u: NDArray[np.float64],
    parents: Sequence[Parent],
    factor: Factor,
    *,
    probability: Strength,
    std: Positive | None = None,
) -> NDArray[Any]:
    """The parent's value, changed with a probability: how style differs between views, how a caption errs.

    A changed categorical value is any other one. A changed number is normal around the parent, truncated to the
    range, or anywhere in the range without `std`.
    """
    (parent,) = parents
    changed = u < probability
    again = np.clip(u / max(probability, 1e-300), 2.0**-53, 1.0 - 2.0**-53)
    if factor.type == "categorical":
        other = (parent.values + 1 + np.floor(again * (factor.n - 1)).astype(np.int64)) % factor.n
    elif std is None:
        other = factor.from_unit(again)
    else:
        other = truncated(again, parent.values, std, factor)
    return np.where(changed, other, parent.values)
