"""Rejection: the attempt of each sample whose values fulfil `given`. Sample i draws attempts 0, 1, 2, ... of its own.

The attempt is a part of the noise (see `m3di.latents.noise`), so sample i depends on nothing but its index. It is found
in the spec before any intervention: a counterfactual keeps the noise that was accepted, and is not rejected again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from m3di.errors import M3diError
from m3di.latents.conditions import condition_of, terms
from m3di.latents.expressions import Side, UndefinedError
from m3di.latents.spec import Spec
from m3di.latents.supports import NoValueError


class Draws(Protocol):
    """Attempts of some samples, each with its values."""

    spec: Spec
    split: str
    indices: NDArray[np.int64]

    def in_frame(self, frame: int, view: str, name: str) -> NDArray[Any]:
        """Values of a factor in a view and a frame."""


Draw = Callable[[Spec, NDArray[np.int64], NDArray[np.int64]], Draws]
"""Draws of samples (their indices), each by its attempt."""

N_MEASURED = 10_000
"""Draws on which the share of those that fulfil a condition is measured."""

MIN_SHARE = 0.001
"""A condition that fewer draws fulfil is refused."""

MAX_ATTEMPTS = 60_000
"""Where a share of 0.001 fulfils the condition, one sample in 10 to the 26 needs more."""


def holds(draws: Draws) -> NDArray[np.bool_]:
    """Whether draws fulfil the condition of their spec, bool [n]: in every frame, where the spec has frames."""
    spec = draws.spec
    expression, known = condition_of(spec), terms(spec)
    if expression is None:
        return np.ones(len(draws.indices), dtype=bool)
    chosen = np.ones(len(draws.indices), dtype=bool)
    every = any(term.frame is None for term in known.values())
    last = spec.sequence.length if spec.sequence is not None and every else 1
    if spec.sequence is not None:
        for frame in range(-spec.sequence.burn_in, 0):  # in their order, since each asks for the one before
            for term in known.values():
                draws.in_frame(frame, term.view, term.factor)
    for frame in range(last):

        def column(name: str, frame: int = frame) -> Side:
            term = known[name]
            values = draws.in_frame(frame if term.frame is None else term.frame, term.view, term.factor)
            return term.side(name, spec.factors[term.factor], values)

        try:
            chosen &= expression.condition(column, len(draws.indices), strict=True)
        except UndefinedError as error:
            raise NoValueError(
                "the condition `given` has no value",
                where=f"spec {spec.name!r}, sample {draws.indices[error.row or 0]} of {draws.split}",
                got=error.part,
                expected="comparisons of finite numbers",
                next_step="keep it within its limits: clip(x, low, high), max(x, least)",
            ) from None
    return chosen


def accepted_attempts(spec: Spec, indices: NDArray[np.int64], draw: Draw) -> NDArray[np.int64] | None:
    """The attempt [n] that each sample takes; None where the spec has no condition.

    Raises:
        M3diError: No attempt of a sample fulfils it.
    """
    if spec.given is None:
        return None
    factual = spec.factual
    attempts = np.zeros(len(indices), dtype=np.int64)
    left = np.arange(len(indices))
    for attempt in range(MAX_ATTEMPTS):
        fits = holds(draw(factual, indices[left], np.full(len(left), attempt)))
        attempts[left[fits]] = attempt
        left = left[~fits]
        if not len(left):
            return attempts
    raise M3diError(
        "no draw of a sample fulfils `given`",
        where=f"spec {spec.name!r}, sample {indices[left[0]]}",
        got=f"{MAX_ATTEMPTS:,} draws",
        expected=spec.given.condition,
        next_step="take a weaker condition",
    )
