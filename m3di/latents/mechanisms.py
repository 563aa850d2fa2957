"""Causal mechanisms: parents and exactly one uniform number in, a value out, by inverse CDF.

A mechanism is a function `f(u, parents, factor, *, ...parameters)`, vectorised over samples; its keyword parameters
are what a spec file may set. `register` makes one known by name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, create_model

from m3di.latents.colors import hsv_to_rgb, palette
from m3di.latents.factor import Factor


@dataclass(frozen=True)
class Parent:
    """A parent as a mechanism sees it: its declaration and its raw values [n]."""

    factor: Factor
    values: NDArray[Any]


@dataclass(frozen=True)
class Mechanism:
    """A registered mechanism.

    Attributes:
        name: The name that a spec file uses.
        function: Evaluates it, see the module's docstring.
        n_parents: How many parents it takes; None for any number.
        types: Types of the factors it can give values to.
        parameters: Pydantic model of its keyword parameters.
    """

    name: str
    function: Callable[..., NDArray[Any]]
    n_parents: int | None
    types: tuple[str, ...]
    parameters: type[BaseModel]


MECHANISMS: dict[str, Mechanism] = {}

Strength = Annotated[float, Field(ge=0.0, le=1.0)]


def register(
    name: str, *, n_parents: int | None, types: Sequence[str]
) -> Callable[[Callable[..., NDArray[Any]]], Callable[..., NDArray[Any]]]:
    """Make a function usable as a mechanism in spec files under `name`."""

    def decorate(function: Callable[..., NDArray[Any]]) -> Callable[..., NDArray[Any]]:
        keywords = {
            parameter.name: (parameter.annotation, ... if parameter.default is parameter.empty else parameter.default)
            for parameter in inspect.signature(function, eval_str=True).parameters.values()
            if parameter.kind is parameter.KEYWORD_ONLY
        }
        fields: dict[str, Any] = keywords
        model = create_model(f"{name} parameters", __config__=ConfigDict(extra="forbid"), **fields)
        MECHANISMS[name] = Mechanism(name, function, n_parents, tuple(types), model)
        return function

    return decorate


def from_unit(u: NDArray[np.float64], factor: Factor) -> NDArray[Any]:
    """The uniform distribution over a factor's support, by inverse CDF."""
    if factor.type == "categorical":
        return np.floor(u * factor.n).astype(np.int64)
    low, high = factor.bounds
    if factor.type == "integer":
        return (low + np.floor(u * (high - low + 1))).astype(np.int64)
    return low + (high - low) * u


@register("uniform", n_parents=0, types=("categorical", "continuous", "integer"))
def uniform(u: NDArray[np.float64], parents: Sequence[Parent], factor: Factor) -> NDArray[Any]:
    """Every value of the support is equally likely."""
    return from_unit(u, factor)


@register("binned", n_parents=1, types=("continuous",))
def binned(
    u: NDArray[np.float64], parents: Sequence[Parent], factor: Factor, *, strength: Strength = 1.0
) -> NDArray[np.float64]:
    """Uniform in the bin that a categorical parent selects; bins divide the range evenly.

    With `strength` 1 this is the published hue given the x-position, (parent + u) / n_bins; with 0 the parent has no
    influence; between, quantiles are interpolated.
    """
    (parent,) = parents
    selected = (parent.values + u) / parent.factor.n
    return from_unit((1.0 - strength) * u + strength * selected, factor)


@register("nearest_color", n_parents=2, types=("categorical",))
def nearest_color(u: NDArray[np.float64], parents: Sequence[Parent], factor: Factor) -> NDArray[np.int64]:
    """Name of a hue in the palette that the second parent selects: the nearest colour in RGB. Uses no noise.

    The value is an index into the names of all palettes of the factor, one palette after the other.
    """
    hue, drawn = parents
    rgb = hsv_to_rgb(hue.factor.physical(hue.values), hue.factor.saturation, 1.0)
    index = np.empty(len(u), dtype=np.int64)
    offset = 0
    for number, name in enumerate(factor.palettes):
        rows = drawn.values == number
        if rows.any():
            index[rows] = offset + palette(name).nearest(rgb[rows])
        offset += len(palette(name).names)
    return index
