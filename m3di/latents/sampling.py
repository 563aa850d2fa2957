"""Samples of a spec: raw values of every factor in every view."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m3di.errors import M3diError, UsageError
from m3di.latents.factor import Factor, MechanismUse
from m3di.latents.graph import apart, takes_own_value
from m3di.latents.mechanisms import Parent
from m3di.latents.noise import uniforms
from m3di.latents.spec import SPLITS, Observed, Spec

SHARED = ""  # the view name of what all views have in common


@dataclass(frozen=True)
class Samples:
    """A run of consecutive samples.

    Attributes:
        spec: Where they come from.
        split: Their split.
        seed: Seed of the dataset.
        start: Index of the first sample in its split.
        n: Number of samples.
        views: For each observed view, the raw values [n] of each factor it sees, in the order of the spec.
    """

    spec: Spec
    split: str
    seed: int
    start: int
    n: int
    views: dict[str, dict[str, NDArray[Any]]]

    def columns(self) -> dict[str, dict[str, NDArray[Any]]]:
        """For each view, raw and physical values: `f`, then `f_name`, `f_hex` or `f_UNIT` where f has them."""
        return {
            view: {column: values for name in raw for column, values in _columns(self.spec, name, raw[name])}
            for view, raw in self.views.items()
        }

    @property
    def indices(self) -> range:
        """Index of each sample in its split."""
        return range(self.start, self.start + self.n)


def _columns(spec: Spec, name: str, raw: NDArray[Any]) -> list[tuple[str, NDArray[Any]]]:
    factor = spec.factors[name]
    values = [raw]
    if factor.type == "categorical":
        values.append(np.asarray(factor.names, dtype=object)[raw])
    if factor.palettes:
        values.append(np.asarray(factor.hex, dtype=object)[raw])
    if factor.physical_values is not None:
        values.append(factor.physical(raw))
    return list(zip(factor.columns(name), values, strict=True))


@dataclass(frozen=True)
class CausalWorld:
    """Where a value is taken: as it is, with one factor drawn again, or in a later frame."""

    do: str | None = None
    frame: int = 0


FACTUAL = CausalWorld()


class _Evaluation:
    """Evaluates factors lazily, each (world, view, factor) once."""

    def __init__(self, spec: Spec, split: str, seed: int, start: int, n: int) -> None:
        self.spec, self.split, self.seed, self.start, self.n = spec, split, seed, start, n
        self._known: dict[tuple[CausalWorld, str, str], NDArray[Any]] = {}
        self._affected = cache(self._affected_in)
        self._apart = {view: apart(spec, view) for view in spec.views}

    def observe(self, observed: Observed, names: Set[str]) -> dict[str, NDArray[Any]]:
        if observed.permuted:
            return self._observe_permuted(observed, names)
        world = CausalWorld(observed.do, observed.frame)
        return {name: self.value(world, observed.declared, name) for name in observed.view.factors if name in names}

    def _observe_permuted(self, observed: Observed, names: Set[str]) -> dict[str, NDArray[Any]]:
        """Sample 2k has the content of sample 2k + 1 and the other way round; everything else is its own.

        That is a permutation without fixed points of any even number of samples, and it depends on neither that
        number nor the shard. A style that the content causes stays as the sample's own content had it.
        """
        first, last = self.start - self.start % 2, self.start + self.n + (self.start + self.n) % 2
        aligned = _Evaluation(self.spec, self.split, self.seed, first, last - first)
        neighbours = (np.arange(self.start, self.start + self.n) ^ 1) - first
        return {
            name: aligned.value(FACTUAL, SHARED, name)[neighbours]
            if use.role == "content"
            else self.value(FACTUAL, observed.declared, name)
            for name, use in observed.view.factors.items()
            if name in names
        }

    def value(self, world: CausalWorld, view: str, name: str) -> NDArray[Any]:
        if name not in self._affected(world):
            world = FACTUAL
        key = (world, view, name)
        if key not in self._known:
            self._known[key] = self._evaluate(world, view, name)
        return self._known[key]

    def _affected_in(self, world: CausalWorld) -> frozenset[str]:
        """The factors whose values in a world may differ from the factual ones."""
        moving = [name for name in self.spec.factors if self._moves(name)] if world.frame else []
        return self.spec.descendants([*moving, *([world.do] if world.do else [])])

    def _moves(self, name: str) -> bool:
        """Whether a factor goes from frame to frame by a temporal mechanism, in any view."""
        uses = [self.spec.used_mechanism(view, name) for view in self.spec.views]
        return any(use is not None and self.spec.is_temporal(use) for use in (*uses, self.spec.factors[name].mechanism))

    def _evaluate(self, world: CausalWorld, view: str, name: str) -> NDArray[Any]:
        factor = self.spec.factors[name]
        if view == SHARED:
            return self._draw(world, SHARED, SHARED, name, factor.mechanism)
        use = self.spec.views[view].factors.get(name)
        if use is None:
            # Not seen: it passes on what the view's own values cause, as style does.
            return self._draw(world, SHARED, view if name in self._apart[view] else SHARED, name, factor.mechanism)
        if use.role == "content":
            return self.value(world, SHARED, name)
        if use.role == "constant":
            return np.full(self.n, use.value, dtype=factor.dtype)
        if use.role == "private":
            return self._draw(world, view, view, name, use.mechanism or factor.mechanism)
        mixed = self.spec.mixed(view, name)
        if mixed is not None:
            value = self.value(world, mixed[0], name)
            return self._where(world, view, use.when, self.value(world, mixed[1], name), value) if use.when else value
        value = self._draw(world, SHARED, view, name, use.mechanism or factor.mechanism)
        if use.change is None:
            return value
        u = self._noise(name, f"{view} change")
        mechanism = self.spec.mechanism(use.change.name)
        own = [Parent(factor, value)] if mechanism is None or takes_own_value(mechanism) else []
        changed = self._apply(use.change, name, u, own)
        return self._where(world, view, use.when, changed, value) if use.when else changed

    def _where(
        self, world: CausalWorld, view: str, when: str, changed: NDArray[Any], kept: NDArray[Any]
    ) -> NDArray[Any]:
        """Values as they are changed where a factor of the view has its second value, and as they were elsewhere."""
        return np.where(self.value(world, view, when) == 1, changed, kept)

    def _draw(self, world: CausalWorld, noise: str, view: str, name: str, use: MechanismUse) -> NDArray[Any]:
        """A factor's value by its mechanism, with the noise of one view and the parents of one view."""
        if name == world.do:
            return self._apply(MechanismUse(name="uniform"), name, self._noise(name, f"{noise} do"), [])
        missing = [parent for parent in use.parents if parent not in self.spec.factors]
        if missing:
            raise M3diError(
                f"the parent {missing[0]!r} of factor {name!r} is not there",
                where=f"spec {self.spec.name!r}",
                expected=", ".join(self.spec.factors),
            )
        parents = [Parent(self.spec.factors[parent], self.value(world, view, parent)) for parent in use.parents]
        if world.frame and self.spec.is_temporal(use):
            before = self.value(CausalWorld(world.do, world.frame - 1), view, name)
            u = self._noise(name, f"{noise} frame {world.frame}")
            return self._apply(use, name, u, [Parent(self.spec.factors[name], before), *parents])
        return self._apply(use, name, self._noise(name, noise), parents)

    def _noise(self, name: str, view: str) -> NDArray[np.float64]:
        return uniforms(self.seed, self.split, name, view, start=self.start, n=self.n)

    def _apply(self, use: MechanismUse, name: str, u: NDArray[np.float64], parents: list[Parent]) -> NDArray[Any]:
        factor, mechanism = self.spec.factors[name], self.spec.mechanism(use.name)
        where = f"factor {name!r} of spec {self.spec.name!r}"
        if mechanism is None:
            raise M3diError(
                f"the mechanism {use.name!r} is not installed here",
                where=where,
                expected=", ".join(self.spec.plugins) or "a package that registers it",
                next_step="the dataset came with its plugin: look at it, then m3di --plugin DATASET COMMAND ..."
                if self.spec.plugins
                else "install the package that registers it, or import the module that does",
            )
        try:
            values = mechanism.function(u, parents, factor, **use.parameters)
        except M3diError:
            raise
        except Exception as error:
            raise M3diError(
                f"the mechanism {use.name!r} failed",
                where=where,
                got=f"{type(error).__name__}: {error}"[:300],
                next_step="correct the mechanism, or its parameters",
            ) from error
        problem = value_problem(factor, values, len(u))
        if problem:
            raise M3diError(
                f"the mechanism {use.name!r} gave what is no value of the factor",
                where=where,
                got=problem,
                expected=support(factor),
                next_step="correct the mechanism, its parameters or the factor's range",
            )
        return values


