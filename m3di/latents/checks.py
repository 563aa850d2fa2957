"""What is wrong with a spec that has the right keys: names without a factor, values without effect, broken promises."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from graphlib import CycleError
from pathlib import Path as FilePath
from typing import Any

import numpy as np
from pydantic import ValidationError

from m3di.latents.captions import caption_problems
from m3di.latents.factor import Factor, MechanismUse
from m3di.latents.graph import holders, probe_noise, severed, some_values, takes_own_value
from m3di.latents.mechanisms import MECHANISMS, Mechanism, Parent, mechanism_names
from m3di.latents.names import name_problems
from m3di.latents.problems import Problem, hint, listed
from m3di.latents.sample import support, value_problem
from m3di.latents.scene_checks import scene_problems, shape_problems
from m3di.latents.spec import Spec
from m3di.latents.templates import template_names, template_problems
from m3di.latents.yaml_text import Path

N_TRIED = 512  # noise values that a mechanism is tried on


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
        self.is_whole = not unsound

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
        for view in spec.views:
            yield from self._view(view)
        cycles = list(self._cycles())
        yield from cycles
        yield from self._pairs()
        yield from scene_problems(spec)
        if shapes:
            yield from shape_problems(spec)
        for name, template in spec.templates.items():
            for problem in template_problems(template):
                yield Problem(
                    ("templates", name, *problem.path), problem.what, problem.got, problem.expected, problem.next_step
                )
        if self.is_whole and not cycles and self._names_are_known():
            yield from self._sharing()
            for name, view_ in spec.views.items():
                if view_.modality == "text" and self._has_template(str(view_.template)):
                    yield from caption_problems(spec, name)

    def _names_are_known(self) -> bool:
        """Whether every factor that is named is declared: only then is there a graph to look at."""
        known = set(self.spec.factors)
        uses = [each.mechanism for each in self.spec.factors.values()]
        for view in self.spec.views.values():
            if not known.issuperset(view.factors):
                return False
            uses += [use.mechanism for use in view.factors.values() if use.mechanism is not None]
        return all(known.issuperset(use.parents) for use in uses)

    def _has_template(self, name: str) -> bool:
        return name in self.spec.templates or name in template_names() or FilePath(name).is_file()

    def _view(self, view: str) -> Iterator[Problem]:
        spec = self.spec
        for name, use in spec.views[view].factors.items():
            path: Path = ("views", view, "factors", name)
            if name not in self.declared:
                yield self._unknown(path, name)
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

    def _unknown(self, path: Path, name: str) -> Problem:
        return Problem(
            path,
            f"no factor is called {name!r}{hint(name, self.declared)}",
            repr(name),
            f"a factor of the spec: {listed(self.declared)}",
            "correct the name, or declare it under `factors`",
        )

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
        """The parent of a change is the factor itself, whatever the spec says."""
        if use.parents:
            yield Problem(
                (*path, "parents"),
                "its parent is the factor itself: leave `parents` out",
                expected="no `parents`",
                next_step="leave `parents` out",
            )
        mechanism = self.spec.mechanism(use.name)
        own = (name,) if mechanism is None or takes_own_value(mechanism) else ()
        yield from self._mechanism(path, factor, use, own, {name: factor}, is_change=True)

    def _mechanism(
        self,
        path: Path,
        factor: Factor,
        use: MechanismUse,
        parents: tuple[str, ...],
        own: dict[str, Factor],
        *,
        is_change: bool = False,
    ) -> Iterator[Problem]:
        unknown = [parent for parent in parents if parent not in self.declared and parent not in own]
        yield from (self._unknown((*path, "parents", parents.index(parent)), parent) for parent in unknown)
        mechanism = self.spec.mechanism(use.name)
        if mechanism is None:
            known = mechanism_names(self.spec.plugins)
            near = hint(use.name, known)
            yield Problem(
                path,
                f"no mechanism is called {use.name!r}{near}",
                repr(use.name),
                listed(known),
                "correct the name"
                if near
                else "a mechanism of your own: `plugins: [FILE.py]` in the spec, or m3di --plugin FILE.py ...",
            )
            return
        known_parents = {parent: self.spec.factors[parent] for parent in parents if parent in self.spec.factors}
        about: tuple[Path, ...] = tuple(("factors", each) for each in (*own, *parents))
        problems = list(_fitting(path, factor, use, parents, mechanism, known_parents, is_change))
        if not problems and len(known_parents) == len(set(parents)):
            problems += self._tried(path, factor, use, mechanism, [known_parents[parent] for parent in parents])
        yield from (replace(problem, related=about) for problem in problems)

    def _tried(
        self, path: Path, factor: Factor, use: MechanismUse, mechanism: Mechanism, parents: list[Factor]
    ) -> Iterator[Problem]:
        """What a mechanism itself refuses (a table of the wrong shape), and values that are none, show on a trial."""
        generator = np.random.default_rng(0)
        values = [Parent(parent, some_values(parent, N_TRIED, generator)) for parent in parents]
        runs = [values]
        if mechanism.temporal and parents != [factor]:
            runs.append([Parent(factor, some_values(factor, N_TRIED, generator)), *values])
        for run in runs:
            try:
                with np.errstate(all="ignore"):
                    result = mechanism.function(probe_noise(N_TRIED), run, factor, **use.parameters)
            except Exception as error:  # noqa: BLE001 - a mechanism may be anybody's: whatever it raises is told
                told = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
                yield Problem(
                    path, told, expected=_signature(mechanism), next_step="correct the parameters, or the parents"
                )
                return
            problem = value_problem(factor, result, N_TRIED)
            if problem:
                yield Problem(
                    path,
                    f"{use.name} gives what is no value of the factor: {problem}",
                    expected=support(factor),
                    next_step="correct the parameters, or the factor's range",
                )
                return

    def _cycles(self) -> Iterator[Problem]:
        try:
            self.spec.order  # noqa: B018
        except CycleError as error:
            names = list(reversed(error.args[1]))
            yield Problem(
                ("factors", names[0], "mechanism", "parents"),
                f"a cycle: {' -> '.join(names)}",
                expected="causes that do not come back to themselves",
                next_step="take one of these arrows away",
            )

    def _pairs(self) -> Iterator[Problem]:
        spec = self.spec
        if spec.pairs and spec.sequence:
            yield Problem(
                ("pairs",), "not together with `sequence`", expected="one of the two", next_step="take one of them away"
            )
        for number, name in enumerate(spec.pairs.counterfactual if spec.pairs else ()):
            path: Path = ("pairs", "counterfactual", number)
            seen = [view.factors[name] for view in spec.views.values() if name in view.factors]
            if name not in self.declared:
                yield self._unknown(path[:2], name)
            elif seen and all(use.role == "constant" for use in seen):
                yield Problem(
                    path[:2],
                    f"{name!r} is constant in every view",
                    repr(name),
                    "a factor that varies",
                    "take it away, or give it another role",
                )
            elif name in spec.factors and not np.isfinite(spec.factors[name].bounds).all():
                yield Problem(
                    path[:2],
                    f"{name!r} has no range to be drawn anew from",
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
        if spec.sequence and not spec.views_of("image"):
            yield Problem(
                ("sequence",),
                "there is no image view to have frames",
                expected="an image view",
                next_step="take `sequence` away",
            )

    def _sharing(self) -> Iterator[Problem]:
        """Content that is not shared, and content that does not follow what its view shows."""
        spec = self.spec
        for view, declared in spec.views.items():
            for name, use in declared.factors.items():
                path: Path = ("views", view, "factors", name)
                others = [each for each in holders(spec, name) if each != view]
                if len(others) == 1 and use.is_apart and use.role != "style" and not use.unshared:
                    yield Problem(
                        path,
                        f"{name} is content of {', '.join(others)} (the value that all views share), "
                        f"and {use.role} here: the two would not agree",
                        expected="content in every view that sees it, or in none",
                        next_step="write `content`; `style` with `change` for a disturbed copy; or, if this view "
                        f"is to have a value of its own, {{role: {use.role}, unshared: true, ...}}",
                    )
                if use.unshared and not others:
                    yield Problem(
                        (*path, "unshared"),
                        f"{name} is content of no other view: there is nothing to differ from",
                        expected="another view in which it is content",
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
                )


def _fitting(
    path: Path,
    factor: Factor,
    use: MechanismUse,
    names: tuple[str, ...],
    mechanism: Mechanism,
    parents: dict[str, Factor],
    is_change: bool,
) -> Iterator[Problem]:
    """Whether a mechanism fits a factor and its parents, by what it was registered with."""
    takes = mechanism.n_parents
    if is_change and mechanism.temporal:
        takes = None  # the value itself stands for that of the frame before
    if takes is not None and len(names) != takes:
        plural = "" if takes == 1 else "s"
        yield Problem(
            (*path, "parents") if use.parents else path,
            f"{use.name} takes {takes} parents, got {len(names)}",
            expected=f"{takes or 'no'} parent{plural}",
            next_step=_other_mechanism(len(names)),
        )
    if len(set(names)) < len(names) and mechanism.n_parents is None:
        yield Problem(
            (*path, "parents"),
            "a parent is named twice",
            expected="every parent once",
            next_step="take one of them away",
        )
    if factor.type not in mechanism.types:
        fits = [each.name for each in MECHANISMS.values() if factor.type in each.types]
        yield Problem(
            path,
            f"{use.name} gives no {factor.type} values",
            repr(use.name),
            f"a mechanism for {factor.type} factors: {listed(fits)}",
            "take another mechanism",
        )
    for parent, declared in parents.items():
        if declared.type not in mechanism.parent_types:
            yield Problem(
                (*path, "parents") if use.parents else path,
                f"{use.name} takes no {declared.type} parent, {parent!r} is one",
                expected=f"a {' or '.join(mechanism.parent_types)} parent",
                next_step="take another parent, or a mechanism such as truncated_normal or affine",
            )
    if mechanism.needs_range and not np.isfinite(factor.bounds).all():
        yield Problem(
            path,
            f"{use.name} needs a factor with `range`",
            repr(use.name),
            "range: [least, greatest]",
            "add `range` to the factor",
        )
    try:
        text = json.dumps(use.parameters, default=str)
        mechanism.parameters.model_validate_json(text, strict=True)
    except ValidationError as error:
        yield from _parameter_problems(path, error, use, mechanism)


def _parameter_problems(
    path: Path, error: ValidationError, use: MechanismUse, mechanism: Mechanism
) -> Iterator[Problem]:
    from m3di.latents.problems import Origin, problems_of

    for problem in problems_of(error, use.parameters, Origin("")):
        named = problem.what
        next_step = problem.next_step
        key = str(problem.path[0]) if problem.path else ""
        if problem.what.startswith("Extra inputs"):
            named += hint(key, mechanism.parameters.model_fields)
            next_step = "correct the key, or take it away"
        yield Problem(
            (*path, *problem.path),
            named,
            problem.got,
            problem.expected or _signature(mechanism),
            next_step or "correct the parameter",
        )


def _signature(mechanism: Mechanism) -> str:
    """The parameters of a mechanism, in words."""
    fields = mechanism.parameters.model_fields
    known = [f"{name} (needed)" if field.is_required() else name for name, field in fields.items()]
    return f"{mechanism.name} takes {', '.join(known) or 'no parameters'}"


def _other_mechanism(n: int) -> str:
    if n == 0:
        return "name its parents: parents: [FACTOR]"
    if n == 1:
        return "take another mechanism, such as truncated_normal, or leave `parents` out"
    return "take a mechanism for several parents, such as affine or table, or leave parents out"
