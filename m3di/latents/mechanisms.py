"""Causal mechanisms: parents and exactly one uniform number in, a value out, by inverse CDF.

A mechanism is a function `f(u, parents, factor, *, ...parameters)`, vectorised over samples; its keyword parameters
are what a spec file may set. `register` makes one known by name; a package can offer its own through the entry point
group `m3di.mechanisms` (the module that an entry point names is imported when its name is first used).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, create_model
from scipy.special import ndtr, ndtri

from m3di.latents.colors import hsv_to_rgb, palette
from m3di.latents.factor import Factor

ENTRY_POINT_GROUP = "m3di.mechanisms"
ALL_TYPES = ("categorical", "continuous", "integer")


@dataclass(frozen=True)
class Parent:
    """A parent as a mechanism sees it: its declaration and its raw values [n]."""

    factor: Factor
    values: NDArray[Any]

    @property
    def unit(self) -> NDArray[np.float64]:
        """The values on the unit interval, see `Factor.to_unit`."""
        return self.factor.to_unit(self.values)


Function = Callable[..., NDArray[Any]]


@dataclass(frozen=True)
class Mechanism:
    """A registered mechanism.

    Attributes:
        name: The name that a spec file uses.
        function: Evaluates it, see the module's docstring.
        n_parents: How many parents it takes; None for any number.
        types: Types of the factors it can give values to.
        parent_types: Types of the factors that can be its parents.
        parameters: Pydantic model of its keyword parameters.
        needs_range: Whether the factor must have a finite range.
        temporal: Whether its parent is the factor itself one frame earlier; there is none in the first frame.
    """

    name: str
    function: Function
    n_parents: int | None
    types: tuple[str, ...]
    parent_types: tuple[str, ...]
    parameters: type[BaseModel]
    needs_range: bool
    temporal: bool


MECHANISMS: dict[str, Mechanism] = {}

Strength = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Weights = Annotated[list[Annotated[float, Field(ge=0.0)]], Field(min_length=1)]


def register(
    name: str,
    *,
    n_parents: int | None,
    types: Sequence[str],
    parent_types: Sequence[str] = ALL_TYPES,
    needs_range: bool = True,
    temporal: bool = False,
) -> Callable[[Function], Function]:
    """Make a function usable as a mechanism in spec files under `name`; see `Mechanism` for the arguments."""

    def decorate(function: Function) -> Function:
        fields: dict[str, Any] = {
            parameter.name: (parameter.annotation, ... if parameter.default is parameter.empty else parameter.default)
            for parameter in inspect.signature(function, eval_str=True).parameters.values()
            if parameter.kind is parameter.KEYWORD_ONLY
        }
        model = create_model(f"{name} parameters", __config__=ConfigDict(extra="forbid"), **fields)
        MECHANISMS[name] = Mechanism(
            name, function, n_parents, tuple(types), tuple(parent_types), model, needs_range, temporal
        )
        return function

    return decorate


def find_mechanism(name: str) -> Mechanism | None:
    """The mechanism with this name, ours or that of an installed package; None where there is none."""
    if name not in MECHANISMS:
        _load_entry_points()
    return MECHANISMS.get(name)


@cache
def _load_entry_points() -> None:
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        entry.load()


@register("uniform", n_parents=0, types=ALL_TYPES)
def uniform(u: NDArray[np.float64], parents: Sequence[Parent], factor: Factor) -> NDArray[Any]:
    """Every value of the support is equally likely."""
    return factor.from_unit(u)


@register("constant", n_parents=0, types=ALL_TYPES, needs_range=False)
def constant(u: NDArray[np.float64], parents: Sequence[Parent], factor: Factor, *, value: float) -> NDArray[Any]:
    """Always the same raw value."""
    return np.full(len(u), value, dtype=factor.dtype)


@register("categorical", n_parents=0, types=("categorical",))
def categorical(
    u: NDArray[np.float64], parents: Sequence[Parent], factor: Factor, *, weights: Weights
) -> NDArray[np.int64]:
    """Values with given weights, in the order of the factor's values; they need not sum to 1."""
    return _from_weights(u, np.asarray(weights)[None, :], factor)


