"""The spec: which factors exist, how they depend on each other, and which view sees what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from m3di.errors import near_match
from m3di.latents.factor import Factor, Strict
from m3di.latents.mechanisms import MECHANISMS

SPLITS = ("train", "val", "test")


def _as_use(value: Any) -> Any:
    return {"role": value} if isinstance(value, str) else value


class FactorUse(Strict):
    """How a view uses a factor.

    Attributes:
        role: `content`: the value that all views share. `style`: shared noise, but the view's own parents.
            `private`: drawn anew for the view. `constant`: always `value`.
        value: Raw value of a constant.
    """

    role: Literal["content", "style", "private", "constant"]
    value: float | None = None

    @model_validator(mode="after")
    def _consistent(self) -> FactorUse:
        if (self.role == "constant") != (self.value is not None):
            raise ValueError("`value` belongs to the role `constant`, and only to it")
        return self


class View(Strict):
    """What one modality sees.

    Attributes:
        modality: `image` or `text`.
        factors: The factors it sees, and how.
        material: Material of the object in an image.
        ground: Pattern of the ground in an image: one colour, or squares of it and of a darker shade.
        template: Name of the caption template of a text.
    """

    modality: Literal["image", "text"]
    factors: dict[str, Annotated[FactorUse, BeforeValidator(_as_use)]]
    material: Literal["rubber", "metal", "crystal"] = "rubber"
    ground: Literal["plain", "checker"] = "plain"
    template: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> View:
        if (self.modality == "text") != (self.template is not None):
            raise ValueError("`template` belongs to the modality `text`, and only to it")
        return self


class Spec(Strict):
    """A whole spec, validated. Sizes of the splits are numbers of samples."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    description: str = ""
    factors: dict[str, Factor]
    views: dict[str, View]
    splits: dict[Literal["train", "val", "test"], Annotated[int, Field(ge=0)]]

    @model_validator(mode="after")
    def _references(self) -> Spec:
        problems = [
            f"factors.{name}.mechanism: {problem}"
            for name, factor in self.factors.items()
            for problem in self._mechanism_problems(factor)
        ]
        for name, view in self.views.items():
            for factor, use in view.factors.items():
                place = f"views.{name}.factors.{factor}"
                if factor not in self.factors:
                    problems.append(f"{place}: no factor is called {factor!r}{_hint(factor, self.factors)}")
                elif use.value is not None and not self._in_range(factor, use.value):
                    problems.append(f"{place}: {use.value} is outside {list(self.factors[factor].bounds)}")
        try:
            self.order  # noqa: B018
        except CycleError as error:
            problems.append(f"factors: a cycle: {' -> '.join(reversed(error.args[1]))}")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _mechanism_problems(self, factor: Factor) -> Iterator[str]:
        use = factor.mechanism
        for parent in use.parents:
            if parent not in self.factors:
                yield f"no factor is called {parent!r}{_hint(parent, self.factors)}"
        if use.name not in MECHANISMS:
            yield f"no mechanism is called {use.name!r}{_hint(use.name, MECHANISMS)}"
            return
        mechanism = MECHANISMS[use.name]
        if mechanism.n_parents is not None and len(use.parents) != mechanism.n_parents:
            yield f"{use.name} takes {mechanism.n_parents} parents, got {len(use.parents)}"
        if factor.type not in mechanism.types:
            yield f"{use.name} gives no {factor.type} values"
        try:
            mechanism.parameters.model_validate(use.parameters)
        except ValidationError as error:
            for problem in error.errors():
                yield f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"

    def _in_range(self, factor: str, value: float) -> bool:
        low, high = self.factors[factor].bounds
        return low <= value <= high

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Names of all factors, parents first."""
        graph = {name: factor.mechanism.parents for name, factor in self.factors.items()}
        return tuple(name for name in TopologicalSorter(graph).static_order() if name in self.factors)

    def views_of(self, modality: str) -> dict[str, View]:
        """The views of one modality, by name."""
        return {name: view for name, view in self.views.items() if view.modality == modality}


def _hint(word: str, known: Iterable[str]) -> str:
    near = near_match(word, known)
    return f"; did you mean {near!r}?" if near else ""
