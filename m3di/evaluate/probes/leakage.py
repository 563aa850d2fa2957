"""Leakage: what an encoding tells of a factor beyond what the content alone tells of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m3di.evaluate.encoded import FactorValues
from m3di.evaluate.encoded_view import EncodedView
from m3di.evaluate.factor_scores import is_right, predict_numbers, r2_of
from m3di.evaluate.metric import INF, NAN, Metric, Range, Score, register_metric
from m3di.evaluate.probes.kernel_ridge import predict_by_kernel_ridge, search_kernel_ridge
from m3di.evaluate.probes.logistic import predict_logistic
from m3di.evaluate.standardised import standardise

Floats = NDArray[np.float64]


def content_features(fit: Sequence[NDArray[Any]], test: Sequence[NDArray[Any]]) -> tuple[Floats, Floats]:
    """The content itself as an encoding: numbers as they are, labels as one indicator each, all standardised.

    Args:
        fit: [N] each content factor of the fit: float is a number, anything else a label.
        test: [M] each, of the test.

    Returns:
        [N, D] and [M, D]. A probe on these scores what it can know from content; a probe on the encoding minus that
        is the leakage: near 0 for an encoder of content alone, however strongly the factor depends on content, if the
        probe follows curves (kernel ridge), or the encoder is linear in these (logistic regression).
    """
    known, new = [], []
    for values, others in zip(fit, test, strict=True):
        if values.dtype.kind == "f":
            known.append(values[:, None])
            new.append(others[:, None])
        else:
            labels = np.unique(values)
            known.append((values[:, None] == labels).astype(np.float64))
            new.append((others[:, None] == labels).astype(np.float64))
    return standardise(np.concatenate(known, axis=1), np.concatenate(new, axis=1))


@register_metric("leakage")
class Leakage(Metric):
    """Score from the encoding less the score from the content itself, by the same estimator on the same samples."""

    scope = "factor"
    scores = (Range("leakage", -INF, INF),)

    def of_view(self, z: EncodedView) -> Iterator[Score]:
        """Of every factor that is no content, where the view shows content."""
        content = z.content
        rest = [each for each in z.factors if each.role not in ("content", "")]
        if not content or not rest:
            return
        features = content_features([each.fit for each in content], [each.test for each in content])
        numbers = [each for each in rest if each.is_number]
        if numbers:
            ours, theirs = z.shared(predict_by_kernel_ridge), predict_numbers(z, search_kernel_ridge, features)
            for factor in numbers:
                (value, resampled), (base, resampled_base) = (r2_of(z, factor, each) for each in (ours, theirs))
                yield _leak(z, factor, "kernel_ridge", value - base, resampled - resampled_base)
        for factor in rest:
            if not factor.is_number:
                right = is_right(factor, predict_logistic, z.fit, z.test)
                difference = right - is_right(factor, predict_logistic, *features)
                yield _leak(z, factor, "logistic", float(difference.mean()), z.resamples.means(difference))


def _leak(z: EncodedView, factor: FactorValues, estimator: str, value: float, resampled: Floats) -> Score:
    """The score of a factor; that of a label has no bound: any curve of the content is news to a linear classifier."""
    named = (z.name, factor.full_name, factor.kind, factor.role, estimator, "leakage")
    return Score(*named, value, NAN, 0.0 if factor.is_number else NAN).with_resampled(resampled)
