"""`given`: the condition that the samples of a spec fulfil, its names and where their values are taken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m3di.errors import UsageError
from m3di.latents.expressions import CONDITION, Expression, Side, parsed
from m3di.latents.factor import Factor
from m3di.latents.graph import apart
from m3di.latents.mechanism_use import earlier
from m3di.latents.problems import Problem, hint, listed
from m3di.latents.spec import Spec
from m3di.latents.varying import reference
from m3di.latents.yaml_text import Path

SHARED = ""
"""The view name of what all views have in common."""

PATH = ("given",)


@dataclass(frozen=True)
class Term:
    """What a name in a condition stands for.

    Attributes:
        view: The declared view that has the value; "" for what all views share.
        factor: The factor.
        is_physical: Whether it is the physical value.
        frame: Number of the frame; None for every frame of the view, each by itself.
    """

    view: str
    factor: str
    is_physical: bool
    frame: int | None

    def side(self, name: str, factor: Factor, values: NDArray[Any]) -> Side:
        """Its values in an expression."""
        if self.is_physical:
            return Side(name, factor.physical(values))
        return Side(name, values, factor.names if factor.type == "categorical" else ())


def condition_of(spec: Spec) -> Expression | None:
    """The parsed condition of a spec."""
    return parsed(spec.given.condition, CONDITION) if spec.given is not None else None


def terms(spec: Spec) -> dict[str, Term]:
    """What the names of the condition stand for.

    Raises:
        UsageError: One stands for nothing, or for several values.
    """
    expression = condition_of(spec)
    before = spec.factual  # an intervention on one view gives a factor a value of its own there, after the condition
    return {name: _term(before, name) for name in expression.names} if expression is not None else {}


def late_condition(spec: Spec, below: Path) -> Iterator[Problem]:
    """The condition of a resolved spec that came after its interventions: what it is to be looked at in is gone.

    Args:
        spec: The spec, or the process of a split.
        below: Where that stands.
    """
    if spec.interventions and spec.given is not None and spec.given.factual is None:
        yield Problem(
            (*below, *PATH),
            "interventions are in the mechanisms already: the condition would come after them",
            spec.given.condition,
            "the spec without interventions, with the condition; interventions come after it",
            "add `given` to that spec, then intervene: `interventions` there, m3di ... --do, or `do`",
        )


def given_factors(spec: Spec) -> frozenset[str]:
    """The factors that the condition is about, and all that they depend on."""
    return spec.ancestors([each.factor for each in terms(spec).values()]) if spec.given is not None else frozenset()


def _term(spec: Spec, name: str) -> Term:
    view, _, column = name.rpartition(".")
    known = reference(column, spec.factors)
    if known is None or earlier(known[0])[1]:
        columns = [each for factor, own in spec.factors.items() for each in own.columns(factor)]
        raise UsageError(
            f"no factor is called {column!r}{hint(column, columns)}",
            where=spec.given.condition if spec.given else None,
            got=name,
            expected=f"FACTOR or VIEW.FACTOR: {listed(spec.factors)}",
            next_step=_quoted(spec, column) or "correct the name",
        )
    factor, is_physical = known
    seeing = {each: declared for each, declared in spec.views.items() if factor in declared.factors}
    if view:
        observed = spec.observed.get(view)
        declared = observed.declared if observed is not None else view
        if declared not in seeing or (observed is not None and (observed.do or observed.permuted)):
            raise UsageError(
                f"no view {view!r} sees {factor!r}{hint(view, seeing)}",
                got=name,
                expected=listed(f"{each}.{column}" for each in seeing) or f"{column} alone: no view sees it",
                next_step="correct the name",
            )
        return Term(
            declared, factor, is_physical, observed.frame if observed is not None and view != declared else None
        )
    if len(seeing) == 1:
        return Term(next(iter(seeing)), factor, is_physical, None)
    different = [each for each in seeing if factor in apart(spec, each)]
    if different:
        raise UsageError(
            f"{factor!r} has a value of its own in {listed(different)}: which one is meant?",
            got=name,
            expected=listed(f"{each}.{column}" for each in seeing),
            next_step=f"write {different[0]}.{column}",
        )
    return Term(SHARED, factor, is_physical, None)


def _quoted(spec: Spec, name: str) -> str | None:
    labels = [own for own, factor in spec.factors.items() if factor.type == "categorical" and name in factor.names]
    return f'write "{name}", in quotes: it is a label of {labels[0]}' if labels else None


def condition_problems(spec: Spec) -> Iterator[Problem]:
    """What is wrong with the condition of a spec."""
    if spec.given is None:
        return
    try:
        expression = parsed(spec.given.condition, CONDITION)
        known = terms(spec)
        zeros = {each: np.zeros(1, dtype=np.int64) for each in spec.factors}
        expression.condition(
            lambda name: known[name].side(name, spec.factors[known[name].factor], zeros[known[name].factor]), 1
        )
        if not expression.names:
            yield Problem(PATH, "the condition names no factor", expression.text, CONDITION.expected, "name one")
    except UsageError as error:
        details = error.details
        got, expected = details.get("got", spec.given.condition), details.get("expected", CONDITION.expected)
        yield Problem(PATH, error.what, got, expected, details.get("next", "correct it"))


def holds_in(spec: Spec, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_] | None:
    """Whether rows of a table fulfil the condition of a spec, bool [n].

    Args:
        spec: The spec.
        columns: Columns of the table by name, `VIEW.FACTOR`.

    Returns:
        None where there is no condition, where it holds before interventions only, and where the table does not have
        what it names.
    """
    expression = condition_of(spec)
    if expression is None or spec.interventions or not columns:
        return None
    sides: dict[str, list[Side]] = {}
    for name, term in terms(spec).items():
        views = [
            view
            for view, each in spec.observed.items()
            if term.factor in each.view.factors
            and term.view in (SHARED, each.declared)
            and not (each.do or each.permuted)
            and term.frame in (None, each.frame)
        ]
        found = [columns[f"{view}.{term.factor}"] for view in views if f"{view}.{term.factor}" in columns]
        if not found:
            return None
        sides[name] = [term.side(name, spec.factors[term.factor], values) for values in found]
    n = len(next(iter(columns.values())))
    frames = range(max(map(len, sides.values()))) if spec.sequence is not None else range(1)
    chosen = np.ones(n, dtype=bool)
    for frame in frames:
        chosen &= expression.condition(lambda name, frame=frame: sides[name][min(frame, len(sides[name]) - 1)], n)  # type: ignore[misc]
    return chosen
