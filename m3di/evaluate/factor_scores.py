"""What probes of single factors share: all numbers from one fit, labels one by one, each score with its interval."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m3di.evaluate.encoded import FactorValues
from m3di.evaluate.encoded_view import EncodedView
from m3di.evaluate.metric import INF, NAN, Range, Score
from m3di.evaluate.r2 import circle_points, circular_r2, is_constant, r2_scores

Floats = NDArray[np.float64]
NUMBER_SCORES = (Range("r2", -INF), Range("circular_r2", -INF))
Fit = Callable[[Floats, Floats], Any]  # samples [N, D] and targets [N, T] to what predicts [M, D] -> [M, T]
Classify = Callable[[Floats, NDArray[Any], Floats], NDArray[Any]]  # [N, D], labels [N], [M, D] -> labels [M]


def predict_numbers(z: EncodedView, fit: Fit, samples: tuple[Floats, Floats] | None = None) -> dict[str, Floats]:
    """Of every number [M, 1], and of every angle its point on the circle [M, 2], all from one fit.

    Args:
        z: The encoding, with its factors.
        fit: What to fit, on standardised targets.
        samples: [N, D] and [M, D] in place of the encoding.
    """
    known, new = samples or (z.fit, z.test)
    names, columns = [], []
    for factor in z.numbers:
        names.append(factor.full_name)
        columns.append(factor.fit[:, None])
        if factor.angle is not None:
            names.append(f"{factor.full_name} circle")
            columns.append(circle_points(factor.angle[0]))
    if not columns:
        return {}
    targets = np.concatenate(columns, axis=1)
    centre, scale = targets.mean(axis=0), np.where(targets.std(axis=0) > 0, targets.std(axis=0), 1.0)
    predicted = fit(known, (targets - centre) / scale).predict(new) * scale + centre
    edges = np.cumsum([0, *(each.shape[1] for each in columns)])
    return {name: predicted[:, edges[i] : edges[i + 1]] for i, name in enumerate(names)}


def number_scores(z: EncodedView, estimator: str, predicted: Mapping[str, Floats]) -> Iterator[Score]:
    """R2 of every number, and circular R2 of every angle, of what `predict_numbers` gave."""
    for factor in z.numbers:
        yield factor_score(z, factor, estimator, "r2", *r2_of(z, factor, predicted))
        if factor.angle is not None:
            points = predicted[f"{factor.full_name} circle"]
            true = circle_points(factor.angle[1])
            value = NAN if is_constant(true) else circular_r2(true, points)
            named = (z.name, factor.full_name, factor.kind, factor.role, estimator, "circular_r2")
            yield Score(*named, value, 0.0).with_resampled(z.resamples.r2s(true, points))


def label_scores(z: EncodedView, estimator: str, classify: Classify) -> Iterator[Score]:
    """Accuracy of every label."""
    for factor in z.labels:
        right = is_right(factor, classify, z.fit, z.test)
        yield factor_score(z, factor, estimator, "accuracy", float(right.mean()), z.resamples.means(right))


def r2_of(z: EncodedView, factor: FactorValues, predicted: Mapping[str, Floats]) -> tuple[float, Floats]:
    """R2 on the test samples and in each resample; not a number of a factor that is constant there."""
    true, found = factor.test[:, None], predicted[factor.full_name]
    value = NAN if is_constant(true) else float(r2_scores(true, found)[0])
    return value, z.resamples.r2s(true, found)


def is_right(factor: FactorValues, classify: Classify, fit: Floats, test: Floats) -> Floats:
    """[M]: 1 where the label is predicted right."""
    return (classify(fit, factor.fit, test) == factor.test).astype(np.float64)


def factor_score(
    z: EncodedView, factor: FactorValues, estimator: str, metric: str, value: float, resampled: Floats
) -> Score:
    """A score of one factor, with its chance and bound."""
    named = (z.name, factor.full_name, factor.kind, factor.role, estimator, metric)
    return Score(*named, value, factor.chance, factor.bound).with_resampled(resampled)
