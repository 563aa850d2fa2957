"""Mechanisms that give numbers: weighted sums, normal numbers, bins, angles and sequences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import betaincinv, ndtr, ndtri

from m3di.latents.builtin.truncated import truncated
from m3di.latents.builtin.weighted import Positive, Strength, Weights
from m3di.latents.factor import Factor
from m3di.latents.mechanisms import register
from m3di.latents.varying import Parent


@register("affine", n_parents=None, types=("continuous",))
def affine(
    u: NDArray[np.float64], parents: Sequence[Parent], factor: Factor, *, weights: Weights, strength: Strength = 1.0
) -> NDArray[np.float64]:
    """Weighted mean of the parents and uniform noise, all on the unit interval, then mapped to the range.

    `weights` (sum at most 1) belong to the parents; the noise gets the rest.
    """
    if len(weights) != len(parents) or sum(weights) > 1.0 + 1e-9:
        raise ValueError(f"{len(parents)} weights are needed, one a parent, their sum at most 1, got {weights}")
    shares = [strength * weight for weight in weights]
    mixed = (1.0 - sum(shares)) * u
    for share, parent in zip(shares, parents, strict=True):
        mixed = mixed + share * parent.unit
    return factor.from_unit(mixed)


@register("linear_gaussian", n_parents=None, types=("continuous",), needs_range=False)
def linear_gaussian(
    u: NDArray[np.float64],
    parents: Sequence[Parent],
    factor: Factor,
    *,
    weights: list[float],
    std: Positive,
    intercept: float = 0.0,
    strength: Strength = 1.0,
) -> NDArray[np.float64]:
    """Normal around `intercept + strength * sum(weights * parents)`, truncated to the factor's range if it has one."""
    if len(weights) != len(parents):
        raise ValueError(f"{len(parents)} weights are needed, one a parent, got {len(weights)}")
    mean = np.full(len(u), intercept)
    for weight, parent in zip(weights, parents, strict=True):
        mean = mean + strength * weight * parent.values
    return truncated(u, mean, std, factor)


@register("truncated_normal", n_parents=1, types=("continuous",))
def truncated_normal(
    u: NDArray[np.float64], parents: Sequence[Parent], factor: Factor, *, std: Positive, strength: Strength = 1.0
) -> NDArray[np.float64]:
    """Normal around the parent's value, truncated to the range; `strength` 0 puts the mean in the range's middle."""
    middle = sum(factor.bounds) / 2.0
    return truncated(u, strength * parents[0].values + (1.0 - strength) * middle, std, factor)


@register("binned", n_parents=1, types=("continuous",), parent_types=("categorical",))
def binned(
    u: NDArray[np.float64], parents: Sequence[Parent], factor: Factor, *, strength: Strength = 1.0
) -> NDArray[np.float64]:
    """Uniform in the bin that a categorical parent selects; bins divide the range evenly.

    With `strength` 1 this is the published hue given the x-position, (parent + u) / n_bins; with 0 the parent has no
    influence; between, quantiles are interpolated.
    """
    (parent,) = parents
    selected = (parent.values + u) / parent.factor.n
    return factor.from_unit((1.0 - strength) * u + strength * selected)


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


@register("ar1", n_parents=0, types=("continuous",), temporal=True)
def ar1(
    u: NDArray[np.float64], parents: Sequence[Parent], factor: Factor, *, strength: Strength = 0.9
) -> NDArray[np.float64]:
    """First-order autoregression along a sequence, as a Gaussian copula: every frame is uniform over the range.

    `strength` is the correlation of the normal scores of neighbouring frames.
    """
    if not parents:
        return factor.from_unit(u)
    scores = strength * ndtri(np.clip(parents[0].unit, 1e-15, 1 - 1e-15)) + np.sqrt(1.0 - strength**2) * ndtri(u)
    return factor.from_unit(ndtr(scores))
