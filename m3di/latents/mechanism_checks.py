"""Does a mechanism fit the factor that it gives values to, its parents and its parameters? It is also tried."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from m3di.latents.factor import Factor
from m3di.latents.graph import probe_noise, some_values
from m3di.latents.mechanism_use import MechanismUse, earlier
from m3di.latents.mechanisms import MECHANISMS, Mechanism, mechanism_names
from m3di.latents.problems import Origin, Problem, hint, listed, problems_of
from m3di.latents.spec import Spec
from m3di.latents.supports import first_outside, support, value_problem
from m3di.latents.varying import Parent
from m3di.latents.varying_checks import misfits
from m3di.latents.yaml_text import Path

N_TRIED = 512  # noise values that a mechanism is tried on


@dataclass(frozen=True)
class Used:
    """A mechanism where a spec uses it.

    Attributes:
        path: Where that is.
        factor: The factor that it gives values to.
        use: The mechanism and its parameters.
        parents: Names of the parents that it gets.
        own: Names that need not be declared: the factor itself.
        is_change: Whether it changes the factor's own value.
    """

    path: Path
    factor: Factor
    use: MechanismUse
    parents: tuple[str, ...]
    own: tuple[str, ...]
    is_change: bool = False


def unknown_factor(path: Path, name: str, declared: Sequence[str]) -> Problem:
    """A factor is named that is not declared."""
    return Problem(
        path,
        f"no factor is called {name!r}{hint(name, declared)}",
        repr(name),
        f"a factor of the spec: {listed(declared)}",
        "correct the name, or declare it under `factors`",
        related=(("factors", name),),
    )


def mechanism_problems(spec: Spec, declared: Sequence[str], used: Used) -> Iterator[Problem]:
    """What is wrong with a mechanism where a spec uses it."""
    path, use = used.path, used.use
    for number, parent in enumerate(used.parents):
        name, _ = earlier(parent)
        if name not in declared and name not in used.own:
            yield unknown_factor((*path, "parents", number), parent, declared)
    mechanism = spec.mechanism(use.name)
    if mechanism is None:
        known = mechanism_names(spec.plugins)
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
    origins = {parent: earlier(parent)[0] for parent in used.parents}
    parents = {parent: spec.factors[name] for parent, name in origins.items() if name in spec.factors}
    about: tuple[Path, ...] = tuple(("factors", each) for each in (*used.own, *origins.values()))
    problems = list(_fitting(used, mechanism, parents))
    if not problems and set(declared) == set(spec.factors):
        problems += _naming(used, mechanism, spec)
    if not problems and len(parents) == len(set(used.parents)):
        problems += _tried(used, mechanism, parents)
    yield from (replace(problem, related=about) for problem in problems)


def _naming(used: Used, mechanism: Mechanism, spec: Spec) -> Iterator[Problem]:
    """Whether what parameters name is there, and is what `parents` say."""
    path, use = used.path, used.use
    factors = {name: spec.factors[name] for name in used.own} if used.is_change else spec.factors
    for name in mechanism.varying:
        for misfit in misfits(use.parameters[name], factors) if name in use.parameters else ():
            yield Problem((*path, name), misfit.what, misfit.got, misfit.expected, misfit.next_step)
    named = [
        each for each in mechanism.named(use.parameters, factors) if each not in use.parents[: mechanism.n_parents]
    ]
    if not used.is_change and mechanism.varying and set(named) != set(use.parents[mechanism.n_parents or 0 :]):
        yield Problem(
            (*path, "parents"),
            f"the parameters of {use.name} name {listed(named) or 'no factor'}, and `parents` others",
            listed(use.parents) or "none",
            "the parents that its parameters name",
            "leave `parents` out: they are read off the parameters"
            if not mechanism.n_parents
            else f"name {mechanism.n_parents} in `parents`: the others are read off the parameters",
        )


def _tried(used: Used, mechanism: Mechanism, parents: dict[str, Factor]) -> Iterator[Problem]:
    """What a mechanism itself refuses (a table of the wrong shape), and values that are none, show on a trial."""
    factor, generator = used.factor, np.random.default_rng(0)
    values = [Parent(parent, some_values(parent, N_TRIED, generator), name) for name, parent in parents.items()]
    runs = [values]
    if mechanism.temporal and list(parents.values()) != [factor]:
        runs.append([Parent(factor, some_values(factor, N_TRIED, generator)), *values])
    for run in runs:
        try:
            with np.errstate(all="ignore"):
                result = _values(used, mechanism, probe_noise(N_TRIED), run)
        except Exception as error:  # noqa: BLE001 - a mechanism may come from a user: any error that it raises is reported
            told = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
            yield Problem(
                used.path, told, expected=_signature(mechanism), next_step="correct the parameters, or the parents"
            )
            return
        problem = value_problem(factor, result, N_TRIED)
        # With parameters that vary, the values tried for the parents may be such as never meet: samples will tell.
        if problem and not (mechanism.varying and parents and first_outside(factor, result) is not None):
            yield Problem(
                used.path,
                f"{used.use.name} gives what is no value of the factor: {problem}",
                expected=support(factor),
                next_step="correct the parameters, or the factor's range",
            )
            return
        unlike = _unlike_a_function(used, mechanism, run, np.asarray(result))
        if unlike:
            yield Problem(
                used.path,
                f"{used.use.name} {unlike}: sample i would not be the same in every run, shard and machine",
                repr(used.use.name),
                "a function of the noise and the parents of each sample, and of nothing else",
                "take no random numbers but `u`, no mean or rank over `u`, and leave `parents` as they are",
            )
            return


def _unlike_a_function(used: Used, mechanism: Mechanism, run: list[Parent], result: NDArray[np.generic]) -> str | None:
    """What a mechanism does beside giving each sample its value, or None. Called after one trial, which gave `result`.

    The trial has all samples at once; here it is repeated, and done for some of the samples only.
    """
    kept = [parent.values.copy() for parent in run]
    some = slice(N_TRIED // 3, N_TRIED // 2)
    noise, part = probe_noise(N_TRIED), [replace(parent, values=parent.values[some].copy()) for parent in run]
    with np.errstate(all="ignore"):
        before = noise.copy()
        again = np.asarray(_values(used, mechanism, noise, run))
        few = np.asarray(_values(used, mechanism, before[some].copy(), part))
    if not np.array_equal(noise, before) or not all(map(np.array_equal, kept, (each.values for each in run))):
        return "changes the arrays that it is given"
    if not np.array_equal(again, result, equal_nan=result.dtype.kind == "f"):
        return "gives another value each time"
    # The sums of some routines round by the length of an array.
    if not np.allclose(few, result[some], rtol=1e-9, atol=0.0, equal_nan=True):
        return "gives a sample another value when it is drawn among others"
    return None


def _values(used: Used, mechanism: Mechanism, noise: NDArray[np.float64], run: list[Parent]) -> NDArray[np.generic]:
    return mechanism.values(noise, run, used.factor, used.use.parameters, strict=False)


def _fitting(used: Used, mechanism: Mechanism, parents: dict[str, Factor]) -> Iterator[Problem]:
    """Whether a mechanism fits a factor and its parents, by what it was registered with."""
    path, factor, use, names = used.path, used.factor, used.use, used.parents
    takes = mechanism.n_parents
    if used.is_change and mechanism.temporal:
        takes = None  # the value itself stands for that of the frame before
    if takes is not None and (len(names) < takes if mechanism.varying else len(names) != takes):
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
