"""What the spec of a dataset must hold for its data to be read, even where today's rules refuse it.

Its mechanisms, templates and parents are not asked for: reading needs none of them. Its names are columns and files,
its factors are read by their support: that much is asked, since a dataset may come from a stranger.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from graphlib import CycleError
from typing import Any

from pydantic import ValidationError

from m3di.errors import UsageError
from m3di.latents.expressions import CONDITION, parsed
from m3di.latents.factor import MAX_WHOLE, Factor
from m3di.latents.name_pattern import MAX_NAME, NAME
from m3di.latents.problems import Origin, Problem, problems_of
from m3di.latents.spec import Spec
from m3di.latents.splits import overlay_problems, split_name_problems, unlike

MAX_VIEWS = 10_000


def stored_problems(spec: Spec) -> Iterator[Problem]:
    """What keeps the data of a stored spec from being read."""
    for section in ("factors", "views"):
        for name in getattr(spec, section):
            if not NAME.fullmatch(name) or len(name) > MAX_NAME:
                yield Problem((section, name), "a name is letters, digits and _, the first one a letter")
    for name, factor in spec.factors.items():
        what = _support_problem(factor)
        if what is not None:
            yield Problem(("factors", name), what)
    n_views = len(spec.views) * (2 + len(spec.pairs.counterfactual if spec.pairs else ()))
    n_views *= spec.sequence.length if spec.sequence is not None else 1
    if n_views > MAX_VIEWS:
        yield Problem(("views",), f"too many: {n_views}, expected at most {MAX_VIEWS}")
    yield from _unknown_factors(spec)
    if spec.given is not None:
        yield from _given_problems(spec)


def stored_split_problems(spec: Spec, data: dict[str, Any], origin: Origin) -> Iterator[Problem]:
    """What keeps the data of splits with processes of their own from being read."""
    found = [*split_name_problems(spec.splits)]
    found += [each for name, overlay in spec.overlays.items() for each in overlay_problems(spec.base, name, overlay)]
    if found:
        yield from found
        return
    try:
        variants = spec.variants
    except (ValidationError, TypeError, AttributeError) as error:
        got = next(problems_of(error, data, origin)).what if isinstance(error, ValidationError) else str(error)
        yield Problem(("splits",), f"a split does not fit the spec: {got}")
        return
    for name, variant in variants.items():
        for problem in stored_problems(variant):
            yield replace(problem, path=("splits", name, *problem.path))
        yield from (Problem(("splits", name), each) for each in unlike(spec.base, variant))


def _given_problems(spec: Spec) -> Iterator[Problem]:
    """What keeps the condition from being looked at."""
    try:
        parsed(spec.given.condition if spec.given else "", CONDITION)
    except UsageError as error:
        yield Problem(("given",), f"{error.what}: {error.details.get('got')}")
    factual = spec.given.factual if spec.given else None
    if factual is not None:
        before = Spec.model_construct(**{**dict(spec), **dict(factual), "given": None})
        if {*before.factors} != {*spec.factors} or {*before.views} != {*spec.views}:
            yield Problem(("given", "factual"), "its factors and views are not those of the spec")
        else:
            yield from stored_problems(before)


def _unknown_factors(spec: Spec) -> Iterator[Problem]:
    for view, declared in spec.views.items():
        for name, use in declared.factors.items():
            path = ("views", view, "factors", name)
            if name not in spec.factors:
                yield Problem(path, "no factor is called so")
            elif use.role == "constant" and not _is_value(spec.factors[name], use.value):
                yield Problem(path, "the role `constant` needs a `value` in the range of the factor")
    for name, regime in spec.regimes.items():
        for case, mechanisms in regime.cases.items():
            for each in (regime.switch(name, case), *mechanisms):
                if each not in spec.factors:
                    yield Problem(("regimes", name, "cases", case), f"no factor is called {each!r}")
    for name in spec.pairs.counterfactual if spec.pairs else ():
        if name not in spec.factors:
            yield Problem(("pairs", "counterfactual"), f"no factor is called {name!r}")
    try:
        # Only what is declared: a parent may be missing, a circle has no values.
        _ = spec.order if all(name in spec.factors for view in spec.views.values() for name in view.factors) else ()
    except CycleError as error:
        yield Problem(("factors",), f"they depend on each other in a circle: {', '.join(map(str, error.args[1]))}")


def _is_value(factor: Factor, value: float | None) -> bool:
    low, high = factor.bounds
    return value is not None and math.isfinite(value) and low <= value <= high


def _support_problem(factor: Factor) -> str | None:
    """What keeps the values of a factor from having a range."""
    if factor.type == "categorical":
        if not factor.n:
            return "a categorical factor needs `values` or `palettes`"
        n_physical = factor.n
    else:
        if factor.values or factor.palettes:
            return f"`values` and `palettes` are for `type: categorical`, this factor is {factor.type}"
        if factor.range is None:
            return None if factor.type == "continuous" and not factor.physical_values else "it needs `range`"
        low, high = factor.range
        if not (low < high and math.isfinite(high - low)):
            return f"`range` must be [least, greatest], got [{low:g}, {high:g}]"
        if factor.type == "integer" and max(abs(low), abs(high)) > MAX_WHOLE:
            return f"the range of an integer factor ends at 2**53, got [{low:g}, {high:g}]"
        n_physical = 2
    if factor.physical_values is not None and len(factor.physical_values) != n_physical:
        return f"`physical` needs {n_physical} numbers, got {len(factor.physical_values)}"
    return None
