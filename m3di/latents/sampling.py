"""Samples of a spec: raw values of every factor in every view."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m3di.errors import M3diError, UsageError
from m3di.latents.missing import missing_mechanisms
from m3di.latents.rejection import N_MEASURED, accepted_attempts, holds
from m3di.latents.spec import Observed, Spec
from m3di.latents.splits import check_split
from m3di.latents.values import Evaluation


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


def sample(spec: Spec, split: str, n: int, *, seed: int = 0, start: int = 0, partly: bool = False) -> Samples:
    """Draw samples `start` to `start + n - 1` of a split. Sample i does not depend on `start` or `n`.

    Args:
        spec: The spec.
        split: `train`, `val`, `test`, or another one of the spec; splits share no noise.
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
    spec = spec.in_split(check_split(spec, split))
    for name, number in (("n", n), ("start", start), ("seed", seed)):
        if number < 0:
            raise UsageError(f"{name} is negative", got=number, expected="0 or more")
    missing = missing_mechanisms(spec) if partly else {}
    wanted = {
        name: each.view.factors.keys() - missing.get(each.declared, {}).keys() for name, each in spec.observed.items()
    }
    indices, own = _units(spec, start, n)

    def draw(drawn: Spec, some: NDArray[np.int64], attempts: NDArray[np.int64] | None) -> Evaluation:
        return Evaluation(drawn, split, seed, some, attempts)

    attempts = accepted_attempts(spec, indices, draw) if any(wanted.values()) else None
    evaluation = draw(spec, indices, attempts)
    evaluation.pass_burn_in({spec.observed[name].declared: names for name, names in wanted.items()})
    if not spec.is_chain:
        found = {name: evaluation.observe(each, wanted[name]) for name, each in spec.observed.items()}
    else:
        found = {name: _frames(evaluation, each, wanted[name]) for name, each in spec.observed.items()}
    views = {name: {factor: values[own] for factor, values in each.items()} for name, each in found.items()}
    return Samples(spec, split, seed, start, n, views)


def _units(spec: Spec, start: int, n: int) -> tuple[NDArray[np.int64], slice]:
    """What is drawn together (samples, or sequences of which they are frames), and where in it the samples are."""
    if spec.is_chain and spec.sequence is not None:
        length = spec.sequence.length
        first, last = start // length, -(-(start + n) // length)
        return np.arange(first, last), slice(start - first * length, start - first * length + n)
    # Whole pairs of neighbours, which change places where content is permuted.
    permuted = any(each.permuted for each in spec.observed.values())
    before, after = (start % 2, (start + n) % 2) if permuted else (0, 0)
    return np.arange(start - before, start + n + after), slice(before, before + n)


def _frames(evaluation: Evaluation, observed: Observed, names: Set[str]) -> dict[str, NDArray[Any]]:
    """Values [sequences x length] of a view whose frames are samples, sequence by sequence."""
    sequence = evaluation.spec.sequence
    frames = range(sequence.length if sequence is not None else 1)
    each = [evaluation.observe(replace(observed, frame=frame), names) for frame in frames]
    return {name: np.stack([values[name] for values in each], axis=1).reshape(-1) for name in each[0]}


def share_accepted(spec: Spec) -> float:
    """The share of draws that fulfil the condition of a spec, measured on the same 10,000 of them for all seeds."""
    attempts = np.zeros(N_MEASURED, dtype=np.int64)
    return float(holds(Evaluation(spec.factual, "train", 0, np.arange(N_MEASURED), attempts)).mean())


def told_given(spec: Spec) -> str:
    """The condition of a spec in words, with the share of draws that fulfil it; empty where there is none."""
    if spec.given is None:
        return ""
    try:
        share = f"{100 * share_accepted(spec):.3g} % of draws fulfil it"
    except M3diError as error:  # of a dataset whose mechanism is not here
        share = f"the share of draws that fulfil it is not known here: {error.what}"
    return f"{spec.given.condition} ({share})"
