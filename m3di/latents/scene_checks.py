"""Does an image show what its view says it sees? Factors that nothing draws, and shapes that there are not."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from m3di.latents.factor import Factor
from m3di.latents.problems import Problem, hint, listed
from m3di.latents.scene_factors import OBJECT_SHAPE, SCENE_FACTORS, SceneFactor
from m3di.latents.shapes import shape_names
from m3di.latents.spec import Spec
from m3di.latents.view import FactorUse, View
from m3di.latents.yaml_text import Path

MISSPELT = 0.75  # similarity of two names of which one is a slip; that of object_material and object_shape is less
TURNS = ("object_alpharot", "object_betarot", "object_gammarot")
UNITS = {"m": "metres", "rad": "radians", "hue": "turns of the colour wheel (unit: hue)"}


def scene_problems(spec: Spec, view: str) -> Iterator[Problem]:
    """Factors of an image view that change no pixel, or another one than they say."""
    declared = spec.views[view]
    for name, use in declared.factors.items():
        path: Path = ("views", view, "factors", name)
        if name not in SCENE_FACTORS:
            if not use.recorded:
                yield _unknown(path, name, declared)
            continue
        idle = _idle(name, declared, spec.factors.get(name), _shapes(spec, declared))
        if idle and not use.recorded:
            yield Problem(
                path,
                f"{name} would change no pixel: {idle}",
                expected="a factor that the image shows",
                related=(("views", view, "lights"), ("factors", name)),
                next_step=f"take it away, or say {_recorded(use)} to have it in the table only",
            )
        elif use.recorded and not idle:
            yield Problem(
                (*path, "recorded"),
                f"the image shows {name}: it is not only recorded",
                expected="`recorded` at factors that the image does not draw",
                next_step="leave `recorded` out",
            )
        elif name in spec.factors:
            yield from _drawn(name, spec.factors[name], SCENE_FACTORS[name])


def _unknown(path: Path, name: str, view: View) -> Problem:
    unseen = [each for each in SCENE_FACTORS if each not in view.factors]
    close = [each for known in (unseen, SCENE_FACTORS) for each in get_close_matches(name, known, 1, MISSPELT)]
    return Problem(
        path,
        f"an image draws no {name!r}: it would change no pixel" + (f"; did you mean {close[0]!r}?" if close else ""),
        repr(name),
        f"one of {', '.join(SCENE_FACTORS)}",
        f"correct the name, or, if the table is to have it and the image is not, {_recorded(view.factors[name])}",
    )


def _recorded(use: FactorUse) -> str:
    return (
        f"{{role: {use.role}, recorded: true{', ...' if use.value is not None or use.change or use.mechanism else ''}}}"
    )


def _shapes(spec: Spec, view: View) -> set[str]:
    """Names of the shapes that an image view can show."""
    if view.shape is not None:
        return {view.shape}
    shown = OBJECT_SHAPE in view.factors and OBJECT_SHAPE in spec.factors
    return set(spec.factors[OBJECT_SHAPE].names) if shown else set()


def _idle(name: str, view: View, factor: Factor | None, shapes: set[str]) -> str | None:
    """Why a factor that the scene reads makes no difference in this view, or None."""
    light = SCENE_FACTORS[name].needs_light
    if light is not None and light not in view.lights:
        return f"the {light} is not on (`lights`)"
    if name in TURNS and shapes == {"sphere"}:
        return "a sphere looks the same however it is turned"
    if SCENE_FACTORS[name].unit == "hue" and factor is not None and factor.saturation == 0.0:
        return "its `saturation` is 0"
    return None


def _drawn(name: str, factor: Factor, drawn: SceneFactor) -> Iterator[Problem]:
    """Whether the scene reads the factor as the spec means it."""
    path: Path = ("factors", name)
    if factor.type not in drawn.types:
        yield Problem(
            (*path, "type"),
            f"{name} is {' or '.join(drawn.types)} in an image",
            expected=" or ".join(drawn.types),
            next_step="change `type`",
        )
        return
    if name != OBJECT_SHAPE and factor.type == "categorical" and factor.physical_values is None:
        unit = UNITS.get(drawn.unit or "", "numbers")
        yield Problem(
            path,
            f"an image draws numbers: which one is each value of {name}?",
            listed(factor.names),
            f"physical: [...], {factor.n} numbers in {unit}",
            "add `physical`",
        )
    if drawn.within is not None and not (drawn.within[0] <= factor.bounds[0] and factor.bounds[1] <= drawn.within[1]):
        low, high = drawn.within
        yield Problem(
            (*path, "range"),
            f"an image takes {name} from {low} to {high}",
            expected=f"range: [{low}, {high}], or a part of it",
            next_step="change `range`",
        )
    if factor.unit is not None and drawn.unit is not None and factor.unit != drawn.unit:
        yield Problem(
            (*path, "unit"),
            f"an image draws {name} in {UNITS[drawn.unit]}",
            expected=drawn.unit,
            next_step=f"write `physical` in {UNITS[drawn.unit]}, and `unit: {drawn.unit}`",
        )


def shapes_shown(spec: Spec) -> dict[str, Path]:
    """Names of all shapes that images of a spec can show, each with the place that names it first."""
    found: dict[str, Path] = {}
    for name, view in spec.views.items():
        if view.kind.source != "rendered":
            continue
        if view.shape is not None:
            found.setdefault(view.shape, ("views", name, "shape"))
        elif OBJECT_SHAPE in view.factors and OBJECT_SHAPE in spec.factors:
            for number, shape in enumerate(spec.factors[OBJECT_SHAPE].names):
                found.setdefault(shape, ("factors", OBJECT_SHAPE, "values", number))
    return found


def shape_problems(spec: Spec) -> Iterator[Problem]:
    """Shapes that images show and that are not here."""
    shown = shapes_shown(spec)
    known = shape_names() if shown else []
    for name, path in shown.items():
        if name not in known:
            near = hint(name, known)
            yield Problem(
                path,
                f"no shape is called {name!r}{near}",
                repr(name),
                f"one of {listed(known)}",
                f"correct the name, or, for a mesh of your own: m3di shapes import FILE --name {name}",
            )
