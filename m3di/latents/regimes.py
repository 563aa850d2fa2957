"""Regimes: in which samples which mechanisms are others. Interventions inside a dataset, and its environments.

A regime has cases, each with the mechanisms that hold in it in place of the factors' own. Which case a sample is in is
a factor like any other: one label, or one factor of two values for each case, where a random subset of them is chosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from m3di.errors import UsageError
from m3di.latents.builtin.memberships import MAX_MEMBERS
from m3di.latents.factor import STORED, WHENCE, Factor, Strict
from m3di.latents.mechanism_use import MechanismUse, earlier
from m3di.latents.name_pattern import MAX_NAME, NAME
from m3di.latents.problems import Problem, listed
from m3di.latents.replacement import asked_mechanism, replaced
from m3di.latents.said import NO_YES
from m3di.latents.stood_for import contradictions
from m3di.latents.subsets import Subset, member_factor, subset_factor, subset_problems
from m3di.latents.yaml_text import Path


class Regime(Strict):
    """Mechanisms that are others in some samples. Which, is recorded in the table.

    Attributes:
        chosen: How a random subset of the cases is drawn; whether one is in it is the factor `REGIME_CASE`, `no` or
            `yes`. Without it, one case holds at a time: the one whose name is the value of the categorical factor that
            is called as the regime. Where the spec does not declare that factor, its values are the cases, each as
            likely.
        cases: By case, what is another one there, by factor: a value, the name of a mechanism, or a mapping, as in
            `interventions`. Where several cases that hold replace the mechanism of one factor, the last one counts;
            those of a regime with `chosen` come after all others.
    """

    chosen: Subset | None = None
    cases: dict[str, dict[str, MechanismUse]]

    def switch(self, name: str, case: str) -> str:
        """The factor that says whether a case holds, for the regime of a name."""
        return name if self.chosen is None else case_factor(name, case)


@dataclass(frozen=True)
class Replaced:
    """A mechanism of a factor in one case of a regime.

    Attributes:
        switch: The factor that says whether the case holds.
        value: The raw value of it with which the case holds.
        use: The mechanism.
        path: Where the spec has it.
    """

    switch: str
    value: int
    use: MechanismUse
    path: Path


def case_factor(regime: str, case: str) -> str:
    """Name of the factor that says whether one of several cases of a regime holds."""
    return f"{regime}_{case}"


def replaced_in(regimes: Mapping[str, Regime], factors: Mapping[str, Factor]) -> dict[str, tuple[Replaced, ...]]:
    """The mechanisms that replace those of factors, by factor: of several that hold, the last one counts."""
    found: dict[str, tuple[Replaced, ...]] = {}
    for name, regime in sorted(regimes.items(), key=lambda each: each[1].chosen is not None):
        for case, mechanisms in regime.cases.items():
            switch = regime.switch(name, case)
            labels = factors[switch].names if switch in factors and factors[switch].type == "categorical" else ()
            wanted = case if regime.chosen is None else NO_YES[1]
            value = labels.index(wanted) if wanted in labels else -1
            for factor, use in mechanisms.items():
                path: Path = ("regimes", name, "cases", case, factor)
                found[factor] = (*found.get(factor, ()), Replaced(switch, value, use, path))
    return found


def told_regimes(regimes: Mapping[str, Regime]) -> list[str]:
    """Regimes in words, a line each: their cases, what these replace, and how it is chosen which hold."""
    lines = []
    for name, regime in regimes.items():
        cases = [
            case if list(mechanisms) == [case] else f"{case} ({', '.join(mechanisms) or 'nothing is replaced'})"
            for case, mechanisms in regime.cases.items()
        ]
        how = "the case that the factor names" if regime.chosen is None else f"{_told_chance(regime.chosen)}"
        lines.append(f"{name}: {', '.join(cases)}; {how}")
    return lines


def _told_chance(chosen: Subset) -> str:
    if chosen.sets is not None:
        sets = ["none" if not each else " and ".join(each) for each in chosen.sets]
        weights = f", with weights {', '.join(f'{each:g}' for each in chosen.weights)}" if chosen.weights else ""
        return f"one of {', '.join(sets)}{weights}"
    given = chosen.probability
    chances = given if isinstance(given, dict) else {"each": 0.5 if given is None else given}
    told = [f"{case} with probability {chance:.3g}" for case, chance in chances.items()]
    bounds = [f"at least {chosen.at_least}"] if chosen.at_least else []
    bounds += [f"at most {chosen.at_most}"] if chosen.at_most is not None else []
    return ", ".join([*told, *bounds])


def add_regimes(data: dict[str, Any]) -> list[Problem]:
    """Declare the factors that say which cases hold.

    Args:
        data: The plain data of a spec; what has not the right form is reported with the regime.

    Returns:
        What is wrong with cases.
    """
    problems: list[Problem] = []
    for name, regime in _mappings(data.get("regimes")):
        cases = regime.get("cases")
        if not isinstance(cases, dict):
            continue
        problems += _declare(str(name), regime, cases, data)
    return problems


def write_cases(data: dict[str, Any]) -> list[Problem]:
    """Write each case's mechanisms as such: for factors that views have declared, too.

    Args:
        data: The plain data of a spec.

    Returns:
        What is wrong with cases.
    """
    problems: list[Problem] = []
    for name, regime in _mappings(data.get("regimes")):
        for case, mechanisms in _mappings(regime.get("cases")):
            for factor, asked in list(mechanisms.items()):
                path: Path = ("regimes", name, "cases", case, factor)
                problems += _write_mechanism(path, mechanisms, asked, data)
    return problems


def record_regimes(data: dict[str, Any]) -> None:
    """Let the views that show what a regime replaces, or what follows it, have the regime's factors in the table.

    They are style there: of the noise that all views share. Parents must have been written down.
    """
    factors, views = data.get("factors"), data.get("views")
    if not isinstance(factors, dict) or not isinstance(views, dict):
        return
    for name, regime in _mappings(data.get("regimes")):
        cases = dict(_mappings(regime.get("cases")))
        switches = [str(name)] if regime.get("chosen") is None else [case_factor(str(name), case) for case in cases]
        reached = _descendants({each for mechanisms in cases.values() for each in mechanisms}, data)
        for uses in _uses_reached(views, reached):
            for switch in switches:
                if switch in factors:
                    uses.setdefault(switch, {"role": "style", "recorded": True})


def _uses_reached(views: dict[str, Any], reached: set[str]) -> Iterator[dict[str, Any]]:
    """What each view uses that sees one of some factors; with a view that mixes two others, what these use."""
    found: list[str] = []
    for name, view in _mappings(views):
        uses, mixed = view.get("factors"), view.get("mixes")
        if isinstance(uses, dict) and reached.intersection(uses):
            found += [name, *(str(each) for each in (mixed if isinstance(mixed, (list, tuple)) else ()))]
    for name in dict.fromkeys(found):
        uses = views[name].get("factors") if isinstance(views.get(name), dict) else None
        if isinstance(uses, dict):
            yield uses


def declared_by_regime(problem: Problem, regimes: Any, own: frozenset[str]) -> Problem:
    """A problem of a factor that a regime has declared is one of that regime, or of the case: it stands in the file.

    Args:
        problem: The problem.
        regimes: The regimes in the plain data of a spec.
        own: Names of the factors that the spec declares itself.
    """
    if problem.path[:1] != ("factors",) or len(problem.path) < 2 or problem.path[1] in own:
        return problem
    for name, regime in _mappings(regimes):
        if problem.path[1] == name:
            return replace(problem, path=("regimes", name))
        for case in regime.get("cases", {}) if regime.get("chosen") is not None else ():
            if problem.path[1] == case_factor(str(name), str(case)):
                return replace(problem, path=("regimes", name, "cases", case))
    return problem


def _mappings(value: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The entries of a mapping that are mappings themselves."""
    for key, each in value.items() if isinstance(value, dict) else ():
        if isinstance(each, dict):
            yield key, each


