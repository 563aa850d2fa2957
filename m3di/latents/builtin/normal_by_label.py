"""A normal number around a mean that a label selects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from m3di.latents.builtin.truncated import truncated
from m3di.latents.builtin.weighted import Positive, Strength
from m3di.latents.factor import Factor
from m3di.latents.mechanisms import Parent, register


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
    return truncated(u, mean, std, factor)


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