def value_problem(factor: Factor, values: Any, n: int) -> str | None:
    """What is wrong with values [n] that a mechanism gave a factor, or None."""
    array = np.asarray(values)
    if array.shape != (n,):
        return f"an array of shape {list(array.shape)}, for {n} samples"
    if array.dtype.kind not in "iuf" or (factor.type != "continuous" and array.dtype.kind == "f"):
        return f"numbers of type {array.dtype}, for a {factor.type} factor"
    if n and not np.isfinite(array).all():
        return "NaN or infinity"
    low, high = factor.bounds
    slack = 1e-9 * (high - low) if np.isfinite(high - low) else 0.0  # what rounding may do to the ends
    if n and not (array.min() >= low - slack and array.max() <= high + slack):
        return f"{array.min():g} to {array.max():g}"
    return None


def support(factor: Factor) -> str:
    """The values that a factor can have, in words."""
    low, high = factor.bounds
    kind = "numbers" if factor.type == "continuous" else "whole numbers"
    return f"finite {kind}" if not np.isfinite(low) else f"{kind} from {low:g} to {high:g}"


def missing_mechanisms(spec: Spec) -> dict[str, dict[str, str]]:
    """By view, the factors that cannot be derived here, each with the name of a mechanism that is not installed."""
    shared: dict[str, str] = {}
    for name in spec.order:
        _note_missing(spec, name, [spec.factors[name].mechanism], shared)
    found: dict[str, dict[str, str]] = {}
    for view, declared in spec.views.items():
        lacking: dict[str, str] = {}
        for name in spec.order:
            use = declared.factors.get(name)
            if use is not None and use.role == "content":
                lacking |= {name: shared[name]} if name in shared else {}
                continue
            change = [use.change] if use is not None and use.change is not None else []
            mechanism = spec.used_mechanism(view, name)
            _note_missing(spec, name, [*([mechanism] if mechanism else []), *change], lacking)
        found[view] = {name: each for name, each in lacking.items() if name in declared.factors}
    return found