@register("table", n_parents=None, types=("categorical",), parent_types=("categorical",))
def table(
    u: NDArray[np.float64], parents: Sequence[Parent], factor: Factor, *, rows: list[Any], strength: Strength = 1.0
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
    return _from_weights(u, mixed[tuple(parent.values for parent in parents)], factor)


def _from_weights(u: NDArray[np.float64], weights: NDArray[np.float64], factor: Factor) -> NDArray[np.int64]:
    """Inverse CDF of categorical distributions, weights [n or 1, values]."""
    if weights.shape[-1] != factor.n or weights.sum(-1).min() <= 0:
        raise ValueError(f"{factor.n} weights are needed, not all 0, got {weights.shape[-1]}")
    cumulative = np.cumsum(weights, axis=-1)
    below = u[:, None] * cumulative[:, -1:] >= cumulative
    return np.asarray(below.sum(axis=-1), dtype=np.int64)


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
    return _truncated(u, mean, std, factor)


@register("truncated_normal", n_parents=1, types=("continuous",))
def truncated_normal(
    u: NDArray[np.float64], parents: Sequence[Parent], factor: Factor, *, std: Positive, strength: Strength = 1.0
) -> NDArray[np.float64]:
    """Normal around the parent's value, truncated to the range; `strength` 0 puts the mean in the range's middle."""
    middle = sum(factor.bounds) / 2.0
    return _truncated(u, strength * parents[0].values + (1.0 - strength) * middle, std, factor)


def _truncated(u: NDArray[np.float64], mean: NDArray[np.float64], std: float, factor: Factor) -> NDArray[np.float64]:
    """Inverse CDF of normal distributions truncated to the factor's range."""
    low, high = factor.bounds
    a, b = (low - mean) / std, (high - mean) / std
    # Far in the upper tail the CDF rounds to 1: there, mirror the problem to the lower tail.
    mirrored = a > 0
    a, b = np.where(mirrored, -b, a), np.where(mirrored, -a, b)
    u = np.where(mirrored, 1.0 - u, u)
    z = ndtri(ndtr(a) + u * (ndtr(b) - ndtr(a)))
    return np.clip(mean + std * np.where(mirrored, -z, z), low, high)


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


@register("copy", n_parents=1, types=ALL_TYPES)
def copy(
    u: NDArray[np.float64], parents: Sequence[Parent], factor: Factor, *, strength: Strength = 1.0
) -> NDArray[Any]:
    """The parent's value (by its place in the support) with probability `strength`, else any value."""
    fresh = np.clip((u - strength) / max(1.0 - strength, 1e-300), 0.0, 1.0 - 2.0**-53)
    return np.where(u < strength, factor.from_unit(parents[0].unit), factor.from_unit(fresh))


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
        other = _truncated(again, parent.values, std, factor)
    return np.where(changed, other, parent.values)


@register("nearest_color", n_parents=2, types=("categorical",))
def nearest_color(u: NDArray[np.float64], parents: Sequence[Parent], factor: Factor) -> NDArray[np.int64]:
    """Name of a hue in the palette that the second parent selects: the nearest colour in RGB. Uses no noise.

    The value is an index into the names of all palettes of the factor, one palette after the other.
    """
    hue, drawn = parents
    if hue.factor.kind != "hue" or drawn.factor.n != len(factor.palettes):
        raise ValueError("the parents are a hue, and a categorical factor with one value for each of `palettes`")
    rgb = hsv_to_rgb(hue.factor.physical(hue.values), hue.factor.saturation, 1.0)
    index = np.empty(len(u), dtype=np.int64)
    offset = 0
    for number, name in enumerate(factor.palettes):
        rows = drawn.values == number
        if rows.any():
            index[rows] = offset + palette(name).nearest(rgb[rows])
        offset += len(palette(name).names)
    return index
