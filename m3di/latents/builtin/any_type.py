"""Mechanisms that give values of any type: one value, every value alike, and another factor's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m3di.latents.builtin.by_parameters import Share
from m3di.latents.builtin.truncated import truncated
from m3di.latents.builtin.weighted import Positive
from m3di.latents.factor import Factor
from m3di.latents.mechanisms import ALL_TYPES, register
from m3di.latents.varying import Parent, Varying


@register("constant", n_parents=0, types=ALL_TYPES, needs_range=False)
def constant(u: NDArray[np.float64], parents: Sequence[Parent], factor: Factor, *, value: float) -> NDArray[Any]:
    """Always the same raw `value`."""
    if factor.type != "continuous" and value != int(value):
        raise ValueError(f"`value` is a whole number for a {factor.type} factor, got {value:g}")
    return np.full(len(u), value, dtype=factor.dtype)


@register("uniform", n_parents=0, types=ALL_TYPES)
def uniform(
    u: NDArray[np.float64],
    parents: Sequence[Parent],
    factor: Factor,
    *,
    low: Varying | None = None,
    high: Varying | None = None,
) -> NDArray[Any]:
    """Every value of the support is equally likely; of a number, every one from `low` to `high`."""
    if low is None and high is None:
        return factor.from_unit(u)
    if factor.type == "categorical":
        raise ValueError("`low` and `high` are for numbers: take `categorical` and its `weights`")
    least, most = (end if given is None else given for given, end in zip((low, high), factor.bounds, strict=True))
    if factor.type == "integer":
        least, most = np.ceil(least), np.floor(most)
    span = np.where(np.asarray(most) >= least, np.subtract(most, least), np.nan)
    if factor.type == "integer":
        # What is no number becomes the least integer, which is out of any range.
        with np.errstate(invalid="ignore"):
            return np.asarray(least + np.floor(u * (span + 1.0)), dtype=np.float64).astype(np.int64)
    return np.asarray(least + span * u)


@register("copy", n_parents=1, types=ALL_TYPES)
def copy(
    u: NDArray[np.float64], parents: Sequence[Parent], factor: Factor, *, strength: Share | float = 1.0
) -> NDArray[Any]:
    """The parent's value (by its place in the support) with probability `strength`, else any value."""
    fresh = np.clip((u - strength) / np.maximum(1.0 - strength, 1e-300), 0.0, 1.0 - 2.0**-53)
    return np.where(u < strength, factor.from_unit(parents[0].unit), factor.from_unit(fresh))


@register("perturb", n_parents=1, types=ALL_TYPES)
def perturb(
    u: NDArray[np.float64],
    parents: Sequence[Parent],
    factor: Factor,
    *,
    probability: Share | float,
    std: Positive | None = None,
) -> NDArray[Any]:
    """The parent's value, changed with a probability: how style differs between views, how a caption errs.

    A changed categorical value is any other one. A changed number is normal around the parent, truncated to the
    range, or anywhere in the range without `std`.
    """
    (parent,) = parents
    changed = u < probability
    again = np.clip(u / np.maximum(probability, 1e-300), 2.0**-53, 1.0 - 2.0**-53)
    if factor.type == "categorical":
        other = (parent.values + 1 + np.floor(again * (factor.n - 1)).astype(np.int64)) % factor.n
    elif std is None:
        other = factor.from_unit(again)
    else:
        other = truncated(again, parent.values, std, factor)
    return np.where(changed, other, parent.values)
