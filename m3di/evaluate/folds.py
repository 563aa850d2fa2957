"""Cross-validation: every sample is scored once, by probes fitted on all other folds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m3di.errors import M3diError
from m3di.evaluate.encoded import MIN_FIT, MIN_TEST, Encoded, FactorValues
from m3di.evaluate.metric import Score, cut_to_range

Indices = NDArray[np.int64]
Factors = dict[str, tuple[FactorValues, ...]]


def folds(encoded: Encoded, n_folds: int, seed: int) -> Iterator[Encoded]:
    """Join both splits, shuffle and cut them into folds; each in turn is the test, and the rest the fit.

    Raises:
        M3diError: A fold would have fewer than 2 samples.
    """
    n = sum(map(len, next(iter(encoded.encodings.values()))))
    if n // n_folds < MIN_TEST or n - -(-n // n_folds) < MIN_FIT:
        raise M3diError(
            "there are too few samples for so many folds",
            where=encoded.run,
            got=f"{n} samples, {n_folds} folds",
            expected=f"{MIN_TEST} samples or more a fold, and {MIN_FIT} or more beside it",
            next_step="use fewer folds",
        )
    order = np.random.default_rng(seed).permutation(n)
    for test in np.array_split(order, n_folds):
        test = np.sort(test)
        fit = np.setdiff1d(order, test)  # sorted
        yield replace(
            encoded,
            encodings={view: _cut(both, fit, test) for view, both in encoded.encodings.items()},
            factors=_factors(encoded.factors, fit, test),
            all_factors=None if encoded.all_factors is None else _factors(encoded.all_factors, fit, test),
        )


def mean_of_folds(scores: Sequence[Score]) -> Score:
    """Average a score over all folds: value, chance level, bound, and scores on resamples.

    Folds are resampled independently of each other, so the mean's interval is narrower than that of any fold.
    """
    first = scores[0]
    found = replace(
        first,
        value=float(np.mean([each.value for each in scores])),
        chance=float(np.mean([each.chance for each in scores])),
        bound=float(np.mean([each.bound for each in scores])),
    )
    resampled = [each.resampled for each in scores if each.resampled is not None]
    if len(resampled) < len(scores):
        return found
    # Pair resample b of one fold with b + shift of the next: all folds draw the same numbers.
    shifted = [np.roll(each, shift) for shift, each in enumerate(resampled)]
    found = found.with_resampled(np.mean(shifted, axis=0))
    low, high = cut_to_range(found.metric, found.ci_low, found.ci_high)
    return replace(found, ci_low=low, ci_high=high)


def _cut(both: tuple[NDArray[Any], NDArray[Any]], fit: Indices, test: Indices) -> tuple[NDArray[Any], NDArray[Any]]:
    together = np.concatenate(both)
    return together[fit], together[test]


def _factors(of: Mapping[str, tuple[FactorValues, ...]], fit: Indices, test: Indices) -> Factors:
    return {view: tuple(_factor(each, fit, test) for each in own) for view, own in of.items()}


def _factor(values: FactorValues, fit: Indices, test: Indices) -> FactorValues:
    known, new = _cut((values.fit, values.test), fit, test)
    angle = None if values.angle is None else _cut(values.angle, fit, test)
    return replace(values, fit=known, test=new, angle=angle, scored=np.concatenate([values.fit, values.test]))
