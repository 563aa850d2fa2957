"""Splits with processes of their own: what they may change, and specs put together of the processes of their splits."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from m3di.errors import UsageError, did_you_mean, near_match
from m3di.latents.factor import STORED, WHENCE
from m3di.latents.overlay import difference
from m3di.latents.problems import Problem, hint, listed
from m3di.latents.regimes import Regime
from m3di.latents.spec import SPLITS, Spec, Split

SPLIT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,59}")
SPLIT_EXPECTED = "letters, digits and _, the first one a letter; at most 60"
RESERVED_SPLITS = {"validation": "val", "all": "whole"}
"""Names that readers of datasets know as something else, and a name to take in their place."""

CHANGEABLE = WHENCE
CHANGEABLE_IN_VIEWS: tuple[str, ...] = (
    "factors",
    "changes",
    "mentions",
    "misstates",
    "shape",
    "material",
    "ground",
    "lights",
)
CHANGEABLE_IN_VIEWS += ("raised", "axes")
SAME = "all splits have the same columns"
SHARED = ("name", "description", "splits")
"""Keys of a spec that say nothing of a process."""


def split_name_problems(names: Mapping[str, Any]) -> Iterator[Problem]:
    """Names that cannot be those of splits: they are parts of file names, and the Hub has its own."""
    folded: dict[str, str] = {}
    for name, declared in ((str(key), each) for key, each in names.items()):
        path = ("splits", name)
        if not SPLIT_NAME.fullmatch(name):
            fits = re.sub(r"[^A-Za-z0-9_]", "_", name)[:40]
            fits = fits if fits[:1].isalpha() else f"x{fits}"
            yield Problem(path, "a split cannot be called so", repr(name), SPLIT_EXPECTED, f"for example {fits}")
        elif name.lower() in RESERVED_SPLITS:
            other = RESERVED_SPLITS[name.lower()]
            said = f"{name!r} means something else to readers of datasets"
            yield Problem(path, said, repr(name), "another name", f"call it {other}")
        elif name not in SPLITS and not isinstance(declared, (dict, Split)) and misspelt(name):
            near = misspelt(name)
            said = f"no split is called {name!r}; did you mean {near!r}?"
            yield Problem(path, said, repr(name), f"{near}, or a name that is not so near", "correct it")
        if name.lower() in folded:
            said = f"the splits {folded[name.lower()]!r} and {name!r} differ in capitals only"
            yield Problem(path, said, repr(name), "names that differ in their letters", "rename one of them")
        folded.setdefault(name.lower(), name)


def misspelt(name: str) -> str | None:
    """One of the usual splits whose letters these are, in another order or number."""
    return next((each for each in SPLITS if {*each} == {*name.lower()}), None)


def is_split_name(name: str) -> bool:
    """Whether a split can be called so."""
    return SPLIT_NAME.fullmatch(name) is not None and name.lower() not in RESERVED_SPLITS


def check_split(spec: Spec, split: str) -> str:
    """The name of a split of a spec; every spec has `train`, `val` and `test`.

    Raises:
        UsageError: There is no such split.
    """
    known = list(dict.fromkeys([*SPLITS, *spec.splits]))
    if split not in known:
        step = did_you_mean(split, known, otherwise="give it in `splits` of the spec")
        raise UsageError(f"no split is called {split!r}", expected=", ".join(known), next_step=step)
    return split


def overlay_problems(base: Spec, split: str, overlay: Mapping[str, Any]) -> Iterator[Problem]:
    """What an overlay names that the spec does not have, and what it changes that all splits share."""
    top = ("splits", split)
    factors = overlay.get("factors") or {}
    for name, changed in factors.items():
        yield from _part(base.factors, (*top, "factors", name), changed, "factor", CHANGEABLE)
    for view, changed in (overlay.get("views") or {}).items():
        problems = list(_part(base.views, (*top, "views", view), changed, "view", CHANGEABLE_IN_VIEWS))
        yield from problems
        uses = changed.get("factors") if isinstance(changed, dict) and not problems else None
        for name, use in uses.items() if isinstance(uses, dict) else ():
            path = (*top, "views", view, "factors", name)
            if name not in base.views[view].factors:
                yield _unknown(path, name, f"factor of the view {view}", base.views[view].factors)
            elif use is None:
                yield _taken_away(path, name, "factor")
    yield from _regime_overlay_problems(base, (*top, "regimes"), overlay.get("regimes") or {})


def _regime_overlay_problems(base: Spec, top: tuple[str, ...], overlay: Mapping[str, Any]) -> Iterator[Problem]:
    """Regimes and cases that would be other columns: each is a factor, or the value of one."""
    for name, changed in overlay.items():
        path = (*top, name)
        problems = list(_part(base.regimes, path, changed, "regime", tuple(Regime.model_fields)))
        yield from problems
        if problems:
            continue
        own = base.regimes[name]
        if "chosen" in changed and (changed["chosen"] is None) != (own.chosen is None):
            said = "a split cannot say otherwise whether cases are `chosen`: all splits have the same columns"
            had = "no `chosen`" if own.chosen is None else "`chosen`, as the spec has it"
            yield Problem(
                (*path, "chosen"), said, expected=had, next_step="give it to the spec itself, or leave it out"
            )
        cases = changed.get("cases")
        for case, mechanisms in cases.items() if isinstance(cases, dict) else ():
            if case not in own.cases:
                if own.chosen is None and case in base.factors[name].names:
                    continue  # a value of the label of which the spec itself says nothing
                yield _unknown((*path, "cases", case), case, f"case of the regime {name}", own.cases)
            elif mechanisms is None and own.chosen is not None:
                yield _taken_away((*path, "cases", case), case, "case")


def below_overlay(base: Spec, data: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """What an overlay is laid over: the data of a spec, with the factors that its views and regimes have declared.

    Args:
        base: The resolved spec.
        data: The data that it comes from.
        overlay: What a split changes.
    """
    declared = base.plain["factors"]
    known = {name: declared[name] for name in overlay.get("factors") or {} if name not in data["factors"]}
    return {**data, "factors": {**data["factors"], **known}, "splits": base.sizes}


def _part(
    known: Mapping[str, Any], path: tuple[str, ...], changed: Any, kind: str, keys: tuple[str, ...]
) -> Iterator[Problem]:
    name = path[-1]
    if name not in known:
        yield _unknown(path, name, kind, known)
    elif changed is None:
        yield _taken_away(path, name, kind)
    elif not isinstance(changed, dict):
        expected = f"a mapping with some of {listed(keys)}"
        yield Problem(path, f"what a split changes of a {kind} is a mapping", expected=expected, next_step="write one")
    else:
        for key in [key for key in changed if key not in keys]:
            said = f"a split cannot change `{key}` of a {kind}: all splits have the same columns and files"
            near = near_match(str(key), keys)
            step = f"did you mean {near!r}?" if near else "give it to the spec itself, or make another spec"
            yield Problem((*path, key), said, str(key), listed(keys), step)


def _unknown(path: tuple[str, ...], name: str, kind: str, known: Mapping[str, Any]) -> Problem:
    expected = f"one that the spec has: {listed(known)}" if known else f"no {kind}: the spec has none"
    step = "correct the name, or add it to the spec itself: all splits have the same columns"
    return Problem(path, f"no {kind} is called {name!r}{hint(name, known)}", repr(name), expected, step)


def _taken_away(path: tuple[str, ...], name: str, kind: str) -> Problem:
    said = f"a split cannot take the {kind} {name!r} away: all splits have the same columns"
    return Problem(path, said, "null", f"what is another one of {name}", "leave it out, or make another spec")


def unlike(base: Spec, variant: Spec) -> Iterator[str]:
    """Where the columns, files or words of two processes differ: such cannot be splits of one dataset."""
    for name in [*base.factors, *(each for each in variant.factors if each not in base.factors)]:
        if name not in base.factors or name not in variant.factors:
            yield f"the factor {name!r} is there in one of them only"
            continue
        one, two = (
            each.factors[name].model_dump(exclude={*CHANGEABLE}, exclude_unset=True) for each in (base, variant)
        )
        if one != two:
            yield f"the factor {name!r} has other values"
    if list(base.observed) != list(variant.observed):
        yield f"the views are {listed(base.observed)} | {listed(variant.observed)}"
        return
    for name, each in base.observed.items():
        other = variant.observed[name].view
        if list(each.view.factors) != list(other.factors):
            apart = {*each.view.factors} ^ {*other.factors}
            named = [factor for factor in (*each.view.factors, *other.factors) if factor in apart]
            told = f"{listed(named)} in one of them only" if named else "its factors in another order"
            yield f"the view {name!r} sees {told}"
        for key in ("modality", "template", "texts", "mixes"):
            if getattr(each.view, key) != getattr(other, key):
                yield f"the view {name!r} has another `{key}`"
    for key in ("plugins", "templates", "texts", "pairs", "sequence"):
        if getattr(base, key) != getattr(variant, key):
            yield f"`{key}` differs"


def process_of(spec: Spec) -> dict[str, Any]:
    """The plain data of a process, without what says nothing of it: name, description, splits."""
    return {key: each for key, each in spec.plain.items() if key not in SHARED}


def with_variants(base: Spec, variants: Mapping[str, Spec]) -> Spec:
    """A spec whose splits have these processes, all others that of `base`.

    Args:
        base: A spec whose splits are all alike.
        variants: Processes by split, with the columns of `base`.
    """
    own = process_of(base)
    overlays = {name: difference(own, process_of(variant)) for name, variant in variants.items()}
    if not any(overlays.values()):
        return base
    plain = base.plain
    for name, n in base.sizes.items():
        if overlays.get(name):
            plain["splits"][name] = {"n": n, **overlays[name]}
    return Spec.model_validate(plain, context={STORED: True})


def in_every_split(spec: Spec, change: Callable[[Spec], Spec]) -> Spec:
    """The spec, with the process of every split changed."""
    if not spec.overlays:
        return change(spec)
    return with_variants(change(spec.base), {name: change(variant) for name, variant in spec.variants.items()})
