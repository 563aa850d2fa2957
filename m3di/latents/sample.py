"""Samples of a spec: raw values of every factor in every view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m3di.errors import UsageError
from m3di.latents.mechanisms import MECHANISMS, Parent
from m3di.latents.noise import uniforms
from m3di.latents.spec import SPLITS, Spec

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
        views: For each view, the raw values [n] of each factor it sees, in the order of the spec.
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


class _Evaluation:
    """Evaluates factors lazily, each (view, factor) once."""

    def __init__(self, spec: Spec, split: str, seed: int, start: int, n: int) -> None:
        self.spec, self.split, self.seed, self.start, self.n = spec, split, seed, start, n
        self._known: dict[tuple[str, str], NDArray[Any]] = {}

    def value(self, view: str, name: str) -> NDArray[Any]:
        key = (view, name)
        if key not in self._known:
            self._known[key] = self._evaluate(view, name)
        return self._known[key]

    def _evaluate(self, view: str, name: str) -> NDArray[Any]:
        if view == SHARED:
            return self._mechanism(name, noise=SHARED, parents=SHARED)
        use = self.spec.views[view].factors.get(name)
        if use is None or use.role == "content":
            return self.value(SHARED, name)
        if use.role == "constant":
            dtype = np.float64 if self.spec.factors[name].type == "continuous" else np.int64
            return np.full(self.n, use.value, dtype=dtype)
        return self._mechanism(name, noise=view if use.role == "private" else SHARED, parents=view)

    def _mechanism(self, name: str, *, noise: str, parents: str) -> NDArray[Any]:
        factor = self.spec.factors[name]
        use = factor.mechanism
        u = uniforms(self.seed, self.split, name, noise, start=self.start, n=self.n)
        known = [Parent(self.spec.factors[parent], self.value(parents, parent)) for parent in use.parents]
        return MECHANISMS[use.name].function(u, known, factor, **use.parameters)


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
    """
    if split not in SPLITS:
        raise UsageError(f"no split is called {split!r}", expected=", ".join(SPLITS))
    for name, number in (("n", n), ("start", start), ("seed", seed)):
        if number < 0:
            raise UsageError(f"{name} is negative", got=number, expected="0 or more")
    evaluation = _Evaluation(spec, split, seed, start, n)
    views = {
        view: {name: evaluation.value(view, name) for name in declared.factors} for view, declared in spec.views.items()
    }
    return Samples(spec, split, seed, start, n, views)
