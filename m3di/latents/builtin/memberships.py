"""Mechanisms that choose some of several names at once, and what is told of such a choice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from m3di.latents.builtin.weighted import Shares, Strength
from m3di.latents.factor import Factor
from m3di.latents.mechanisms import Parent, register

MAX_MEMBERS = 24
"""Names that one uniform number chooses from: each takes some of its 52 bits."""

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
    weights: Shares | None = None,
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
