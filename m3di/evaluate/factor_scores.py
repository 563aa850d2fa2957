"""Scores of single factors: R2, circular R2, accuracy, and what of them is leakage."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m3di.evaluate import probes
from m3di.evaluate.encoded import Encoded, FactorValues
from m3di.evaluate.protocol import NAN, Protocol, Score

Floats = NDArray[np.float64]


class FactorScores:
    """The scores of each factor from the encoding of one view."""

    def __init__(self, encoded: Encoded, view: str, protocol: Protocol, resamples: probes.Bootstrap) -> None:
        self.view, self.protocol, self.resamples = view, protocol, resamples
        self.fit, self.test = probes.standardise(*encoded.encodings[view])
        self.factors = encoded.factors[view]
        self.numbers = [each for each in self.factors if each.is_number]
        self.labels = [each for each in self.factors if not each.is_number]

    def scores(self) -> Iterator[Score]:
        """All that the protocol asks for."""
        wanted = self.protocol.probes
        for estimator in ("linear", "kernel_ridge"):
            if estimator in wanted and self.numbers:
                yield from self._number_scores(estimator)
        for estimator in ("logistic", "mlp"):
            if estimator in wanted:
                for factor in self.labels:
                    yield self._label_score(factor, estimator)
        if "leakage" in wanted and self.content_features is not None:
            yield from self._leakage()

    def _number_scores(self, estimator: str) -> Iterator[Score]:
        predicted = self._kernel_ridge if estimator == "kernel_ridge" else self._predict(estimator, self.fit, self.test)
        for factor in self.numbers:
            yield self._score(factor, estimator, "r2", *self._r2(factor, predicted[factor.full_name]))
            if factor.angle is not None:
                points = predicted[f"{factor.full_name} circle"]
                true = probes.circle_points(factor.angle[1])
                value = probes.circular_r2(true, points) if np.ptp(factor.angle[1]) > 0 else NAN
                named = (self.view, factor.full_name, factor.kind, factor.role, estimator, "circular_r2")
                yield Score(*named, value, 0.0).with_resampled(self.resamples.r2s(true, points))

    def _predict(self, estimator: str, fit: Floats, test: Floats) -> dict[str, Floats]:
        """Of every number [M, 1], and of every angle its point on the circle [M, 2], all from one fit."""
        names, columns = [], []
        for factor in self.numbers:
            names.append(factor.full_name)
            columns.append(factor.fit[:, None])
            if factor.angle is not None:
                names.append(f"{factor.full_name} circle")
                columns.append(probes.circle_points(factor.angle[0]))
        targets = np.concatenate(columns, axis=1)
        centre, scale = targets.mean(axis=0), np.where(targets.std(axis=0) > 0, targets.std(axis=0), 1.0)
        fitted: Any = (probes.fit_linear if estimator == "linear" else probes.search_kernel_ridge)(
            fit, (targets - centre) / scale
        )
        predicted = fitted.predict(test) * scale + centre
        edges = np.cumsum([0, *(each.shape[1] for each in columns)])
        return {name: predicted[:, edges[i] : edges[i + 1]] for i, name in enumerate(names)}

    @cached_property
    def _kernel_ridge(self) -> dict[str, Floats]:
        return self._predict("kernel_ridge", self.fit, self.test)

    def _r2(self, factor: FactorValues, predicted: Floats) -> tuple[float, Floats]:
        """R2 on the test samples and in each resample; not a number of a factor that is constant there."""
        true = factor.test[:, None]
        value = float(probes.r2_scores(true, predicted)[0]) if np.ptp(factor.test) > 0 else NAN
        return value, self.resamples.r2s(true, predicted)

    def _classify(self, factor: FactorValues, estimator: str, fit: Floats, test: Floats) -> Floats:
        """[M]: 1 where the label is predicted right."""
        if estimator == "logistic":
            predicted = probes.predict_logistic(fit, factor.fit, test)
        else:
            predicted = probes.predict_mlp(fit, factor.fit, test, seed=self.protocol.seed)
        return (predicted == factor.test).astype(np.float64)

    def _label_score(self, factor: FactorValues, estimator: str) -> Score:
        right = self._classify(factor, estimator, self.fit, self.test)
        return self._score(factor, estimator, "accuracy", float(right.mean()), self.resamples.means(right))

    def _score(self, factor: FactorValues, estimator: str, metric: str, value: float, resampled: Floats) -> Score:
        named = (self.view, factor.full_name, factor.kind, factor.role, estimator, metric)
        return Score(*named, value, factor.chance, factor.bound).with_resampled(resampled)

    @cached_property
    def content_features(self) -> tuple[Floats, Floats] | None:
        """The content that the view shows, as an encoding."""
        content = [each for each in self.factors if each.role == "content" and each.view == self.view]
        if not content:
            return None
        return probes.content_features([each.fit for each in content], [each.test for each in content])

    def _leakage(self) -> Iterator[Score]:
        """Score from the encoding minus score from the content itself, by the same estimator on the same samples."""
        rest = [each for each in self.factors if each.role not in ("content", "")]
        numbers = [each for each in rest if each.is_number]
        if numbers and self.content_features is not None:
            ours = self._kernel_ridge
            theirs = self._predict("kernel_ridge", *self.content_features)
            for factor in numbers:
                (value, resampled), (base, resampled_base) = (
                    self._r2(factor, each[factor.full_name]) for each in (ours, theirs)
                )
                yield self._leak(factor, "kernel_ridge", value - base, resampled - resampled_base)
        for factor in rest:
            if not factor.is_number and self.content_features is not None:
                right = self._classify(factor, "logistic", self.fit, self.test)
                base_right = self._classify(factor, "logistic", *self.content_features)
                difference = right - base_right
                yield self._leak(factor, "logistic", float(difference.mean()), self.resamples.means(difference))

    def _leak(self, factor: FactorValues, estimator: str, value: float, resampled: Floats) -> Score:
        named = (self.view, factor.full_name, factor.kind, factor.role, estimator, "leakage")
        return Score(*named, value, NAN, 0.0).with_resampled(resampled)
