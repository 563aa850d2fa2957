"""Mechanisms that give labels: by weights, by a table of weights, and the names of hues."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from m3di.latents.builtin.weighted import Rows, Shares, Strength, from_weights
from m3di.latents.colors import PALETTES, hsv_to_rgb
from m3di.latents.factor import Factor
from m3di.latents.mechanisms import register
from m3di.latents.varying import Parent


@register("categorical", n_parents=0, types=("categorical",))
def categorical(
    u: NDArray[np.float64], parents: Sequence[Parent], factor: Factor, *, weights: Shares
) -> NDArray[np.int64]:
    """Values with given `weights`, in the order of the factor's values.

    Weights are probabilities (their sum is 1) or ratios in whole numbers: [10, 1] is ten to one; where one of them is
    an expression, they are ratios of any kind.
    """
    rows = np.asarray(weights, dtype=np.float64)
    return from_weights(u, rows if rows.ndim == 2 else rows[None, :], factor)


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
    if set(drawn.factor.names) & {*PALETTES, *factor.palettes} and drawn.factor.names != factor.palettes:
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
            index[rows] = offset + factor.palette(name).nearest(rgb[rows])
        offset += len(factor.palette(name).names)
    return index
