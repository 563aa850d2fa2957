"""What a sound spec says and no sample would show: it is refused, since columns, cards and scores would tell it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from m3di.latents.conditions import given_factors
from m3di.latents.permuting import permuting_problems
from m3di.latents.problems import Problem, listed
from m3di.latents.reach import Reach, has_noise, is_drawn_again, varies
from m3di.latents.regimes import Regime
from m3di.latents.spec import Spec
from m3di.latents.variants import Sequence as Frames
from m3di.latents.yaml_text import Path

KEEPING = "a `change` that keeps some of the value (perturb, ar1), or that not all samples have (`changes`)"


def effect_problems(spec: Spec) -> Iterator[Problem]:
    """What says something else than the samples of a sound spec would have."""
    for view, declared in spec.views.items():
        for name, use in declared.factors.items():
            if use.mechanism is not None and is_drawn_again(spec, view, name):
                yield Problem(
                    ("views", view, "factors", name, "mechanism"),
                    f"{view} draws {name} again by its `change`, which keeps nothing of it: `mechanism` would have no "
                    "effect",
                    expected=f"one of the two, or {KEEPING}",
                    next_step=f"{{role: private, mechanism: ...}} draws {name} for {view} alone",
                    related=(("views", view, "factors", name),),
                )
    for name, regime in spec.regimes.items():
        yield from _changed_after(spec, name, regime)
    yield from _pairs(spec)
    yield from permuting_problems(spec)


def idle_problems(spec: Spec) -> Iterator[Problem]:
    """What has no effect in a sound spec. In a split, and after interventions, that may be meant: not asked there."""
    if spec.interventions:
        return
    reach = Reach(spec)
    for name, regime in spec.regimes.items():
        yield from _unseen_cases(spec, name, regime, reach)
    if spec.sequence is not None:
        yield from _frames(spec, spec.sequence, reach)


def idle_in_split(spec: Spec, overlay: Mapping[str, Any]) -> Iterator[Problem]:
    """Mechanisms that a split replaces and of which it would show nothing: its process would be that of the spec.

    Args:
        spec: The process of the split, sound.
        overlay: What the split has laid over the spec.
    """
    factors = overlay.get("factors")
    if spec.interventions or not isinstance(factors, Mapping):
        return
    reach = Reach(spec)
    for name in factors:
        if not reach.views(name) and name not in given_factors(spec):
            what = f"{_hidden(spec, [name], name)}: the split would be as it is without it"
            step = "take it away, or let a view show the factor"
            yield Problem(("factors", name), what, expected="a factor that a view shows", next_step=step)


def _hidden(spec: Spec, names: Sequence[str], told: str) -> str:
    """Why no view shows other values of factors, which are `told`, in words."""
    uses = [view.factors[name] for view in spec.views.values() for name in names if name in view.factors]
    if uses and all(use.role == "constant" for use in uses):
        return f"{told} is constant in every view"
    if all(spec.factors[name].type == "categorical" and spec.factors[name].n == 1 for name in names):
        return f"{told} has one value"
    reached = spec.descendants(names)
    again = [view for view in spec.views if any(is_drawn_again(spec, view, name) for name in reached)]
    if again:
        return f"no view shows {told}, or what depends on it: a `change` in {listed(again)} keeps nothing of it"
    return f"no view sees {told}, or what depends on it"


def _unseen_cases(spec: Spec, name: str, regime: Regime, reach: Reach) -> Iterator[Problem]:
    """Cases that replace what no view shows: their columns would say that something is another one."""
    unseen = {
        case: list(mechanisms)
        for case, mechanisms in regime.cases.items()
        if mechanisms and not any(map(reach.views, mechanisms))
    }
    expected, step = "a factor that a view shows", "let a view see one"
    if unseen and len(unseen) == sum(map(bool, regime.cases.values())):
        factors = list(dict.fromkeys(each for names in unseen.values() for each in names))
        what = f"{_hidden(spec, factors, listed(factors))}: the regime would do nothing"
        yield Problem(("regimes", name), what, name, expected, step)
        return
    for case, factors in unseen.items():
        what = f"{_hidden(spec, factors, listed(factors))}: the case {case!r} would do nothing"
        yield Problem(("regimes", name, "cases", case), what, listed(factors), expected, step)


def _changed_after(spec: Spec, name: str, regime: Regime) -> Iterator[Problem]:
    """A view changes what a case sets, after it: where the column says that the case holds, the value is another."""
    for view, declared in spec.views.items():
        for case, mechanisms in regime.cases.items():
            for factor, mechanism in mechanisms.items():
                use = declared.factors.get(factor)
                if use is None or use.change is None or use.mechanism is not None:
                    continue
                again, is_set = is_drawn_again(spec, view, factor), mechanism.name == "constant"
                if not (again or is_set):
                    continue
                told = (
                    f"the regime {name!r} would not reach it"
                    if again
                    else f"where {case!r} holds, {view} would have another value"
                )
                yield Problem(
                    ("views", view, "factors", factor, "change"),
                    f"{view} {'draws' if again else 'changes'} {factor} again by `change`, after the case {case!r}"
                    f"{' sets it' if is_set else ', and keeps nothing of it'}: {told}",
                    expected="no `change` of what a case sets to a value" if is_set else KEEPING,
                    next_step=f"take `change` away, or take {factor} out of the case"
                    f"{'' if again else f'; or give {factor} a mechanism there that is no constant'}",
                    related=(("regimes", name, "cases", case),),
                )


def _pairs(spec: Spec) -> Iterator[Problem]:
    """Views in another world that would be the factual ones."""
    if spec.pairs is None:
        return
    reach = Reach(spec)
    for name in spec.pairs.counterfactual:
        if not reach.views(name):
            yield Problem(
                ("pairs", "counterfactual"),
                f"{_hidden(spec, [name], repr(name))}: the counterfactual views would be the factual ones",
                repr(name),
                "a factor that a view shows, and that varies",
                "take it away, or let a view show it: content, private, or style without such a `change`",
            )
    uses = [(name, use) for view in spec.views.values() for name, use in view.factors.items()]
    content = [name for name, use in uses if use.role == "content" and not use.recorded]
    if spec.pairs.permuted_content and not any(varies(spec, name) for name in dict.fromkeys(content)):
        found = f"{listed(dict.fromkeys(content))}, which never varies" if content else "none"
        yield Problem(
            ("pairs", "permuted_content"),
            "no view has content that varies: with the content of a neighbour it would be as it is",
            f"content: {found}",
            "a view with a content factor",
            "write `FACTOR: content` in a view, or leave permuted content out",
        )


def _frames(spec: Spec, sequence: Frames, reach: Reach) -> Iterator[Problem]:
    """What is said of frames and changes none."""
    for number, name in enumerate(sequence.redrawn):
        path: Path = ("sequence", "redrawn", number)
        if name in sequence.redrawn[:number]:
            yield Problem(path, "a factor is named twice", name, "every factor once", "take one of them away")
            continue
        views = reach.views(name)
        moving = [view for view in views if spec.is_chain or spec.views[view].kind.has_frames]
        if not has_noise(spec, name):
            why = f"{name!r} has no noise ({spec.factors[name].mechanism.name})"
        elif name in given_factors(spec) or moving:
            continue
        else:
            why = f"{name!r} shows in {listed(views)}, without frames" if views else _hidden(spec, [name], repr(name))
        yield Problem(
            path,
            f"{why}: drawn again in every frame, it would change none",
            name,
            "a factor with noise that a view with frames shows; the noise of a `change` stays",
            "take it away, or let a view show it: content, private, or style without such a `change`",
        )
    moving = [name for name in spec.factors if spec.moves(name)]
    if sequence.burn_in and not any(map(reach.views, moving)) and given_factors(spec).isdisjoint(moving):
        yield Problem(
            ("sequence", "burn_in"),
            "no factor that a view shows moves: all frames are the first one",
            expected="`burn_in` beside a factor with a parent NAME@-1",
            next_step="take `burn_in` away, or let a factor move",
        )
