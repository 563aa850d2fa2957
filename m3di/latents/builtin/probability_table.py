"""Labels by weights that depend on labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from m3di.latents.builtin.weighted import Rows, Strength, from_weights
from m3di.latents.factor import Factor
from m3di.latents.mechanisms import Parent, register


@register("table", n_parents=None, types=("categorical",), parent_types=("categorical",))
def table(
    u: NDArray[np.float64], parents: Sequence[Parent], factor: Factor, *, rows: Rows, strength: Strength = 1.0
) -> NDArray[np.int64]:
    """Conditional probability table: `rows[i][j]...` are the weights of the values given parent values i, j, ...

    `strength` mixes each row with the mean of all rows.
    """
    weights = np.asarray(rows, dtype=np.float64)
    expected = (*(parent.factor.n for parent in parents), factor.n)
    if weights.shape != expected or (weights < 0).any() or (weights.sum(-1) <= 0).any():
        raise ValueError(f"`rows` must be weights of shape {expected}, got shape {weights.shape}")
    weights = weights / weights.sum(-1, keepdims=True)
    mean = weights.reshape(-1, factor.n).mean(axis=0)
    mixed = (1.0 - strength) * mean + strength * weights
    return from_weights(u, mixed[tuple(parent.values for parent in parents)], factor)
