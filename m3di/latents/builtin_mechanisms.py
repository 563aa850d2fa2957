"""The mechanisms that come with m3di."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from scipy.special import betaincinv, log_ndtr, ndtr, ndtri, ndtri_exp

from m3di.latents.colors import PALETTES, hsv_to_rgb, palette
from m3di.latents.factor import MAX_WHOLE, Factor
from m3di.latents.mechanisms import ALL_TYPES, Parent, register

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
Shares = Annotated[Weights, AfterValidator(_shares)]
Rows = Annotated[list[Any], AfterValidator(_shares)]


@register("uniform", n_parents=0, types=ALL_TYPES)
def uniform(u: NDArray[np.float64], parents: Sequence[Parent], factor: Factor) -> NDArray[Any]:
    """Every value of the support is equally likely."""
    return factor.from_unit(u)


@register("constant", n_parents=0, types=ALL_TYPES, needs_range=False)
def constant(u: NDArray[np.float64], parents: Sequence[Parent], factor: Factor, *, value: float) -> NDArray[Any]:
    """Always the same raw `value`."""
    if factor.type != "continuous" and value != int(value):
        raise ValueError(f"`value` is a whole number for a {factor.type} factor, got {value:g}")
    return np.full(len(u), value, dtype=factor.dtype)


@register("categorical", n_parents=0, types=("categorical",))
def categorical(
    u: NDArray[np.float64], parents: Sequence[Parent], factor: Factor, *, weights: Shares
) -> NDArray[np.int64]:
    """Values with given `weights`, in the order of the factor's values.

    Weights are probabilities (their sum is 1) or ratios in whole numbers: [10, 1] is ten to one.
    """
    return _from_weights(u, np.asarray(weights)[None, :], factor)


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


DEEP = -35.0  # standard deviations; at -38 the CDF of the normal distribution is 0 in float64


def _truncated(u: NDArray[np.float64], mean: NDArray[np.float64], std: float, factor: Factor) -> NDArray[np.float64]:
    """Inverse CDF of normal distributions truncated to the factor's range."""
    low, high = factor.bounds
    a, b = (low - mean) / std, (high - mean) / std
    # Far in the upper tail the CDF rounds to 1: there, mirror the problem to the lower tail.
    mirrored = a > 0
    a, b = np.where(mirrored, -b, a), np.where(mirrored, -a, b)
    u = np.where(mirrored, 1.0 - u, u)
    z = ndtri(ndtr(a) + u * (ndtr(b) - ndtr(a)))
    # So far in the tail that the CDF is 0 itself (a mean far outside the range): by its logarithm.
    deep = b < DEEP
    if np.any(deep):
        shifted = log_ndtr(b) + np.log(u + (1.0 - u) * np.exp(log_ndtr(a) - log_ndtr(b)))
        z = np.where(deep, ndtri_exp(shifted), z)
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
        raise ValueError(
            "the parents are a hue, and a categorical factor with one value for each of `palettes`: "
            f"they are of kind {hue.factor.kind}, and with {drawn.factor.n} values for {len(factor.palettes)} palettes"
        )
    if set(drawn.factor.names) & set(PALETTES) and drawn.factor.names != factor.palettes:
        raise ValueError(
            f"the values of the second parent name the palettes, in their order: they are "
            f"{', '.join(drawn.factor.names)}, and `palettes` {', '.join(factor.palettes)}"
        )
    rgb = hsv_to_rgb(hue.factor.physical(hue.values), hue.factor.saturation, 1.0, wheel=hue.factor.wheel)
    index = np.empty(len(u), dtype=np.int64)
    offset = 0
    for number, name in enumerate(factor.palettes):
        rows = drawn.values == number
        if rows.any():
            index[rows] = offset + palette(name).nearest(rgb[rows])
        offset += len(palette(name).names)
    return index


class Mean(BaseModel):
    """A mean that depends on numbers: `intercept` + the sum of `weights` x f(number), one weight a number.

    Attributes:
        weights: One weight a number.
        of: What of a number counts: `raw` its raw value, `sin` and `cos` those of its physical value in radians.
        intercept: What is added.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    weights: list[float]
    of: Literal["raw", "sin", "cos"] = "raw"
    intercept: float = 0.0


@register("normal_by_label", n_parents=None, types=("continuous",), needs_range=False)
def normal_by_label(
    u: NDArray[np.float64],
    parents: Sequence[Parent],
    factor: Factor,
    *,
    means: list[float | Mean],
    std: Positive,
    strength: Strength = 1.0,
) -> NDArray[np.float64]:
    """Normal around a mean that a label selects, truncated to the factor's range if it has one.

    Parents are a label, then numbers. `means` has one entry a value of the label: a number, or a mapping with
    `weights`, `of` and `intercept` that makes it depend on the numbers (Causal3DIdent: `{weights: [-1], of: sin}`).
    `strength` 0 puts every mean at 0.
    """
    if not parents or parents[0].factor.type != "categorical":
        raise ValueError("the first parent is a label, the others are numbers")
    label, *numbers = parents
    if len(means) != label.factor.n:
        raise ValueError(f"{label.factor.n} means are needed, one a value of the label, got {len(means)}")
    mean = np.zeros(len(u))
    for value, entry in enumerate(means):
        rows = label.values == value
        mean[rows] = strength * _mean(entry, [(each, each.values[rows]) for each in numbers])
    return _truncated(u, mean, std, factor)


def _mean(entry: float | Mean | dict[str, Any], numbers: list[tuple[Parent, NDArray[Any]]]) -> Any:
    """The mean of one value of the label, for the numbers of its samples."""
    if isinstance(entry, (int, float)):
        return float(entry)
    given = Mean.model_validate(entry)
    if len(given.weights) != len(numbers):
        raise ValueError(f"a mean has {len(given.weights)} weights, one is needed for each of {len(numbers)} numbers")
    total: Any = given.intercept
    for weight, (parent, raw) in zip(given.weights, numbers, strict=True):
        if given.of == "raw":
            total = total + weight * raw
        else:
            total = total + weight * (np.sin if given.of == "sin" else np.cos)(parent.factor.physical(raw))
    return total


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
