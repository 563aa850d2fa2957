"""Whether what a mechanism gives is in the support of its factor."""

from __future__ import annotations

from typing import Any

import numpy as np

from m3di.errors import M3diError
from m3di.latents.factor import Factor


class NoValueError(M3diError):
    """A mechanism, or the condition of the spec, gives a sample no value."""


def value_problem(factor: Factor, values: Any, n: int) -> str | None:
    """What is wrong with values [n] that a mechanism gave a factor, or None."""
    array = np.asarray(values)
    if array.shape != (n,):
        return f"an array of shape {list(array.shape)}, for {n} samples"
    if array.dtype.kind not in "iuf" or (factor.type != "continuous" and array.dtype.kind == "f"):
        return f"numbers of type {array.dtype}, for a {factor.type} factor"
    if n and not np.isfinite(array).all():
        return "NaN or infinity"
    low, high = factor.bounds
    slack = 1e-9 * (high - low) if np.isfinite(high - low) else 0.0  # what rounding may do to the ends
    if n and not (array.min() >= low - slack and array.max() <= high + slack):
        return f"{array.min():g} to {array.max():g}"
    return None


def first_outside(factor: Factor, values: Any) -> int | None:
    """The first of the values of a mechanism that is none of the factor's, if it is a matter of single ones."""
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in "iuf":
        return None
    low, high = factor.bounds
    slack = 1e-9 * (high - low) if np.isfinite(high - low) else 0.0
    outside = np.flatnonzero(~(np.isfinite(array) & (array >= low - slack) & (array <= high + slack)))
    return int(outside[0]) if len(outside) else None


def support(factor: Factor) -> str:
    """The values that a factor can have, in words."""
    low, high = factor.bounds
    kind = "numbers" if factor.type == "continuous" else "whole numbers"
    return f"finite {kind}" if not np.isfinite(low) else f"{kind} from {low:g} to {high:g}"
