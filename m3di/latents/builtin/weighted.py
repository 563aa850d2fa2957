"""Types of the parameters that several mechanisms have, and values by weights."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from m3di.latents.factor import MAX_WHOLE, Factor
from m3di.latents.varying import Varies

MAX_ROUNDING = 1e-3  # how far the sum of rounded probabilities may be from 1


def _shares(weights: Any) -> Any:
    """Refuse weights that are neither probabilities (their sum is 1) nor ratios in whole numbers ([10, 1])."""
    try:
        rows = np.asarray(weights, dtype=np.float64)
    except ValueError:
        raise ValueError("weights are numbers, as many in each row as the factor has values") from None
    if rows.ndim == 0 or rows.shape[-1] == 0 or not np.isfinite(rows).all() or (rows < 0).any():
        raise ValueError(f"weights are numbers >= 0, got {weights}")
    for row in rows.reshape(-1, rows.shape[-1]):
        if row.max() > MAX_WHOLE:
            raise ValueError(f"ratios are whole numbers up to 2**53, got {row.max():g}")
        if row.sum() <= 0:
            raise ValueError("weights are all 0: one of them has to be greater")
        if abs(row.sum() - 1.0) > MAX_ROUNDING and (row != np.floor(row)).any():
            raise ValueError(
                f"weights are either probabilities, whose sum is 1, or ratios in whole numbers such as [10, 1]; "
                f"the sum of {row.tolist()} is {row.sum():g}"
            )
    return weights


Strength = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Weights = Annotated[list[Annotated[float, Field(ge=0.0)]], Field(min_length=1)]
Shares = Annotated[NDArray[np.float64], Varies(least=0.0, is_list=True, check=_shares)]
FixedShares = Annotated[Weights, AfterValidator(_shares)]  # of no parent
Rows = Annotated[list[Any], AfterValidator(_shares)]


def from_weights(u: NDArray[np.float64], weights: NDArray[np.float64], factor: Factor) -> NDArray[np.int64]:
    """Inverse CDF of categorical distributions, weights [n or 1, values]."""
    if weights.shape[-1] != factor.n or (weights.sum(-1) <= 0).any():
        raise ValueError(f"{factor.n} weights are needed, not all 0, got {weights.shape[-1]}")
    cumulative = np.cumsum(weights, axis=-1)
    below = u[:, None] * cumulative[:, -1:] >= cumulative
    return np.asarray(below.sum(axis=-1), dtype=np.int64)
