"""Mechanisms that choose some of several names at once; wrong values for those that are chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from m3di.latents.builtin.weighted import FixedShares, Strength
from m3di.latents.factor import Factor
from m3di.latents.mechanisms import ALL_TYPES, register
from m3di.latents.varying import Parent

MAX_MEMBERS = 24
"""Names that one uniform number chooses from: each takes some of its 52 bits."""

ROUNDING = 1e-9
"""Share of a bin that is left free at its edges."""

Count = Annotated[int, Field(ge=0, le=MAX_MEMBERS)]
Chances = Annotated[list[Strength], Field(min_length=1, max_length=MAX_MEMBERS)]
Sets = Annotated[list[Annotated[int, Field(ge=0, lt=2**MAX_MEMBERS)]], Field(min_length=1)]


@register("subset", n_parents=0, types=("integer",))
def subset(
    u: NDArray[np.float64],
    parents: Sequence[Parent],
    factor: Factor,
    *,
    probabilities: Chances | None = None,
    at_least: Count = 0,
    at_most: Count | None = None,
    sets: Sets | None = None,
    weights: FixedShares | None = None,
) -> NDArray[np.int64]:
    """A random subset, as a number whose bit k says whether name k is in it.

    Each name is in it with its probability, independently of the others, given that the subset has `at_least` and
    `at_most` so many. Or it is one of `sets`, by their `weights`.
    """
    if (probabilities is None) == (sets is None):
        raise ValueError("either `probabilities` or `sets` is needed")
    if sets is not None:
        shares = np.ones(len(sets)) if weights is None else np.asarray(weights, dtype=np.float64)
        if len(shares) != len(sets):
            raise ValueError(f"{len(sets)} weights are needed, one a set, got {len(shares)}")
        edges = np.cumsum(shares)
        return np.asarray(sets, dtype=np.int64)[np.searchsorted(edges[:-1], u * edges[-1], side="right")]
    chances = list(probabilities or ())
    return _independent(u, chances, at_least, len(chances) if at_most is None else at_most)


def _independent(u: NDArray[np.float64], chances: list[float], at_least: int, at_most: int) -> NDArray[np.int64]:
    """Name by name: what is left of the uniform number decides on the next one."""
    n = len(chances)
    # allowed[k, c]: the probability that the whole subset has a number that is allowed, where c of the first k are in.
    allowed = np.zeros((n + 1, n + 2))
    allowed[n, at_least : at_most + 1] = 1.0
    for k in reversed(range(n)):
        allowed[k, :-1] = chances[k] * allowed[k + 1, 1:] + (1.0 - chances[k]) * allowed[k + 1, :-1]
    if allowed[0, 0] <= 0.0:
        raise ValueError(f"no subset of {n} has {at_least} to {at_most} of them with these probabilities")
    found, count, rest = np.zeros(len(u), dtype=np.int64), np.zeros(len(u), dtype=np.int64), u
    for k, chance in enumerate(chances):
        inside = chance * allowed[k + 1, count + 1]
        share = inside / (inside + (1.0 - chance) * allowed[k + 1, count])
        chosen = rest < share
        left = np.where(chosen, rest / np.maximum(share, 1e-300), (rest - share) / np.maximum(1.0 - share, 1e-300))
        rest = np.clip(left, 2.0**-53, 1.0 - 2.0**-53)
        found |= chosen.astype(np.int64) << k
        count = count + chosen
    return found


@register("member", n_parents=1, types=("categorical",), parent_types=("integer",))
def member(u: NDArray[np.float64], parents: Sequence[Parent], factor: Factor, *, number: Count) -> NDArray[np.int64]:
    """Whether name `number` is in the subset that the parent is: 0 or 1. Uses no noise."""
    if factor.n != 2:
        raise ValueError(f"a factor with two values is needed, for no and yes, got {factor.n}")
    return (np.asarray(parents[0].values, dtype=np.int64) >> number) & 1


Bins = Annotated[int, Field(ge=2)]


@register("misstated", n_parents=2, types=("categorical", "continuous"))
def misstated(
    u: NDArray[np.float64], parents: Sequence[Parent], factor: Factor, *, number: Count, bins: Bins | None = None
) -> NDArray[Any]:
    """The first parent's value, or a wrong one where name `number` is in the subset that the second parent is.

    A wrong value is any other one, each as likely; of a colour name, any other of its palette. A wrong number lies in
    another one of the `bins` that divide the range evenly.
    """
    true, chosen = parents
    wrong = (np.asarray(chosen.values, dtype=np.int64) >> number) & 1
    if factor.type != "categorical":
        if bins is None:
            raise ValueError("a wrong number needs `bins`: numbers in one bin are told alike")
        step = np.minimum(np.floor((bins - 1) * u), bins - 2)
        within = np.clip((bins - 1) * u - step, ROUNDING, 1.0 - ROUNDING)  # at an edge it might round into the true bin
        other = ((_bin_of(true, bins) + 1 + step) % bins + within) / bins
        return np.where(wrong == 1, factor.from_unit(other), true.values)
    sizes = np.asarray(factor.group_sizes)
    if sizes.min() < 2:
        raise ValueError("a wrong value needs another one: there is only one value, or one name in a palette")
    group = np.searchsorted(np.cumsum(sizes), true.values, side="right")
    first, size = (np.cumsum(sizes) - sizes)[group], sizes[group]
    other = first + (true.values - first + 1 + np.floor(u * (size - 1)).astype(np.int64)) % size
    for value, unlike in _unlike(factor).items():  # two names of one colour are both true
        rows = true.values == value
        other[rows] = unlike[np.floor(u[rows] * len(unlike)).astype(np.int64)]
    return np.where(wrong == 1, other, true.values)


def _unlike(factor: Factor) -> dict[int, NDArray[np.int64]]:
    """For each colour name whose colour has another name in its palette, the names of its palette that are wrong."""
    found: dict[int, NDArray[np.int64]] = {}
    first = 0
    for size in factor.group_sizes if factor.palettes else ():
        codes = np.asarray(factor.hex[first : first + size])
        _, which, counts = np.unique(codes, return_inverse=True, return_counts=True)
        for place in np.flatnonzero(counts[which.ravel()] > 1):
            found[first + int(place)] = first + np.flatnonzero(codes != codes[place])
        first += size
    return found


@register("unequal", n_parents=2, types=("categorical",), parent_types=ALL_TYPES)
def unequal(
    u: NDArray[np.float64], parents: Sequence[Parent], factor: Factor, *, bins: Bins | None = None
) -> NDArray[np.int64]:
    """Whether the parents differ: 0 or 1. Numbers differ if they lie in different `bins`. Uses no noise."""
    if factor.n != 2:
        raise ValueError(f"a factor with two values is needed, for no and yes, got {factor.n}")
    one, other = (each.values if bins is None else _bin_of(each, bins) for each in parents)
    return (one != other).astype(np.int64)


def _bin_of(parent: Parent, bins: int) -> NDArray[np.int64]:
    return np.clip(np.floor(parent.unit * bins), 0, bins - 1).astype(np.int64)
