"""What is wrong with a regime: cases that nothing chooses, that change nothing, or that no view shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from m3di.latents.mechanism_checks import unknown_factor
from m3di.latents.problems import Problem, hint, listed
from m3di.latents.regimes import Regime, case_factor
from m3di.latents.said import NO_YES, set_in_vain
from m3di.latents.spec import Spec
from m3di.latents.yaml_text import Path


def regime_problems(spec: Spec, declared: Sequence[str]) -> Iterator[Problem]:
    """What is wrong with the regimes of a spec.

    Args:
        spec: The spec, without its unsound parts.
        declared: Names of all its factors, the unsound ones too.
    """
    yield from _two_of_one_name(spec)
    for name, regime in spec.regimes.items():
        path: Path = ("regimes", name)
        for case, mechanisms in regime.cases.items():
            for factor in mechanisms:
                if factor not in declared:
                    yield unknown_factor((*path, "cases", case, factor), factor, declared)
                elif (vain := set_in_vain(spec.views, factor)) is not None:
                    at: Path = (*path, "cases", case, factor)
                    yield Problem(at, vain["what"], factor, vain["expected"], vain["next"])
        yield from _unchosen(spec, name, regime)
        factors = [each for case in regime.cases.values() for each in case]
        if not factors and not spec.interventions:  # which may have taken them away
            step = "name one:  cases: {CASE: {FACTOR: MECHANISM}}"
            yield Problem(
                (*path, "cases"), "the regime replaces nothing", expected="a factor in a case", next_step=step
            )
        yield from _out_of_reach(spec, name, factors)


def _two_of_one_name(spec: Spec) -> Iterator[Problem]:
    """Cases of two regimes that one factor would stand for."""
    taken: dict[str, str] = {}
    for name, regime in spec.regimes.items():
        switches = [case_factor(name, case) for case in regime.cases] if regime.chosen is not None else []
        for switch in (name, *switches):
            if switch in taken:
                what = f"the regimes {taken[switch]!r} and {name!r} would both have the factor {switch!r}"
                yield Problem(("regimes", name), what, switch, "one factor for each", "rename a case, or a regime")
            taken.setdefault(switch, name)


def _unchosen(spec: Spec, name: str, regime: Regime) -> Iterator[Problem]:
    """Cases that no value of a factor stands for."""
    path: Path = ("regimes", name)
    if regime.chosen is not None:
        left_out = [case for case in regime.cases if case not in (regime.chosen.named() or regime.cases)]
        if left_out:
            key = "sets" if regime.chosen.sets is not None else "probability"
            step = f"name it there, or take {left_out[0]} away"
            yield Problem((*path, "chosen", key), f"it does not name the case {left_out[0]!r}", None, "all cases", step)
        for case in regime.cases:
            switch = case_factor(name, case)
            own = spec.factors.get(switch)
            if own is not None and (own.type != "categorical" or own.names != NO_YES):
                what = f"the factor {switch!r}, which says whether the case {case!r} holds, is another one"
                expected, step = f"the values {', '.join(NO_YES)}", "rename the factor, the regime or the case"
                yield Problem((*path, "cases", case), what, switch, expected, step)
        return
    label = spec.factors.get(name)
    if label is None:
        return  # reported with the factor
    if label.type != "categorical":
        what = f"the factor {name!r}, whose values say which case holds, is {label.type}"
        step = "make it categorical, rename the regime, or say how cases are `chosen`"
        yield Problem(path, what, label.type, "a categorical factor", step)
        return
    for case in regime.cases:
        if case not in label.names:
            what = f"no value of {name} is called {case!r}{hint(case, label.names)}: the case would never hold"
            yield Problem((*path, "cases", case), what, repr(case), listed(label.names), "correct the name of the case")


def _out_of_reach(spec: Spec, name: str, factors: list[str]) -> Iterator[Problem]:
    """A view has a mechanism or a constant of its own, which a case would not replace."""
    for view, declared in spec.views.items():
        for factor in dict.fromkeys(factors):
            use = declared.factors.get(factor)
            if use is None or f"{view}.{factor}" in spec.interventions:
                continue
            if use.role == "constant" or use.mechanism is not None:
                own = "always one value" if use.role == "constant" else "a mechanism of its own"
                yield Problem(
                    ("views", view, "factors", factor),
                    f"{view} has {own} for {factor}: the regime {name!r} would not reach it",
                    expected="one mechanism of the factor, which all views have",
                    next_step=f"write `{factor}: style`, or take it out of the regime",
                    related=(("regimes", name),),
                )
