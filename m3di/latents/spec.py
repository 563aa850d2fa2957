"""The spec: which factors exist, how they depend on each other, and which view sees what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field, ValidationError, ValidationInfo, model_validator

from m3di.errors import near_match
from m3di.latents.factor import Factor, MechanismUse, Strict
from m3di.latents.mechanisms import MECHANISMS, Parent, find_mechanism

SPLITS = ("train", "val", "test")
STORED = "stored"  # validation context: the spec of a dataset, whose mechanisms need not be installed here

Probability = Annotated[float, Field(ge=0.0, le=1.0)]


def _as_use(value: Any) -> Any:
    return {"role": value} if isinstance(value, str) else value


class FactorUse(Strict):
    """How a view uses a factor.

    Attributes:
        role: `content`: the value that all views share. `style`: shared noise, but the view's own parents, and
            changed by `change`. `private`: drawn anew for the view. `constant`: always `value`.
        value: Raw value of a constant.
        change: Mechanism that changes a style factor; its parent is the factor's own value.
        mechanism: Mechanism of a private factor in this view, in place of the factor's own.
    """

    role: Literal["content", "style", "private", "constant"]
    value: float | None = None
    change: MechanismUse | None = None
    mechanism: MechanismUse | None = None

    @model_validator(mode="after")
    def _consistent(self) -> FactorUse:
        for key, role in (("value", "constant"), ("change", "style"), ("mechanism", "private")):
            if getattr(self, key) is not None and self.role != role:
                raise ValueError(f"`{key}` belongs to the role `{role}`, and only to it")
        if self.role == "constant" and self.value is None:
            raise ValueError("the role `constant` needs `value`")
        return self


class View(Strict):
    """What one modality sees.

    Attributes:
        modality: `image` or `text`.
        factors: The factors it sees, and how.
        shape: Shape of the object in an image, for specs without the factor `object_shape`.
        material: Material of the object in an image.
        lights: The lights that are on in an image.
        raised: Height of z = 0 above the scene's origin, in longest sides of the object.
        ground: Pattern of the ground in an image: one colour, or squares of it and of a darker shade.
        template: Name of the caption template of a text.
        mentions: Probability that an optional clause of the template is part of a caption, by clause; 0.5 if not given.
    """

    modality: Literal["image", "text"]
    factors: dict[str, Annotated[FactorUse, BeforeValidator(_as_use)]]
    shape: str | None = None
    material: Literal["rubber", "metal", "crystal"] = "rubber"
    ground: Literal["plain", "checker"] = "plain"
    lights: tuple[Literal["sun", "area", "spotlight"], ...] = ("sun", "area", "spotlight")
    raised: float = 0.0
    template: str | None = None
    mentions: dict[str, Probability] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> View:
        foreign = {"text": ("shape", "material", "ground", "lights", "raised"), "image": ("template", "mentions")}
        for key in foreign[self.modality]:
            if key in self.model_fields_set:
                other = "text" if self.modality == "image" else "image"
                raise ValueError(f"`{key}` belongs to the modality `{other}`, and only to it")
        if self.modality == "text" and self.template is None:
            raise ValueError("a text view needs `template`")
        if self.modality == "image" and self.shape is None and "object_shape" not in self.factors:
            raise ValueError("an image view needs `shape` or the factor `object_shape`")
        if not self.lights:
            raise ValueError("`lights` is empty: the image would be black")
        return self


class Pairs(Strict):
    """Every view once more, in another world.

    Attributes:
        counterfactual: Once for each factor named, with that factor drawn anew.
        permuted_content: Once with the content of the sample's neighbour (0 and 1, 2 and 3, ... change places), and
            all else as it is.
    """

    counterfactual: tuple[str, ...] = ()
    permuted_content: bool = False


class Sequence(Strict):
    """Frames: every image view `length` times, with factors of mechanism `ar1` moving from frame to frame."""

    length: Annotated[int, Field(ge=2, le=1000)]


@dataclass(frozen=True)
class Observed:
    """A view as it is sampled and rendered: as declared, in another world, or as one frame.

    Attributes:
        view: Its declaration.
        declared: The name it is declared under; its noise streams carry that name.
        do: The factor that is drawn anew in its world, or None.
        frame: Number of the frame.
        permuted: Whether its content is that of another sample.
    """

    view: View
    declared: str
    do: str | None = None
    frame: int = 0
    permuted: bool = False


class Spec(Strict):
    """A whole spec, validated. Sizes of the splits are numbers of samples."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    description: str = ""
    factors: dict[str, Factor]
    views: dict[str, View]
    pairs: Pairs | None = None
    sequence: Sequence | None = None
    splits: dict[Literal["train", "val", "test"], Annotated[int, Field(ge=0)]]

    @model_validator(mode="after")
    def _references(self, info: ValidationInfo) -> Spec:
        problems = [
            *(problem for view in self.views for problem in self._view_problems(view)),
            *self._structure_problems(),
        ]
        if not (info.context and info.context.get(STORED)):
            for name, factor in self.factors.items():
                place = f"factors.{name}.mechanism"
                problems += [f"{place}: {problem}" for problem in self._mechanism_problems(factor, factor.mechanism)]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _view_problems(self, name: str) -> Iterator[str]:
        for factor, use in self.views[name].factors.items():
            place = f"views.{name}.factors.{factor}"
            if factor not in self.factors:
                yield f"{place}: no factor is called {factor!r}{hint(factor, self.factors)}"
                continue
            low, high = self.factors[factor].bounds
            if use.value is not None and not low <= use.value <= high:
                yield f"{place}: {use.value:g} is outside {[low, high]}"
            if use.change is not None:
                # The parent is the factor itself, whatever the spec says.
                own = use.change.model_copy(update={"parents": (factor,)})
                problems = ["its parent is the factor itself: leave `parents` out"] if use.change.parents else []
                problems += self._mechanism_problems(self.factors[factor], own)
                yield from (f"{place}.change: {problem}" for problem in problems)
            if use.mechanism is not None:
                problems = list(self._mechanism_problems(self.factors[factor], use.mechanism))
                yield from (f"{place}.mechanism: {problem}" for problem in problems)

    def _structure_problems(self) -> Iterator[str]:
        try:
            self.order  # noqa: B018
        except CycleError as error:
            yield f"factors: a cycle: {' -> '.join(reversed(error.args[1]))}"
        if self.pairs and self.sequence:
            yield "pairs: not together with `sequence`"
        for name in self.pairs.counterfactual if self.pairs else ():
            seen = [view.factors[name] for view in self.views.values() if name in view.factors]
            if name not in self.factors:
                yield f"pairs.counterfactual: no factor is called {name!r}{hint(name, self.factors)}"
            elif seen and all(use.role == "constant" for use in seen):
                yield f"pairs.counterfactual: {name!r} is constant in every view"
        if self.pairs and not (self.pairs.counterfactual or self.pairs.permuted_content):
            yield "pairs: neither `counterfactual` nor `permuted_content` is given"

    def _mechanism_problems(self, factor: Factor, use: MechanismUse) -> Iterator[str]:
        unknown = [parent for parent in use.parents if parent not in self.factors]
        yield from (f"no factor is called {parent!r}{hint(parent, self.factors)}" for parent in unknown)
        mechanism = find_mechanism(use.name)
        if mechanism is None:
            yield f"no mechanism is called {use.name!r}{hint(use.name, MECHANISMS)}"
            return
        problems = []
        if mechanism.n_parents is not None and len(use.parents) != mechanism.n_parents:
            problems.append(f"{use.name} takes {mechanism.n_parents} parents, got {len(use.parents)}")
        if factor.type not in mechanism.types:
            problems.append(f"{use.name} gives no {factor.type} values")
        for parent in use.parents:
            if parent not in unknown and self.factors[parent].type not in mechanism.parent_types:
                problems.append(f"{use.name} takes no {self.factors[parent].type} parent, {parent!r} is one")
        if mechanism.needs_range and not np.isfinite(factor.bounds).all():
            problems.append(f"{use.name} needs a factor with `range`")
        try:
            mechanism.parameters.model_validate(use.parameters)
        except ValidationError as error:
            problems += [f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()]
        if not problems and not unknown:
            # What a mechanism itself refuses (a table of the wrong shape) shows on a first value.
            parents = [self.factors[parent] for parent in use.parents]
            try:
                first = [Parent(parent, np.zeros(1, dtype=parent.dtype)) for parent in parents]
                mechanism.function(np.full(1, 0.5), first, factor, **use.parameters)
            except (ValueError, IndexError, TypeError) as error:
                problems.append(str(error))
        yield from problems

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Names of all factors, parents first."""
        graph = {name: self.parents(name) for name in self.factors}
        return tuple(name for name in TopologicalSorter(graph).static_order() if name in self.factors)

    def parents(self, name: str) -> tuple[str, ...]:
        """Parents of a factor, in whatever view."""
        uses = [view.factors[name] for view in self.views.values() if name in view.factors]
        found = [*self.factors[name].mechanism.parents]
        found += [parent for use in uses if use.mechanism is not None for parent in use.mechanism.parents]
        return tuple(dict.fromkeys(found))

    def ancestors(self, names: Iterable[str]) -> frozenset[str]:
        """The factors named and all that they depend on."""
        found = set(names)
        for name in reversed(self.order):
            if name in found:
                found.update(self.parents(name))
        return frozenset(found)

    def descendants(self, names: Iterable[str]) -> frozenset[str]:
        """The factors named and all that depend on them."""
        found = set(names)
        for name in self.order:
            if found.intersection(self.parents(name)):
                found.add(name)
        return frozenset(found)

    @cached_property
    def observed(self) -> dict[str, Observed]:
        """Every view that a sample has, by name: `image`, `image_do_FACTOR`, `image_permuted`, `image_t0`, ..."""
        found: dict[str, Observed] = {}
        for name, view in self.views.items():
            if self.sequence is not None and view.modality == "image":
                width = len(str(self.sequence.length - 1))
                for frame in range(self.sequence.length):
                    found[f"{name}_t{frame:0{width}d}"] = Observed(view, name, frame=frame)
            else:
                found[name] = Observed(view, name)
        for factor in self.pairs.counterfactual if self.pairs else ():
            for name, view in self.views.items():
                found[f"{name}_do_{factor}"] = Observed(view, name, do=factor)
        if self.pairs and self.pairs.permuted_content:
            found |= {f"{name}_permuted": Observed(view, name, permuted=True) for name, view in self.views.items()}
        return found

    def views_of(self, modality: str) -> dict[str, View]:
        """The observed views of one modality, by name."""
        return {name: each.view for name, each in self.observed.items() if each.view.modality == modality}


def hint(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name."""
    near = near_match(word, known)
    return f"; did you mean {near!r}?" if near else ""
