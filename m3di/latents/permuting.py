"""What changes places with the content of a neighbour: the content, and what restates or records it."""

from __future__ import annotations

from collections.abc import Iterator

from m3di.latents.problems import Problem, listed
from m3di.latents.said import misstated_factor, misstates_factor, said_factor
from m3di.latents.spec import Spec


def permuted_factors(spec: Spec, view: str) -> frozenset[str]:
    """The factors of a view that are a neighbour's where its content is.

    Besides the content: what a caption states in its place, whether that is wrong, and the factors that say which case
    of a regime has replaced it. A style that the content causes stays as it is.
    """
    content = _restated(spec, view)
    recording = {name for name in _recording(spec, view) if _acted_on(spec, view, name, content)[0]}
    return content | recording


def permuting_problems(spec: Spec) -> Iterator[Problem]:
    """Factors that record content and something else: they would be wrong of one of the two."""
    if spec.pairs is None or not spec.pairs.permuted_content:
        return
    for view in spec.views:
        content = _restated(spec, view)
        for name in _recording(spec, view):
            own, others = _acted_on(spec, view, name, content)
            if own and others:
                yield Problem(
                    ("pairs", "permuted_content"),
                    f"{view} has {name} in the table, which says of content ({listed(own)}) and of what is none "
                    f"({listed(others)}) what holds: with the content of a neighbour it would be wrong of one of them",
                    name,
                    "regimes whose cases replace content, or none of it",
                    "make two regimes of it, one for the content; or leave permuted content out",
                    related=tuple(("regimes", each) for each in spec.regimes),
                )


def _restated(spec: Spec, view: str) -> frozenset[str]:
    """The content of a view, and what its captions state in place of it."""
    declared = spec.views[view]
    content = [name for name, use in declared.factors.items() if use.role == "content"]
    found = {*content}
    if declared.misstates is not None:
        found.update(factor(view, name) for name in content for factor in (said_factor, misstated_factor))
    return frozenset(found & declared.factors.keys())


def _recording(spec: Spec, view: str) -> list[str]:
    """The factors of a view, none of them content, that say which mechanisms hold or what is stated wrongly."""
    found = [regime.switch(name, case) for name, regime in spec.regimes.items() for case in regime.cases]
    uses = spec.views[view].factors
    return [
        each
        for each in dict.fromkeys([*found, *spec.regimes, misstates_factor(view)])
        if each in uses and uses[each].role != "content"
    ]


def _acted_on(spec: Spec, view: str, name: str, content: frozenset[str]) -> tuple[list[str], list[str]]:
    """What a factor acts on in a view: content, and other factors that the view draws; not what content passes on."""
    uses, recording = spec.views[view].factors, _recording(spec, view)
    found, left = {name}, [name]
    while left:
        cause = left.pop()
        if cause in content:
            continue
        fresh = [each for each in spec.factors if each not in found and cause in spec.parents(each)]
        found.update(fresh)
        left += fresh
    acted = [each for each in uses if each in found and each != name and each not in recording]
    others = [each for each in acted if each not in content and not uses[each].recorded]
    return [each for each in acted if each in content], others