def _note_missing(spec: Spec, name: str, uses: list[MechanismUse], lacking: dict[str, str]) -> None:
    absent = [use.name for use in uses if spec.mechanism(use.name) is None]
    absent += [lacking[parent] for use in uses for parent in use.parents if parent in lacking]
    if absent:
        lacking[name] = absent[0]


def sample(spec: Spec, split: str, n: int, *, seed: int = 0, start: int = 0, partly: bool = False) -> Samples:
    """Draw samples `start` to `start + n - 1` of a split. Sample i does not depend on `start` or `n`.

    Args:
        spec: The spec.
        split: `train`, `val` or `test`; splits share no noise.
        n: Number of samples.
        seed: Seed of the dataset.
        start: Index of the first sample.
        partly: Leave out what needs a mechanism that is not installed, see `missing_mechanisms`.

    Raises:
        UsageError: Unknown split, or a negative number.
        M3diError: A mechanism of the spec is not installed, or gives what is no value of its factor.

    Example:
        >>> from m3di import load_spec, sample
        >>> samples = sample(load_spec("m3di"), "train", 4, seed=0)
        >>> samples.views["image"]["object_shape"].shape
        (4,)
    """
    if split not in SPLITS:
        raise UsageError(f"no split is called {split!r}", expected=", ".join(SPLITS))
    for name, number in (("n", n), ("start", start), ("seed", seed)):
        if number < 0:
            raise UsageError(f"{name} is negative", got=number, expected="0 or more")
    evaluation = _Evaluation(spec, split, seed, start, n)
    missing = missing_mechanisms(spec) if partly else {}
    views = {
        name: evaluation.observe(each, each.view.factors.keys() - missing.get(each.declared, {}).keys())
        for name, each in spec.observed.items()
    }
    return Samples(spec, split, seed, start, n, views)
