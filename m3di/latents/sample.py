"""Samples of a spec: raw values of every factor in every view."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m3di.errors import M3diError, UsageError
from m3di.latents.factor import MechanismUse
from m3di.latents.mechanisms import Parent, find_mechanism
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
    columns = [(name, raw)]
    if factor.type == "categorical":
        columns.append((f"{name}_name", np.asarray(factor.names, dtype=object)[raw]))
    if factor.palettes:
        columns.append((f"{name}_hex", np.asarray(factor.hex, dtype=object)[raw]))
    if factor.physical_values is not None:
        columns.append((f"{name}_{factor.unit}" if factor.unit else f"{name}_physical", factor.physical(raw)))
    return columns


@dataclass(frozen=True)
class World:
    """Where a value is taken: as it is, with one factor drawn anew, or in a later frame."""

    do: str | None = None
    frame: int = 0


FACTUAL = World()


class _Evaluation:
    """Evaluates factors lazily, each (world, view, factor) once."""

    def __init__(self, spec: Spec, split: str, seed: int, start: int, n: int) -> None:
        self.spec, self.split, self.seed, self.start, self.n = spec, split, seed, start, n
        self._known: dict[tuple[World, str, str], NDArray[Any]] = {}
        self._affected = cache(self._affected_in)

    def observe(self, observed: Observed) -> dict[str, NDArray[Any]]:
        if observed.permuted:
            return self._observe_permuted(observed)
        world = World(observed.do, observed.frame)
        return {name: self.value(world, observed.declared, name) for name in observed.view.factors}

    def _observe_permuted(self, observed: Observed) -> dict[str, NDArray[Any]]:
        """Sample 2k has the content of sample 2k + 1 and the other way round; whatever else it has is its own.

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
        }

    def value(self, world: World, view: str, name: str) -> NDArray[Any]:
        if name not in self._affected(world):
            world = FACTUAL
        key = (world, view, name)
        if key not in self._known:
            self._known[key] = self._evaluate(world, view, name)
        return self._known[key]

    def _affected_in(self, world: World) -> frozenset[str]:
        """The factors whose values in a world differ from the factual ones."""
        moving = [name for name in self.spec.factors if self._is_temporal(name)] if world.frame else []
        return self.spec.descendants([*moving, *([world.do] if world.do else [])])

    def _is_temporal(self, name: str) -> bool:
        mechanism = find_mechanism(self.spec.factors[name].mechanism.name)
        return mechanism is not None and mechanism.temporal

    def _evaluate(self, world: World, view: str, name: str) -> NDArray[Any]:
        factor = self.spec.factors[name]
        if view == SHARED:
            return self._draw(world, SHARED, SHARED, name, factor.mechanism)
        use = self.spec.views[view].factors.get(name)
        if use is None or use.role == "content":
            return self.value(world, SHARED, name)
        if use.role == "constant":
            return np.full(self.n, use.value, dtype=factor.dtype)
        if use.role == "private":
            return self._draw(world, view, view, name, use.mechanism or factor.mechanism)
        value = self._draw(world, SHARED, view, name, factor.mechanism)
        if use.change is None:
            return value
        u = self._noise(name, f"{view} change")
        return self._apply(use.change, name, u, [Parent(factor, value)])

    def _draw(self, world: World, noise: str, view: str, name: str, use: MechanismUse) -> NDArray[Any]:
        """A factor's value by its mechanism, with the noise of one view and the parents of one view."""
        if name == world.do:
            return self._apply(MechanismUse(name="uniform"), name, self._noise(name, f"{noise} do"), [])
        if world.frame and self._is_temporal(name):
            before = self.value(World(world.do, world.frame - 1), view, name)
            u = self._noise(name, f"{noise} frame {world.frame}")
            return self._apply(use, name, u, [Parent(self.spec.factors[name], before)])
        parents = [Parent(self.spec.factors[parent], self.value(world, view, parent)) for parent in use.parents]
        return self._apply(use, name, self._noise(name, noise), parents)

    def _noise(self, name: str, view: str) -> NDArray[np.float64]:
        return uniforms(self.seed, self.split, name, view, start=self.start, n=self.n)

    def _apply(self, use: MechanismUse, name: str, u: NDArray[np.float64], parents: list[Parent]) -> NDArray[Any]:
        mechanism = find_mechanism(use.name)
        if mechanism is None:
            raise M3diError(
                f"the mechanism {use.name!r} is not installed here",
                where=f"factor {name!r} of spec {self.spec.name!r}",
                next_step="install the package that registers it, or import the module that does",
            )
        return mechanism.function(u, parents, self.spec.factors[name], **use.parameters)


def sample(spec: Spec, split: str, n: int, *, seed: int = 0, start: int = 0) -> Samples:
    """Draw samples `start` to `start + n - 1` of a split. Sample i is the same whatever `start` and `n`.

    Args:
        spec: The spec.
        split: `train`, `val` or `test`; splits share no noise.
        n: Number of samples.
        seed: Seed of the dataset.
        start: Index of the first sample.

    Raises:
        UsageError: Unknown split, or a negative number.
        M3diError: A mechanism of the spec is not installed.
    """
    if split not in SPLITS:
        raise UsageError(f"no split is called {split!r}", expected=", ".join(SPLITS))
    for name, number in (("n", n), ("start", start), ("seed", seed)):
        if number < 0:
            raise UsageError(f"{name} is negative", got=number, expected="0 or more")
    evaluation = _Evaluation(spec, split, seed, start, n)
    views = {name: evaluation.observe(observed) for name, observed in spec.observed.items()}
    return Samples(spec, split, seed, start, n, views)
