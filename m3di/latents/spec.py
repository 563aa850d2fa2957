"""The spec: which factors exist, how they depend on each other, and which view sees what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from graphlib import TopologicalSorter
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, model_serializer

from m3di.latents.factor import STORED, Factor, Strict
from m3di.latents.mechanism_use import MechanismUse
from m3di.latents.mechanisms import Mechanism, find_mechanism
from m3di.latents.overlay import laid_over
from m3di.latents.regimes import Regime, Replaced, replaced_in
from m3di.latents.templates import Template
from m3di.latents.variants import Pairs, Sequence
from m3di.latents.view import View

SPLITS = ("train", "val", "test")

SPEC_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


class Split(Strict):
    """A split with a process of its own: the spec, with what is given here laid over it as `extends` does.

    Attributes:
        n: Number of samples.
        factors: Other mechanisms (`mechanism`, `first`) of factors of the spec.
        views: What is another one in views of the spec: the use of a factor, `changes`, `mentions`, `misstates`, and in
            images `shape`, `material`, `ground`, `lights`, `raised` and `axes`.
        regimes: Other cases of regimes, other mechanisms in them, and how they are `chosen`.
        given: A condition in place of the spec's own; null for none.
        interventions: Further mechanisms that are replaced, as `do` has them.
    """

    n: Annotated[int, Field(ge=0)]
    factors: dict[str, Any] = Field(default_factory=dict)
    views: dict[str, Any] = Field(default_factory=dict)
    regimes: dict[str, Any] = Field(default_factory=dict)
    given: str | dict[str, Any] | None = None
    interventions: dict[str, Any] = Field(default_factory=dict)

    @model_serializer(mode="plain")
    def plain(self) -> dict[str, Any]:
        """As it was given, nulls included: they take away."""
        return {name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set}

    @property
    def overlay(self) -> dict[str, Any]:
        """What is laid over the spec."""
        return {name: each for name, each in self.plain().items() if name != "n"}


def _kind_of_split(value: Any) -> str:
    return "overlay" if isinstance(value, (dict, Split)) else "number"


SizeOrSplit = Annotated[
    Annotated[int, Field(ge=0), Tag("number")] | Annotated[Split, Tag("overlay")], Discriminator(_kind_of_split)
]


class Factual(Strict):
    """Factors and views as they were before any intervention: in them, `given` is looked at.

    Attributes:
        factors: The factors by name.
        views: The views by name.
        regimes: The regimes by name.
    """

    factors: dict[str, Factor]
    views: dict[str, View]
    regimes: dict[str, Regime] = Field(default_factory=dict)


class Given(Strict):
    """The condition that every sample fulfils; what does not is drawn again, before anything is rendered.

    Attributes:
        condition: Comparisons of factors; `VIEW.FACTOR` where views differ in it.
        factual: Factors and views before the first intervention; m3di writes it.
    """

    condition: str
    factual: Factual | None = None


@dataclass(frozen=True)
class Observed:
    """A view as it is sampled and rendered: as declared, in another world, or as one frame.

    Attributes:
        view: Its declaration.
        declared: The name it is declared under; its noise streams carry that name.
        do: The factor that is drawn again in its world, or None.
        frame: Number of the frame.
        permuted: Whether its content is that of another sample.
    """

    view: View
    declared: str
    do: str | None = None
    frame: int = 0
    permuted: bool = False


class Spec(Strict):
    """A whole spec; `spec_from_dict` checks one. Sizes of the splits are numbers of samples.

    Attributes:
        name: Its name; datasets and cards carry it.
        description: What it is, in a sentence or two; where a spec extends another one, what it changes.
        factors: The factors by name.
        views: The views by name.
        pairs: Views in another world.
        sequence: Frames of the image views.
        regimes: Mechanisms that are others in some samples: interventions inside a dataset, and environments.
        given: The condition that every sample fulfils, as a text: `abs(object_xpos - object_ypos) < 0.5`.
        splits: Number of samples of each split; or a mapping with the number `n` and what is another one there.
        interventions: Mechanisms that are replaced, as `do` has them, by FACTOR or VIEW.FACTOR.
        plugins: Python files that register mechanisms; in a resolved spec their text, by file name.
        templates: Caption templates of its own, by the name that a view gives.
        texts: Texts in place of captions; in a resolved spec the content of each CSV file, by file name.
    """

    name: str = Field(pattern=SPEC_NAME, max_length=100)
    description: str = ""
    factors: dict[str, Factor]
    views: dict[str, View]
    pairs: Pairs | None = None
    sequence: Sequence | None = None
    regimes: dict[str, Regime] = Field(default_factory=dict)
    given: Given | None = None
    splits: dict[str, SizeOrSplit]
    interventions: dict[str, float | str | dict[str, Any]] = Field(default_factory=dict)
    plugins: dict[str, str] = Field(default_factory=dict)
    templates: dict[str, Template] = Field(default_factory=dict)
    texts: dict[str, str] = Field(default_factory=dict)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Spec:
        """A copy with other values; what was computed of the old ones is not taken over."""
        copied = super().model_copy(update=update, deep=deep)
        for name in [name for name in copied.__dict__ if name not in type(self).model_fields]:
            del copied.__dict__[name]
        return copied

    @property
    def plain(self) -> dict[str, Any]:
        """The spec as plain data: JSON, YAML and `spec_from_dict` take it."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True)

    @property
    def sizes(self) -> dict[str, int]:
        """Number of samples of each split."""
        return {name: each.n if isinstance(each, Split) else each for name, each in self.splits.items()}

    @property
    def overlays(self) -> dict[str, dict[str, Any]]:
        """What is another one in splits that have a process of their own."""
        found = {name: each.overlay for name, each in self.splits.items() if isinstance(each, Split)}
        return {name: each for name, each in found.items() if each}

    @property
    def base(self) -> Spec:
        """The process of all splits that have none of their own."""
        if not self.overlays:
            return self
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return Spec.model_construct({*self.model_fields_set}, **{**values, "splits": self.sizes})

    @cached_property
    def variants(self) -> dict[str, Spec]:
        """The processes of the splits that have one of their own."""
        if not self.overlays:
            return {}
        plain = self.base.plain
        return {
            name: Spec.model_validate(laid_over(plain, overlay), context={STORED: True})
            for name, overlay in self.overlays.items()
        }

    def in_split(self, split: str) -> Spec:
        """The process of a split, as a spec whose splits are all alike."""
        return self.variants.get(split, self.base)

    def mechanism(self, name: str) -> Mechanism | None:
        """The mechanism that this spec calls `name`, of its plugins (if they were run here) or registered; or None."""
        return find_mechanism(name, self.plugins)

    def is_temporal(self, use: MechanismUse) -> bool:
        """Whether a mechanism takes the factor's own value one frame earlier."""
        mechanism = self.mechanism(use.name)
        return mechanism is not None and mechanism.temporal

    def used_mechanism(self, view: str, name: str) -> MechanismUse | None:
        """The mechanism that gives a factor its value in a view, before any `change`; None where it is constant.

        A factor that the view does not see has its own one, like a style factor.
        """
        use = self.views[view].factors.get(name)
        if use is not None and use.role == "constant":
            return None
        return (use.mechanism if use is not None else None) or self.factors[name].mechanism

    @property
    def factual(self) -> Spec:
        """The spec before its interventions, as far as `given` knows it."""
        if self.given is None or self.given.factual is None:
            return self
        before = dict(self.given.factual)
        changed: dict[str, Any] = {**before, "given": Given(condition=self.given.condition), "interventions": {}}
        return Spec.model_construct(**{**dict(self), **changed})

    def mixed(self, view: str, name: str) -> tuple[str, str] | None:
        """The two views of which a factor has its value in a view that mixes them; None where it does not mix it."""
        declared = self.views[view]
        use = declared.factors.get(name)
        own = use is None or use.role != "style" or use.change is not None or use.mechanism is not None
        return None if own else declared.mixes

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Names of all factors, parents first."""
        graph = {name: self.present_parents(name) for name in self.factors}
        return tuple(name for name in TopologicalSorter(graph).static_order() if name in self.factors)

    @cached_property
    def replacements(self) -> dict[str, tuple[Replaced, ...]]:
        """What regimes put in the place of mechanisms, by factor."""
        return replaced_in(self.regimes, self.factors)

    def replaced(self, name: str, view: str = "") -> tuple[Replaced, ...]:
        """What regimes put in the place of a factor's mechanism; nothing in a view that has another mechanism or none.

        Of several that hold, the last one counts.
        """
        use = self.views[view].factors.get(name) if view else None
        is_own = use is None or (use.mechanism is None and use.role != "constant")
        return self.replacements.get(name, ()) if is_own else ()

    def causes(self, name: str, view: str = "") -> tuple[str, ...]:
        """What a factor's value in a view depends on, or its shared value, before any `change`: parents in any frame.

        What says which case of a regime holds is one of them.
        """
        own = self.used_mechanism(view, name) if view else self.factors[name].mechanism
        found = list(own.causes) if own is not None else []
        for each in self.replaced(name, view):
            found += [each.switch, *each.use.causes]
        return tuple(dict.fromkeys(found))

    def mechanisms_of(self, name: str) -> tuple[MechanismUse, ...]:
        """The mechanisms that give a factor its values: its own, those of views and regimes, that of first frames."""
        factor = self.factors[name]
        uses = [view.factors[name].mechanism for view in self.views.values() if name in view.factors]
        found = [factor.mechanism, *(use for use in uses if use is not None)]
        found += [each.use for each in self.replaced(name)]
        return (*found, factor.first) if any(use.lag for use in found) else tuple(found)

    def parents(self, name: str) -> tuple[str, ...]:
        """Parents of a factor, in any view and frame."""
        causes = [cause for use in self.mechanisms_of(name) for cause in use.causes]
        return tuple(dict.fromkeys([*causes, *self._choosing(name)]))

    def present_parents(self, name: str) -> tuple[str, ...]:
        """Its parents of the same frame, in any view."""
        present = [parent for use in self.mechanisms_of(name) for parent in use.present]
        return tuple(dict.fromkeys([*present, *self._choosing(name)]))

    def _choosing(self, name: str) -> list[str]:
        """The factors that say when it changes, in any view, and which cases of regimes hold."""
        uses = [view.factors[name] for view in self.views.values() if name in view.factors]
        return [*(use.when for use in uses if use.when is not None), *(each.switch for each in self.replaced(name))]

    def moves(self, name: str) -> bool:
        """Whether a factor has noise of its own in every frame, in any view."""
        if self.sequence is not None and name in self.sequence.redrawn:
            return True
        uses = self.mechanisms_of(name)
        kept = bool(self.factors[name].moved) and any(use.name != "constant" for use in uses)
        return kept or any(use.lag or self.is_temporal(use) for use in uses)

    @property
    def is_chain(self) -> bool:
        """Whether a sample is one frame of a sequence."""
        return self.sequence is not None and self.sequence.frames == "samples"

    def ancestors(self, names: Iterable[str]) -> frozenset[str]:
        """The factors named and all that they depend on."""
        found = set(names)
        left = [name for name in found if name in self.factors]
        while left:
            fresh = [parent for parent in self.parents(left.pop()) if parent in self.factors and parent not in found]
            found.update(fresh)
            left += fresh
        return frozenset(found)

    def descendants(self, names: Iterable[str]) -> frozenset[str]:
        """The factors named and all that depend on them."""
        parents = {name: self.parents(name) for name in self.factors}
        found, before = {*names}, -1
        while len(found) > before:  # once more for what earlier frames cause
            before = len(found)
            found.update(name for name in self.order if not found.isdisjoint(parents[name]))
        return frozenset(found)

    @cached_property
    def observed(self) -> dict[str, Observed]:
        """Every view that a sample has, by name: `image`, `image_do_FACTOR`, `image_permuted`, `image_t0`, ..."""
        found: dict[str, Observed] = {}
        for name, view in self.views.items():
            if self.sequence is not None and view.kind.has_frames and not self.is_chain:
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

    @property
    def rendered(self) -> dict[str, View]:
        """The observed views that show a scene, by name."""
        return self._of("rendered")

    @property
    def told(self) -> dict[str, View]:
        """The observed views that are captions, by name."""
        return self._of("told")

    @property
    def made(self) -> dict[str, View]:
        """The observed views whose files are made of the latents by their modality, by name."""
        return self._of("made")

    def _of(self, source: str) -> dict[str, View]:
        return {name: each.view for name, each in self.observed.items() if each.view.kind.source == source}