def _declare(name: str, regime: dict[str, Any], cases: dict[str, Any], data: dict[str, Any]) -> list[Problem]:
    """Declare the factors of one regime, where the spec does not do it."""
    factors = data.get("factors")
    if not isinstance(factors, dict):
        return []
    path: Path = ("regimes", name)
    if regime.get("chosen") is None:
        if name not in factors:
            problem = _label_problem(path, name, cases)
            if problem is not None:
                return [problem]
            factors[name] = {"type": "categorical", "kind": "label", "values": [str(case) for case in cases]}
        return []
    try:
        subset = Subset.model_validate(regime["chosen"])
    except ValidationError:
        return []  # reported with the regime
    eligible = [str(case) for case in cases]
    unfit = [each for each in eligible if not NAME.fullmatch(case_factor(name, each))]
    unfit += [each for each in eligible if len(case_factor(name, each)) > MAX_NAME]
    if unfit:
        what = f"the case {unfit[0]!r} would be the factor {case_factor(name, unfit[0])!r}"
        expected = f"a name of letters, digits and _, at most {MAX_NAME} characters with that of the regime"
        return [Problem((*path, "cases", unfit[0]), what, repr(unfit[0]), expected, "rename the case")]
    path = (*path, "chosen")
    problems = list(subset_problems(subset, path, eligible, "a case of the regime", "add `cases`"))
    if problems:  # told once: what names the regime, or one of its cases, finds it
        subset, eligible = Subset(), eligible[:MAX_MEMBERS]
    members = subset.members(eligible)
    if not members:
        return problems
    meant = {name: subset_factor(subset, members)}
    meant |= {case_factor(name, case): member_factor(name, number, NO_YES) for number, case in enumerate(members)}
    for each, declared in meant.items():
        problems += contradictions(data, each, declared, path) if not problems else ()
        factors.setdefault(each, declared)
    return problems


