"""Mechanisms that take their parents from their parameters: normal, on a circle, of two values, and without noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import i0e, ndtri
from scipy.stats import vonmises

from m3di.latents.builtin.truncated import truncated
from m3di.latents.factor import Factor
from m3di.latents.functions import wrapped
from m3di.latents.mechanisms import ALL_TYPES, register
from m3di.latents.varying import Parent, Varies, Varying

Number = Varying
PositiveNumber = Annotated[NDArray[np.float64], Varies(above=0.0)]
Share = Annotated[NDArray[np.float64], Varies(least=0.0, most=1.0)]
Concentration = Annotated[NDArray[np.float64], Varies(least=0.0, most=1e5)]

N_STEPS = 16
"""Steps of the search for a quantile. The number is fixed, so that no sample depends on those drawn beside it."""


@register("normal", n_parents=0, types=("continuous",), needs_range=False)
def normal(
    u: NDArray[np.float64], parents: Sequence[Parent], factor: Factor, *, mean: Number, std: PositiveNumber
) -> NDArray[np.float64]:
    """Normal, truncated to the factor's range if it has one."""
    return truncated(u, np.asarray(mean), np.asarray(std), factor)


@register("wrapped_normal", n_parents=0, types=("continuous",))
def wrapped_normal(
    u: NDArray[np.float64], parents: Sequence[Parent], factor: Factor, *, mean: Number, std: PositiveNumber
) -> NDArray[np.float64]:
    """Normal, then wrapped into the range, which is one turn: for angles and hues."""
    _check_turn(factor)
    return np.asarray(wrapped(mean + std * ndtri(u), *factor.bounds), dtype=np.float64)


@register("von_mises", n_parents=0, types=("continuous",))
def von_mises(
    u: NDArray[np.float64], parents: Sequence[Parent], factor: Factor, *, mean: Number, kappa: Concentration
) -> NDArray[np.float64]:
    """Von Mises around `mean`, a raw value; the range is one turn, for which `kappa` counts in radians."""
    _check_turn(factor)
    low, high = factor.bounds
    turn = _von_mises_quantile(u, np.broadcast_to(kappa, u.shape))
    return np.asarray(wrapped(mean + turn * (high - low) / (2.0 * np.pi), low, high), dtype=np.float64)


def _check_turn(factor: Factor) -> None:
    """Raise where the ends of the range of an angle or a hue are two places of its circle: values would jump there."""
    if factor.physical_values is None or factor.kind not in ("angle", "hue"):
        return  # what its circle is, the range alone says
    first, last = factor.physical_values
    in_radians = {"2 pi": 2.0 * np.pi}
    turns = {"1": 1.0} if factor.kind == "hue" else in_radians
    if factor.kind == "angle" and factor.unit not in ("rad", None):
        turns = {**in_radians, "360 degrees": 360.0}
    if not any(np.isclose(abs(last - first), turn, rtol=1e-6) for turn in turns.values()):
        raise ValueError(
            f"the range is to be one turn ({' or '.join(turns)}), and `physical` is {abs(last - first):.4g} wide: "
            "take `normal`, or another `physical`"
        )


def _von_mises_quantile(u: NDArray[np.float64], kappa: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quantiles in [-pi, pi]: Newton's method, within brackets that are halved where it would leave them."""
    low, high = np.full(len(u), -np.pi), np.full(len(u), np.pi)
    # Flat, it is uniform; narrow, it is normal.
    found = np.clip(ndtri(u) / np.sqrt(np.maximum(kappa, 0.6)), -np.pi, np.pi)
    for _ in range(N_STEPS):
        excess = vonmises.cdf(found, kappa) - u
        low, high = np.where(excess < 0.0, found, low), np.where(excess < 0.0, high, found)
        density = np.exp(kappa * (np.cos(found) - 1.0)) / (2.0 * np.pi * i0e(kappa))
        step = found - excess / np.maximum(density, 1e-300)
        found = np.where((step >= low) & (step <= high), step, (low + high) / 2.0)
    return found


@register("bernoulli", n_parents=0, types=("categorical", "integer"))
def bernoulli(
    u: NDArray[np.float64], parents: Sequence[Parent], factor: Factor, *, probability: Share
) -> NDArray[np.int64]:
    """The second of two values with `probability`, the first one otherwise."""
    low, high = factor.bounds
    if high - low != 1:
        raise ValueError(f"a factor with two values is needed, this one has {high - low + 1:g}")
    return np.asarray(low + (u >= 1.0 - np.asarray(probability)), dtype=np.int64)


@register("function", n_parents=0, types=ALL_TYPES, needs_range=False)
def function(u: NDArray[np.float64], parents: Sequence[Parent], factor: Factor, *, value: Number) -> NDArray[Any]:
    """What `value` says, a raw value, without noise."""
    values = np.broadcast_to(np.asarray(value, dtype=np.float64), u.shape)
    if factor.type == "continuous":
        return values.copy()
    broken = values[values != np.floor(values)]
    if len(broken):
        raise ValueError(f"`value` is a whole number for a {factor.type} factor, got {broken[0]:g}")
    return values.astype(np.int64)
