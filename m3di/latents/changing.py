"""What changes between views, sample by sample: the factors that `changes` and `mixes` of a view declare."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from m3di.latents.problems import Problem, hint, listed
from m3di.latents.spec import Spec
from m3di.latents.stood_for import contradictions
from m3di.latents.subsets import Subset, member_factor, subset_factor, subset_problems
from m3di.latents.view import FactorUse
from m3di.latents.yaml_text import Path

KEPT_CHANGED = ("kept", "changed")


def changes_factor(view: str) -> str:
    """Name of the factor that draws which factors of a view change."""
    return f"{view}_changes"


def changed_factor(view: str, name: str) -> str:
    """Name of the factor that says whether a factor of a view changes."""
    return f"{view}_changed_{name}"


def from_factor(view: str, name: str) -> str:
    """Name of the factor that says of which of two views a factor of a mixing view has its value."""
    return f"{view}_from_{name}"


def add_changes(name: str, view: dict[str, Any], data: dict[str, Any]) -> list[Problem]:
    """Declare what the keys `changes` and `mixes` of a view stand for, and let its factors say `when` they change.

    Args:
        name: Name of the view.
        view: Its plain data, not validated yet; what has not the right form is reported with the view.
        data: The plain data of the spec.

    Returns:
        What is wrong with the subset, and factors that are declared otherwise than it says.
    """
    factors: dict[str, Any] = data["factors"]
    uses, mixes = view.get("factors"), view.get("mixes") or ()
    of_two = isinstance(mixes, (list, tuple)) and len(mixes) == 2 and all(isinstance(each, str) for each in mixes)
    if view.get("changes") is None or not isinstance(uses, dict) or (mixes and not of_two):
        return []
    try:
        subset = Subset.model_validate(view["changes"])
        eligible = [each for each, use in uses.items() if can_change(_use(use), mixes=of_two)]
    except ValidationError:
        return []
    whole, mask_of = changes_factor(name), from_factor if of_two else changed_factor
    resolved = bool(data.get("interventions")) and whole in factors
    # What an intervention has set keeps its place in the subset.
    known = [each for each in uses if mask_of(name, each) in factors] if resolved else eligible
    path: Path = ("views", name, "changes")
    problems = list(subset_problems(subset, path, known, *_WANTED[of_two], needs_all=True))
    if problems:
        return problems
    members = subset.members(known)
    problems += contradictions(data, whole, subset_factor(subset, members), path)
    factors.setdefault(whole, subset_factor(subset, members))
    values = list(mixes) if of_two else KEPT_CHANGED
    for number, each in enumerate(members):
        if each in eligible:
            mask = mask_of(name, each)
            problems += contradictions(data, mask, member_factor(whole, number, values), path)
            uses[each] = {"when": mask, **(uses[each] if isinstance(uses[each], dict) else {"role": uses[each]})}
            if uses[each]["when"] == mask:
                factors.setdefault(mask, member_factor(whole, number, values))
                uses.setdefault(mask, {"role": "private", "recorded": True})
    return problems


_WANTED = {
    False: ("a factor of the view with `change`", "write {role: style, change: {name: MECHANISM}} for it"),
    True: ("a style factor of the view, to be mixed", "write `FACTOR: style`"),
}


def choosing_factors(spec: Spec) -> frozenset[str]:
    """The factors that draw a subset, and those that record it: whether a name is in it, whether a caption is wrong."""
    kinds = ("subset", "member", "unequal")
    masks = {use.when for view in spec.views.values() for use in view.factors.values() if use.when is not None}
    return frozenset(name for name, each in spec.factors.items() if each.mechanism.name in kinds or name in masks)


def _use(use: Any) -> FactorUse:
    return FactorUse.model_validate({"role": use} if isinstance(use, str) else use)


def can_change(use: FactorUse, *, mixes: bool) -> bool:
    """Whether a use has two values to choose from: with and without `change`, or those of two views."""
    return use.change is not None or (mixes and is_mixed(use))


def is_mixed(use: FactorUse) -> bool:
    """Whether a factor of a view that mixes two others has the value of one of these."""
    return use.role == "style" and use.change is None and use.mechanism is None


def change_problems(spec: Spec, view: str) -> Iterator[Problem]:
    """What is wrong with `changes`, `mixes` and `when` of a view."""
    declared = spec.views[view]
    if declared.mixes is not None:
        yield from _mixes_problems(spec, view, declared.mixes)
    for name, use in declared.factors.items():
        if use.when is not None:
            yield from _when_problems(spec, view, name, use.when)


def _mixes_problems(spec: Spec, view: str, mixes: tuple[str, str]) -> Iterator[Problem]:
    path = ("views", view, "mixes")
    declared = spec.views[view]
    others = [each for each in spec.views if each != view]
    if mixes[0] == mixes[1]:
        yield Problem(path, "it mixes a view with itself", expected="two views", next_step="name another one")
        return
    for number, each in enumerate(mixes):
        if each not in others:
            what = "it cannot mix itself" if each == view else f"no view is called {each!r}{hint(each, others)}"
            yield Problem((*path, number), what, repr(each), listed(others), "name two other views of the spec")
            return
        if spec.views[each].mixes is not None:
            said = f"{each} mixes other views itself"
            yield Problem((*path, number), said, repr(each), "a view that mixes none", "name another view")
            return
    if declared.changes is None:
        yield Problem(
            path,
            "`mixes` needs `changes`: it says which factors are those of the second view",
            expected="changes: {probability: 0.5, at_least: 1}, for example",
            next_step="add `changes`",
        )
    for name, use in declared.factors.items():
        lacking = [each for each in mixes if name not in spec.views[each].factors]
        if is_mixed(use) and lacking:
            yield Problem(
                ("views", view, "factors", name),
                f"{view} mixes {name} of {mixes[0]} and {mixes[1]}, and {lacking[0]} does not see it",
                expected="a factor that both views see",
                next_step=f"let {lacking[0]} see it, or write `private`",
                related=(path,),
            )


def _when_problems(spec: Spec, view: str, name: str, when: str) -> Iterator[Problem]:
    declared, path = spec.views[view], ("views", view, "factors", name, "when")
    if not can_change(declared.factors[name], mixes=declared.mixes is not None):
        yield Problem(path, "`when` needs `change`", expected="change: {name: MECHANISM}", next_step="add `change`")
    elif when not in declared.factors or when not in spec.factors:
        yield Problem(
            path,
            f"the view sees no factor {when!r}{hint(when, declared.factors)}",
            repr(when),
            "a factor of the view with two values",
            f"add {when}: {{role: private, recorded: true}} to the view, and declare it",
        )
    elif spec.factors[when].type != "categorical" or spec.factors[when].n != 2:
        yield Problem(path, f"{when} has not two values", repr(when), "values: [kept, changed]", "take another factor")
    elif declared.changes is not None:
        # A factor of these names is read by them: with its values in another order, a table would say the opposite.
        own = {changed_factor(view, name): KEPT_CHANGED, from_factor(view, name): declared.mixes or ()}
        wanted, names = own.get(when, ()), spec.factors[when].names
        if wanted and names != tuple(wanted):
            what = f"{when} says of {name} whether it is changed, by the second of its values: they are others"
            yield Problem(
                ("factors", when, "values"), what, listed(names), listed(wanted), "write these, in this order"
            )
