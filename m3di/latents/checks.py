"""What is wrong with a spec that has the right keys: names without a factor, values without effect, broken promises."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from graphlib import CycleError
from typing import Any

import numpy as np

from m3di.latents.changing import change_problems
from m3di.latents.conditions import condition_problems
from m3di.latents.factor import Factor
from m3di.latents.graph import is_shared_elsewhere, severed, takes_own_value, unlike
from m3di.latents.mechanism_checks import Used, mechanism_problems, unknown_factor
from m3di.latents.mechanism_use import MechanismUse
from m3di.latents.name_checks import name_problems
from m3di.latents.problems import Problem, hint, listed
from m3di.latents.regime_checks import regime_problems
from m3di.latents.regimes import Regime
from m3di.latents.scene_checks import shape_problems
from m3di.latents.sequences import sequence_problems
from m3di.latents.spec import Spec
from m3di.latents.supports import support
from m3di.latents.templates import template_problems
from m3di.latents.view import APART
from m3di.latents.yaml_text import Path


def spec_problems(spec: Spec, data: dict[str, Any], unsound: Iterable[Path], *, shapes: bool) -> list[Problem]:
    """All problems of a spec.

    Args:
        spec: The spec, without its unsound parts.
        data: The data that it comes from, the unsound parts included.
        unsound: Their paths: what needs them is not looked at.
        shapes: Also ask whether the shapes that images show are here.
    """
    checks = _Checks(spec, data, frozenset(unsound))
    return [each for each in checks.problems(shapes) if not checks.is_unsound(each.path)]


class _Checks:
    def __init__(self, spec: Spec, data: dict[str, Any], unsound: frozenset[Path]) -> None:
        self.spec, self.data, self.unsound = spec, data, unsound
        self.declared = list(data.get("factors", {}))

    def is_unsound(self, path: Path) -> bool:
        """Whether a place is in a part that is reported already."""
        return any(path[: len(each)] == each for each in self.unsound)

    def problems(self, shapes: bool) -> Iterator[Problem]:
        spec = self.spec
        yield from name_problems(spec)
        for name, factor in spec.factors.items():
            path: Path = ("factors", name, "mechanism")
            own = {name: factor}
            yield from self._mechanism(path, factor, factor.mechanism, factor.mechanism.parents, own)
            if "first" in factor.model_fields_set:
                yield from self._mechanism(("factors", name, "first"), factor, factor.first, factor.first.parents, own)
        for name in spec.factors:
            for each in spec.replaced(name):
                own = {name: spec.factors[name]}
                yield from self._mechanism(each.path, spec.factors[name], each.use, each.use.parents, own)
        for view in spec.views:
            yield from self._view(view)
        yield from regime_problems(spec, self.declared)
        cycles = list(self._cycles())
        yield from cycles
        yield from self._pairs()
        yield from sequence_problems(spec, self.declared)
        yield from self._interventions()
        if not cycles and not self.is_unsound(("given",)) and self.declared == list(spec.factors):
            yield from condition_problems(self._sound_part())
        if shapes:
            yield from shape_problems(spec)
        for name, template in spec.templates.items():
            for problem in template_problems(template):
                yield Problem(
                    ("templates", name, *problem.path), problem.what, problem.got, problem.expected, problem.next_step
                )
        if not cycles:
            yield from self._sharing(self._sound_part())
        for name, view_ in spec.views.items():
            yield from view_.kind.problems(spec, name, sound=self._is_sound(name))

    def _sound_part(self) -> Spec:
        """The spec without what is unsound or names what is: there, the graph can be looked at."""
        known = set(self.spec.factors)
        free = MechanismUse(name="uniform")
        factors = {}
        for name, factor in self.spec.factors.items():
            sound = known.issuperset((*factor.mechanism.causes, *factor.first.causes))
            factors[name] = factor if sound else factor.model_copy(update={"mechanism": free, "first": free})
        views = {}
        for view, declared in self.spec.views.items():
            uses = {
                name: use
                for name, use in declared.factors.items()
                if name in known
                and not self.is_unsound(("views", view, "factors", name))
                and (use.mechanism is None or known.issuperset(use.mechanism.causes))
            }
            views[view] = declared.model_copy(update={"factors": uses})
        regimes = {name: each for name, each in self.spec.regimes.items() if _names_known(name, each, known)}
        return Spec.model_construct(**{**dict(self.spec), "factors": factors, "views": views, "regimes": regimes})

    def _is_sound(self, view: str) -> bool:
        """Whether all factors of a view are there and sound, and the keys that its modality has."""
        declared = self.spec.views[view]
        if any(("views", view, key) in self.unsound for key in declared.kind.keys):
            return False
        places = [("views", view, "factors", name) for name in declared.factors]
        return not any(self.is_unsound(place) or place[-1] not in self.spec.factors for place in places)

    def _view(self, view: str) -> Iterator[Problem]:
        spec = self.spec
        yield from change_problems(spec, view)
        for name, use in spec.views[view].factors.items():
            path: Path = ("views", view, "factors", name)
            if name not in self.declared:
                yield unknown_factor(path, name, self.declared)
                continue
            if name not in spec.factors:
                continue
            factor = spec.factors[name]
            if use.value is not None:
                yield from self._constant((*path, "value"), factor, use.value)
            if use.change is not None:
                yield from self._change((*path, "change"), name, factor, use.change)
            if use.mechanism is not None:
                own = {name: factor}
                yield from self._mechanism((*path, "mechanism"), factor, use.mechanism, use.mechanism.parents, own)

    def _constant(self, path: Path, factor: Factor, value: float) -> Iterator[Problem]:
        low, high = factor.bounds
        place = path[:-1]
        if not low <= value <= high:
            yield Problem(
                place,
                f"{value:g} is outside {[low, high]}",
                f"{value:g}",
                support(factor),
                "change the value, or the factor's range",
            )
        elif factor.type != "continuous" and value != int(value):
            names = f" ({', '.join(f'{index} is {each}' for index, each in enumerate(factor.names[:4]))})"
            yield Problem(
                place,
                f"{value:g} is no value of a {factor.type} factor",
                f"{value:g}",
                support(factor) + (names if factor.type == "categorical" else ""),
                "take a whole number",
            )

    def _change(self, path: Path, name: str, factor: Factor, use: MechanismUse) -> Iterator[Problem]:
        """The parent of a change is always the factor itself."""
        if use.parents:
            yield Problem(
                (*path, "parents"),
                "its parent is the factor itself: leave `parents` out",
                expected="no `parents`",
                next_step="leave `parents` out",
            )
        mechanism = self.spec.mechanism(use.name)
        own = (name,) if mechanism is None or takes_own_value(mechanism) else ()
        used = Used(path, factor, use, own, (name,), is_change=True)
        yield from mechanism_problems(self.spec, self.declared, used)

    def _mechanism(
        self, path: Path, factor: Factor, use: MechanismUse, parents: tuple[str, ...], own: dict[str, Factor]
    ) -> Iterator[Problem]:
        return mechanism_problems(self.spec, self.declared, Used(path, factor, use, parents, tuple(own)))

    def _cycles(self) -> Iterator[Problem]:
        try:
            self.spec.order  # noqa: B018
        except CycleError as error:
            names = list(reversed(error.args[1]))
            circle = " -> ".join(names)
            yield Problem(
                ("factors", names[0], "mechanism", "parents"),
                f"a cycle: {circle}",
                circle,
                "causes that do not come back to themselves",
                "take one of these arrows away",
                related=(
                    *(("factors", name, "mechanism") for name in names),
                    *(each.path for name in names for each in self.spec.replaced(name)),
                    *(("views", view, "factors", name) for view in self.spec.views for name in names),
                ),
            )

    def _interventions(self) -> Iterator[Problem]:
        """Names of what is intervened on; whether the intervention fits is tried on the sound spec."""
        for target in self.spec.interventions:
            view, _, name = target.rpartition(".")
            path: Path = ("interventions", target)
            if name not in self.declared:
                yield unknown_factor(path, name, self.declared)
            elif view and view not in self.data.get("views", {}):
                yield Problem(
                    path,
                    f"no view is called {view!r}{hint(view, self.spec.views)}",
                    repr(target),
                    f"VIEW.FACTOR, and a view of the spec: {listed(self.spec.views)}",
                    "correct the name",
                )

    def _pairs(self) -> Iterator[Problem]:
        spec = self.spec
        if spec.pairs and spec.sequence:
            yield Problem(
                ("pairs",), "not together with `sequence`", expected="one of the two", next_step="take one of them away"
            )
        for number, name in enumerate(spec.pairs.counterfactual if spec.pairs else ()):
            path: Path = ("pairs", "counterfactual", number)
            if name not in self.declared:
                yield unknown_factor(path[:2], name, self.declared)
            elif name in spec.factors and not np.isfinite(spec.factors[name].bounds).all():
                yield Problem(
                    path[:2],
                    f"{name!r} has no range to be drawn from",
                    repr(name),
                    "a factor with `range`",
                    f"add `range` to {name}",
                )
        if spec.pairs and not (spec.pairs.counterfactual or spec.pairs.permuted_content):
            yield Problem(
                ("pairs",),
                "neither `counterfactual` nor `permuted_content` is given",
                expected="one of the two",
                next_step="add one, or take `pairs` away",
            )
        if spec.pairs and len(set(spec.pairs.counterfactual)) < len(spec.pairs.counterfactual):
            yield Problem(
                ("pairs", "counterfactual"),
                "a factor is named twice",
                expected="every factor once",
                next_step="take one of them away",
            )

    @staticmethod
    def _sharing(spec: Spec) -> Iterator[Problem]:
        """Content that is not shared, and content that does not follow what its view shows."""
        for view, declared in spec.views.items():
            for name, use in declared.factors.items():
                path: Path = ("views", view, "factors", name)
                others = unlike(spec, view, name)
                sharing = [other for other, shown in others.items() if shown == [name]]
                if sharing and use.role in APART and not use.unshared and not is_shared_elsewhere(spec, view, name):
                    yield _unshared(path, name, use.role, sharing[0])
                if use.unshared and not others:
                    yield Problem(
                        (*path, "unshared"),
                        f"{name} is content of no other view: there is nothing to differ from",
                        expected="another view that shows its shared value",
                        next_step="leave `unshared` out",
                    )
            for name, ancestor in severed(spec, view):
                shown = "as it draws it" if ancestor in declared.factors else "by what it draws itself"
                role = declared.factors[ancestor].role if ancestor in declared.factors else "not seen"
                yield Problem(
                    ("views", view, "factors", name),
                    f"{name} is content (one value for all views) and depends on {ancestor}, of which this view has a "
                    f"value of its own ({role}): {ancestor} {shown} would have no effect on {name}",
                    expected=f"{ancestor} as content too, or {name} as style (shared noise, this view's parents)",
                    next_step=f"write `{name}: style`, or `{ancestor}: content`",
                    related=(("factors", name), ("factors", ancestor), ("views", view, "factors", ancestor)),
                )


def _names_known(name: str, regime: Regime, known: set[str]) -> bool:
    """Whether all factors that a regime names are there."""
    uses = [(factor, use) for case in regime.cases.values() for factor, use in case.items()]
    named = [each for factor, use in uses for each in (factor, *use.causes)]
    return known.issuperset((*named, *(regime.switch(name, case) for case in regime.cases)))


def _unshared(path: Path, name: str, role: str, other: str) -> Problem:
    """A view draws for itself what another view calls content: no two views share it."""
    return Problem(
        path,
        f"{name} is content of {other} (the value that all views share), and {role} here: the two would not agree",
        expected="content in every view that sees it, or in none",
        next_step="write `content`; `style` with `change` for a disturbed copy; or, if this view is to have a value of "
        f"its own, {{role: {role}, unshared: true, ...}}",
        related=(("views", path[1], "factors"),),
    )