def _label_problem(path: Path, name: str, cases: dict[str, Any]) -> Problem | None:
    """What keeps cases from being the values of a factor."""
    if len(cases) < 2:
        what = f"the regime has {len(cases)} case{'s'[: len(cases) != 1]}, and one always holds"
        step = "add a case that changes nothing, such as  usual: {}; or `chosen: {probability: 0.5}`"
        return Problem((*path, "cases"), what, listed(cases), "two cases or more", step)
    if not NAME.fullmatch(name) or len(name) > MAX_NAME:
        expected = f"letters, digits and _, the first one a letter; at most {MAX_NAME} characters"
        return Problem(path, f"the regime {name!r} would be a factor of that name", repr(name), expected, "rename it")
    return None


def _write_mechanism(path: Path, mechanisms: dict[str, Any], asked: Any, data: dict[str, Any]) -> list[Problem]:
    """Put the mechanism that is meant in the place of a value, a name or parameters."""
    name, plugins = str(path[-1]), data.get("plugins")
    declared = data["factors"].get(name) if isinstance(data.get("factors"), dict) else None
    if not isinstance(declared, dict):
        mechanisms[name] = {"name": "uniform"}  # what is wrong with the factor is reported
        return []
    if isinstance(asked, bool) or not isinstance(asked, (int, float, str, dict)):
        what = "what holds in a case is a value of the factor, a mechanism, or a mapping"
        expected = "a number, the name of a value or of a mechanism, or {std: 0.5}"
        return [Problem(path, what, expected=expected, next_step="write one; quote a name that YAML reads otherwise")]
    own = declared.get("mechanism", {"name": "uniform"})
    try:
        bare = {key: each for key, each in declared.items() if key not in WHENCE}
        factor = Factor.model_validate(bare, context={STORED: True})
        texts = {str(key): each for key, each in plugins.items()} if isinstance(plugins, dict) else {}
        mechanisms[name] = replaced(own, asked_mechanism(factor, asked, ".".join(map(str, path)), texts))
    except UsageError as error:
        details = error.details
        return [Problem(path, error.what, details.get("got"), details.get("expected"), details.get("next"))]
    except (ValidationError, TypeError, AttributeError, IndexError):
        pass  # reported with the factor
    return []


def _descendants(names: set[str], data: dict[str, Any]) -> set[str]:
    """The factors named and all that depend on them, by plain data whose parents are written down."""
    causes: dict[str, set[str]] = {}
    for name, use in mechanisms_in(data):
        parents = use.get("parents")
        for parent in parents if isinstance(parents, (list, tuple)) else ():
            causes.setdefault(name, set()).add(earlier(str(parent))[0])
    found, before = set(names), -1
    while len(found) > before:
        before = len(found)
        found |= {name for name, parents in causes.items() if not found.isdisjoint(parents)}
    return found


def mechanisms_in(data: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The mechanisms in the plain data of a spec with the factors they give values to: theirs, of views, of cases."""
    holders = list(_mappings(data.get("factors")))
    for _, view in _mappings(data.get("views")):
        holders += _mappings(view.get("factors"))
    uses = [(name, holder.get(key)) for name, holder in holders for key in ("mechanism", "first")]
    for _, regime in _mappings(data.get("regimes")):
        uses += [each for _, case in _mappings(regime.get("cases")) for each in case.items()]
    for name, use in uses:
        if isinstance(use, dict) and isinstance(use.get("parents", []), (list, tuple, type(None))):
            yield str(name), use
