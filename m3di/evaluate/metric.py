"""Metrics by name: the base class of a metric, and its scores.

A metric of m3di is one file of `m3di/evaluate/probes`: a subclass of `Metric` under `@register_metric(NAME)`. Results,
intervals, comparisons, the command line and the generic tests find it there. Register your own by the same call in your
own module (`m3di evaluate --import MODULE`), or by an entry point of the group `m3di.metrics`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from m3di.errors import UsageError
from m3di.evaluate.bootstrap import interval
from m3di.evaluate.encoded_view import EncodedView
from m3di.system.registry import Registry

NAN, INF = float("nan"), float("inf")
SCOPES = ("factor", "encoding", "pair")  # the order of results


@dataclass(frozen=True)
class Score:
    """One number and how to read it.

    Attributes:
        view: View of the encoding.
        factor: `VIEW.FACTOR`; for a whole encoding the block (`content`, `all`), or the other view.
        kind: Kind of the factor, or empty.
        role: Its role in its view, or empty.
        estimator: What predicts.
        metric: `r2`, `circular_r2`, `accuracy`, `leakage`, `mcc`, ...
        value: The score on the test samples.
        chance: That of the best constant prediction of the test samples.
        bound: That of the best prediction from content alone.
        ci_low: Lower end of the 95 % bootstrap interval over test samples; not a number if there is none.
        ci_high: Upper end.
        resampled: [B] the score on each resample of the test samples; None if there is no interval.
    """

    view: str
    factor: str
    kind: str
    role: str
    estimator: str
    metric: str
    value: float
    chance: float = NAN
    bound: float = NAN
    ci_low: float = NAN
    ci_high: float = NAN
    resampled: NDArray[np.float64] | None = field(default=None, compare=False, repr=False)

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Its key among the scores of a run."""
        return self.view, self.factor, self.estimator, self.metric

    def as_row(self) -> dict[str, Any]:
        """Its columns in a table of results."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name != "resampled"}

    def with_resampled(self, resampled: NDArray[np.float64]) -> Score:
        """Add scores on resamples [B], and the interval that follows from them."""
        low, high = interval(resampled)
        return replace(self, ci_low=low, ci_high=high, resampled=resampled)


class Range(NamedTuple):
    """Range of a score.

    Attributes:
        score: Its name (column `metric`).
        least: Its least value.
        most: Its largest.
    """

    score: str
    least: float = 0.0
    most: float = 1.0


class Metric:
    """A metric of encodings.

    Attributes:
        scope: Subject of a score: one `factor`, a whole `encoding`, or a `pair` of views.
        scores: The scores that it gives.
    """

    scope: ClassVar[str] = "encoding"
    scores: ClassVar[tuple[Range, ...]] = ()

    def of_view(self, z: EncodedView) -> Iterable[Score]:
        """Yield the scores of the encoding of one view."""
        return ()

    def of_pair(self, one: EncodedView, other: EncodedView) -> Iterable[Score]:
        """Yield the scores of two views whose encodings belong together, sample by sample."""
        return ()


METRICS = Registry[type[Metric]](
    "metric",
    Metric,
    group="m3di.metrics",
    package="m3di.evaluate.probes",
    otherwise="register your own with m3di.evaluate.register_metric; on the command line --import its module",
)
register_metric = METRICS.register


def metric_names(names: Iterable[str] = ()) -> tuple[str, ...]:
    """Return names of metrics, each once, in the order of results; no names mean all.

    Raises:
        UsageError: There is none of that name.
    """
    chosen = {name: METRICS.find(name) for name in (tuple(names) or METRICS)}
    return tuple(sorted(chosen, key=lambda name: (SCOPES.index(chosen[name].scope), name)))


def cut_to_range(score: str, low: float, high: float) -> tuple[float, float]:
    """Cut an interval to the range of a score; leave it as it is if no metric states the score."""
    known = {each.score: each for metric in METRICS.values() for each in metric.scores}
    _, least, most = known.get(score, Range(score, -INF, INF))
    return min(max(low, least), most), min(max(high, least), most)


def check_stated(name: str, scores: Iterable[Score]) -> list[Score]:
    """Check that a metric gave scores that it states, and cut their intervals to their ranges.

    Raises:
        UsageError: It gave another score.
    """
    known, found = [each.score for each in METRICS[name].scores], []
    for each in scores:
        if each.metric not in known:
            raise UsageError(
                f"the metric {name} gives a score that it does not state",
                where=METRICS[name].__qualname__,
                got=each.metric,
                expected=", ".join(known) or "some",
                next_step="enter it in `scores` of the class, with its range",
            )
        low, high = cut_to_range(each.metric, each.ci_low, each.ci_high)
        found.append(replace(each, ci_low=low, ci_high=high))
    return found
