"""Disentanglement, completeness, informativeness (Eastwood and Williams, ICLR 2018)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from m3di.evaluate.encoded_view import EncodedView
from m3di.evaluate.metric import INF, Metric, Range, Score, register_metric
from m3di.evaluate.probes.classification import quiet

Floats = NDArray[np.float64]
N_TREES = 30
MIN_LEAF = 4  # leaves of single samples would call noise important


@dataclass(frozen=True)
class Dci:
    """Scores of an encoding.

    Attributes:
        disentanglement: 1 if each dimension matters for one factor only, 0 if for all alike.
        completeness: 1 if each factor needs one dimension only, 0 if all alike.
        informativeness: Mean over factors of the test score of the forests: R2 of numbers, accuracy of labels.
        importances: [D, F] share of each dimension in the prediction of each factor; columns sum to 1.
    """

    disentanglement: float
    completeness: float
    informativeness: float
    importances: Floats


def disentanglement(importances: Floats) -> float:
    """Of importances [D, F]: 1 - entropy (base F) of each dimension over factors, weighted by its importance."""
    per_dimension = 1.0 - _entropy(importances.T) if importances.shape[1] > 1 else np.ones(len(importances))
    weight = importances.sum(axis=1)
    return float(per_dimension @ weight / weight.sum()) if weight.sum() > 0 else 0.0


def completeness(importances: Floats) -> float:
    """Of importances [D, F]: 1 - entropy (base D) of each factor over dimensions, averaged over factors."""
    used = importances[:, importances.sum(axis=0) > 0]
    if used.shape[1] == 0:
        return 0.0
    return float(np.mean(1.0 - _entropy(used))) if len(used) > 1 else 1.0


def dci(
    fit: Floats, fit_factors: Sequence[NDArray[Any]], test: Floats, test_factors: Sequence[NDArray[Any]], seed: int = 0
) -> Dci:
    """DCI of an encoding by random forests (30 trees, leaves of 4 samples or more).

    Args:
        fit: [N, D] encodings of the fit.
        fit_factors: [N] each: float is a number, anything else a label.
        test: [M, D] encodings to score.
        test_factors: [M] each.
        seed: Of the forests.
    """
    importances, scores = [], []
    for known, true in zip(fit_factors, test_factors, strict=True):
        kind = RandomForestRegressor if known.dtype.kind == "f" else RandomForestClassifier
        with quiet():
            forest = kind(N_TREES, max_features=1.0, min_samples_leaf=MIN_LEAF, random_state=seed).fit(fit, known)
        importances.append(forest.feature_importances_)
        scores.append(float(forest.score(test, true)))
    table = np.stack(importances, axis=1)
    return Dci(disentanglement(table), completeness(table), float(np.mean(scores)), table)


def _entropy(table: Floats) -> Floats:
    """Entropy of each column as a distribution, to the base of its length; of an empty column 1."""
    total = table.sum(axis=0)
    share = np.divide(table, total, out=np.full_like(table, 1.0 / len(table)), where=total > 0)
    logarithm = np.log(share, out=np.zeros_like(share), where=share > 0)
    return np.asarray(-(share * logarithm).sum(axis=0) / np.log(len(table)))


@register_metric("dci")
class DciMetric(Metric):
    """Disentanglement, completeness and informativeness by random forests."""

    scores = (Range("disentanglement"), Range("completeness"), Range("informativeness", -INF))

    def of_view(self, z: EncodedView) -> Iterator[Score]:
        """Of all factors that vary and have at most 100 labels."""
        chosen = z.varying
        if chosen:
            found = dci(z.fit, [each.fit for each in chosen], z.test, [each.test for each in chosen], seed=z.seed)
            for name, _, _ in self.scores:
                yield Score(z.name, "all", "", "", "random_forest", name, getattr(found, name))
