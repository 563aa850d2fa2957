"""A resolved spec: from plain data to a `Spec` and back, with every problem of every stage in one report."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from m3di.latents.changing import add_changes
from m3di.latents.checks import spec_problems
from m3di.latents.conditions import late_condition
from m3di.latents.effects import effect_problems, idle_in_split, idle_problems
from m3di.latents.factor import STORED, Factor
from m3di.latents.filled_in import add_parents, spread_given
from m3di.latents.layer import Layer
from m3di.latents.modality import modalities
from m3di.latents.name_checks import spelling_problems
from m3di.latents.overlay import laid_over
from m3di.latents.problems import UNSET, Origin, Problem, found_at, hint, listed, problems_of, report, value_at
from m3di.latents.regimes import Regime, add_regimes, declared_by_regime, record_regimes, write_cases
from m3di.latents.spec import Given, Spec, Split
from m3di.latents.splits import SAME, below_overlay, overlay_problems, split_name_problems, unlike, with_variants
from m3di.latents.stored import stored_problems, stored_split_problems
from m3di.latents.subsets import SUBSETS, Subset
from m3di.latents.templates import Template
from m3di.latents.trial import trial_problems
from m3di.latents.variants import Pairs, Sequence
from m3di.latents.view import FactorUse, View
from m3di.latents.yaml_text import Path

STAND_IN = "private"
TITLE = "the spec has {count}:"
_MODELS: dict[str, type[BaseModel]] = {
    "factors": Factor,
    "views": View,
    "pairs": Pairs,
    "sequence": Sequence,
    "regimes": Regime,
    "given": Given,
}


def spec_from_dict(data: dict[str, Any], *, where: str, stored: bool = False) -> Spec:
    """Validate a resolved spec given as plain data, see `plain_spec`.

    Args:
        data: The spec.
        where: Where it comes from, for messages.
        stored: It comes from a dataset: its mechanisms, templates and parents are not asked for, since reading a
            dataset needs none of them. Nothing that came with the dataset is run, stored or not.

    Raises:
        UsageError: It is no valid spec.
    """
    if stored:
        return _stored(data, Origin(where))
    spec = validated(data, Origin(where))
    late = list(late_condition(spec.base, ()))
    for split, each in spec.variants.items():
        late += late_condition(each, ("splits", split))
    if late:
        raise report(TITLE, late, data, Origin(where))
    return spec


def plain_spec(spec: Spec) -> dict[str, Any]:
    """A spec as plain data: JSON, YAML and `spec_from_dict` take it."""
    return spec.plain


def to_yaml(spec: Spec) -> str:
    """A resolved spec as the text of a spec file."""
    text: str = yaml.safe_dump(plain_spec(spec), sort_keys=False, allow_unicode=True, width=110)
    return text


def _stored(data: dict[str, Any], origin: Origin) -> Spec:
    try:
        spec = Spec.model_validate(data, context={STORED: True})
    except ValidationError as error:
        raise report(TITLE, problems_of(error, data, origin), data, origin) from None
    problems = list(stored_problems(spec.base)) or list(stored_split_problems(spec, data, origin))
    if problems:
        raise report(TITLE, problems, data, origin)
    return spec


def validated(
    data: dict[str, Any], origin: Origin, found: list[Problem] | None = None, *, shapes: bool = False
) -> Spec:
    """The spec in resolved data.

    Args:
        data: The data.
        origin: Where they come from.
        found: Problems that are known already.
        shapes: Also ask whether the shapes that images show are here.

    Raises:
        UsageError: It is no valid spec; the message holds every problem with its place.
    """
    splits = data["splits"] if isinstance(data.get("splits"), dict) else {}
    spec, problems = _resolved(data, origin, [*(found or []), *split_name_problems(splits)], shapes=shapes)
    if spec is not None and not problems:
        problems += idle_problems(spec.base)
        variants = {}
        for name in spec.overlays:
            variants[name], more = _variant(spec.base, data, name, origin, shapes=shapes)
            problems += more
        if not problems and variants:
            spec = with_variants(spec.base, {name: each for name, each in variants.items() if each is not None})
    if problems or spec is None:
        raise report(TITLE, _in_order(problems, origin), data, origin)
    return spec


def _resolved(
    data: dict[str, Any], origin: Origin, found: list[Problem], *, shapes: bool
) -> tuple[Spec | None, list[Problem]]:
    """The spec in resolved data, its splits as they were given, and all that is wrong with it but for the splits."""
    data = copy.deepcopy(data)
    problems = [*found, *spelling_problems(data)]
    own_factors = frozenset(data["factors"]) if isinstance(data.get("factors"), dict) else frozenset()
    problems += add_regimes(data)
    problems += _add_choices(data, {each.path for each in problems})
    problems += write_cases(data)
    add_parents(data)
    record_regimes(data)
    problems += spread_given(data)
    spec, more, unsound = _parsed(data, origin)
    known = {each.path for each in problems}
    problems += [each for each in more if each.path not in known]
    if spec is not None:
        # A template whose file could not be read is not looked for once more.
        unread = {each.path for each in found if each.path[:1] == ("views",)}
        problems += spec_problems(spec.base, data, unsound | unread, shapes=shapes)
    if not problems and spec is not None:
        problems += [*effect_problems(spec.base), *trial_problems(spec.base)]
    return spec, [declared_by_regime(each, data.get("regimes"), own_factors) for each in problems]


def _variant(
    base: Spec, data: dict[str, Any], split: str, origin: Origin, *, shapes: bool
) -> tuple[Spec | None, list[Problem]]:
    """The process of a split, and what is wrong with it."""
    given = data["splits"][split]
    overlay = {key: each for key, each in given.items() if key != "n"}
    problems = list(overlay_problems(base, split, overlay))
    if problems:
        return None, problems
    top: Path = ("splits", split)
    own = Layer(overlay, {path[2:]: place for path, place in origin.marks.items() if path[:2] == top and path[2:]})
    marks, found = dict(origin.marks), list[Problem]()
    laid = laid_over(below_overlay(base, data, overlay), overlay, (), own, marks, found)
    placed = Origin(origin.where, marks)
    spec, found = _resolved(laid, placed, found, shapes=shapes)
    if spec is not None and not found:
        found += idle_in_split(spec, overlay)
        found += [
            Problem((), f"{each}: {SAME}", None, "the columns of the spec", "make another spec")
            for each in unlike(base, spec)
        ]
    return spec, [_in_split(problem, top, laid, placed) for problem in found]


def _in_split(problem: Problem, top: Path, laid: dict[str, Any], placed: Origin) -> Problem:
    """A problem of the process of a split, as one of the spec."""
    got = found_at(problem.path, laid, placed) if problem.got is UNSET else problem.got
    at = placed.place_of(problem) if problem.path else None
    return replace(problem, path=(*top, *problem.path), got=got, at=at)


def _in_order(problems: list[Problem], origin: Origin) -> list[Problem]:
    """Problems by their line, those without one last."""

    def line(problem: Problem) -> tuple[bool, int]:
        place = origin.place_of(problem)
        return (place is None or place.file != origin.where, place.line if place else 0)

    return sorted(problems, key=line)


def _parsed(data: dict[str, Any], origin: Origin) -> tuple[Spec | None, list[Problem], frozenset[Path]]:
    """The spec without its unsound parts, the problems of these, and their paths; no spec where nothing is left."""
    problems: list[Problem] = []
    unsound: set[Path] = set()
    left = copy.deepcopy(data)
    for _ in range(20):
        try:
            # JSON in strict mode: `strength: yes` is no number, a list is a tuple.
            text = json.dumps(left, default=str)
            return Spec.model_validate_json(text, strict=True), problems, frozenset(unsound)
        except ValidationError as error:
            fresh = list(problems_of(error, data, origin))
            problems += [each for each in _told(fresh, data, origin) if each not in problems]
            cut = {_part(problem) for problem in fresh}
            if not all(_cut(left, path) for path in cut):
                return None, problems, frozenset(unsound)
            unsound |= cut
    return None, problems, frozenset(unsound)


_APART = ("material", "ground", "lights", "raised", "axes", "mentions", "misstates", "texts", "changes", "mixes")


def _part(problem: Problem) -> Path:
    """The part of a spec that a problem makes unsound: a factor, the use of one, a view, or what stands at the top."""
    path = problem.path
    if len(path) > 1 and path[0] == "splits":
        return path[:2]
    if problem.what.startswith("Extra inputs") and len(path) == 3 and path[0] == "views":
        return path
    if len(path) > 2 and path[0] == "views" and path[2] in _APART:
        return path[:3]
    if path[:1] == ("views",):
        return path[:4] if len(path) > 3 and path[2] == "factors" else path[:2]
    return path[:2] if path[:1] in (("factors",), ("templates",), ("plugins",), ("texts",), ("regimes",)) else path[:1]


def _cut(data: dict[str, Any], path: Path) -> bool:
    """Take a part away, or put a sound one in its place; whether that is possible."""
    stand_ins: dict[str | int, Any] = {"name": "unnamed", "splits": {}}
    if len(path) == 1 and path[0] in stand_ins:
        changed = data.get(str(path[0])) != stand_ins[path[0]]
        data[str(path[0])] = stand_ins[path[0]]
        return changed
    holder = value_at(path[:-1], data)
    if not path or not isinstance(holder, dict) or path[-1] not in holder or path in (("factors",), ("views",)):
        return False
    if len(path) == 4 and holder[path[-1]] != STAND_IN:
        holder[path[-1]] = STAND_IN  # the view still sees the factor
    else:
        del holder[path[-1]]
    return True


def _told(problems: list[Problem], data: dict[str, Any], origin: Origin) -> Iterator[Problem]:
    """The problems as the user meets them: an unknown name is one problem, not one for each key that it lacks."""
    told: set[Path] = set()
    for problem in sorted(problems, key=lambda each: len(each.path)):  # what holds others comes before them
        place, key = problem.path[:-1], problem.path[-1] if problem.path else ""
        if problem.what == "Field required" and _is_declared(place):
            if not any(place[: len(each)] == each for each in told):
                told.add(place)
                yield _undeclared(place, str(key), data)
        elif problem.what.startswith("Extra inputs"):
            known = _keys_at(place)
            yield Problem(
                problem.path,
                f"unknown key{hint(str(key), known)}",
                problem.got,
                listed(known),
                "correct the key, or take it away",
            )
        elif not any(problem.path[: len(each)] == each for each in told):
            yield _by_index(problem, data)


def _by_index(problem: Problem, data: dict[str, Any]) -> Problem:
    """A value that is given by its name: raw values are numbers."""
    name = next((str(each) for before, each in itertools.pairwise(problem.path) if before == "factors"), "")
    values, value = value_at(("factors", name, "values"), data), value_at(problem.path, data)
    if problem.path[-1:] != ("value",) or not isinstance(values, list) or value not in values:
        return problem
    known = ", ".join(f"{index} is {each}" for index, each in enumerate(values))
    return replace(problem, expected=f"the number of a value: {known}", next_step=f"write {values.index(value)}")


def _is_declared(place: Path) -> bool:
    """Whether a place holds what a name stands for: a factor, a view, a mechanism, the use of a factor."""
    return (
        (len(place) == 2 and place[0] in ("factors", "views"))
        or (len(place) == 4 and place[0] == "views")
        or place[-1:] in (("mechanism",), ("change",))
    )


def _undeclared(place: Path, key: str, data: dict[str, Any]) -> Problem:
    """What lacks a key that it cannot be without: most often its name is misspelt, and it was to change another one."""
    name = str(place[-1])
    if place[-1] in ("mechanism", "change"):
        return Problem(
            place,
            f"Field required: `name` of the {name}",
            expected="name: NAME",
            next_step="name the mechanism: there is none here whose parameters could be changed",
        )
    if len(place) == 4:
        return Problem(
            place,
            "Field required: `role`",
            expected="a role: content, style, private or constant",
            next_step="write role: ... first; what is given replaces the use of the factor whole",
        )
    others = [each for each in data.get(str(place[0]), {}) if each != name]
    kind = str(place[0])[:-1]
    needed = "`type` and `kind`" if kind == "factor" else "`modality` and `factors`"
    near = hint(name, others)
    what = f"no {kind} is called {name!r} in what the spec extends{near}" if near else f"a new {kind} needs {needed}"
    return Problem(
        place,
        f"{what}" if near else f"{what}: Field required",
        expected=f"a {kind} there is ({listed(others)}), or a new one with {needed}",
        next_step=f"correct the name, or add `{key}`" if near else f"add `{key}`",
    )


def _keys_at(place: Path) -> list[str]:
    """The keys that a place of a spec can have."""
    if not place:
        return [*Spec.model_fields, "extends"]
    if len(place) == 2 and place[0] == "splits":
        return list(Split.model_fields)
    if place[0] in ("pairs", "sequence", "given"):
        return list(_MODELS[str(place[0])].model_fields)
    if place[0] == "templates":
        return list(Template.model_fields)
    if len(place) == 3 and (place[2] in SUBSETS or place[::2] == ("regimes", "chosen")):
        return list(Subset.model_fields)
    model = FactorUse if len(place) == 4 else _MODELS.get(str(place[0]), Spec)
    return [field.alias or name for name, field in model.model_fields.items()]


def _add_choices(data: dict[str, Any], reported: set[Path]) -> list[Problem]:
    """Declare the factors that views draw by themselves (as texts do), where the spec does not do it itself."""
    factors, views = data.get("factors"), data.get("views")
    if not isinstance(factors, dict) or not isinstance(views, dict):
        return []
    problems: list[Problem] = []
    kinds = {each.name: each for each in modalities()}
    for name, view in views.items():
        if isinstance(view, dict):
            problems += [each for each in add_changes(str(name), view, data) if each.path not in reported]
        kind = kinds.get(str(view.get("modality"))) if isinstance(view, dict) else None
        if kind is None or not isinstance(view.get("factors"), dict):
            continue
        added, found = kind.added_factors(str(name), view, data)
        problems += [each for each in found if each.path not in reported]
        for factor, declared in added.items():
            factors.setdefault(factor, declared)
            view["factors"].setdefault(factor, "private")
    return problems
