"""Settings of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass

from m3di.errors import UsageError
from m3di.evaluate.bootstrap import N_BOOTSTRAP
from m3di.evaluate.metric import metric_names


@dataclass(frozen=True)
class Protocol:
    """What to measure.

    Attributes:
        probes: Names of metrics, see `METRICS`; all if empty.
        n_bootstrap: Resamples of the test samples behind each interval.
        seed: Seed of resampling, folds, MLP and forests.
        n_folds: 2 or more: fit on all but one fold of the samples of both splits and score on that, each fold in turn.
            None fits once on `val` and scores on `test`.
    """

    probes: tuple[str, ...] = ()
    n_bootstrap: int = N_BOOTSTRAP
    seed: int = 0
    n_folds: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "probes", metric_names(self.probes))
        if self.n_bootstrap < 1:
            raise UsageError("the number of resamples is too small", got=self.n_bootstrap, expected="1 or more")
        if self.n_folds is not None and self.n_folds < 2:
            raise UsageError("the number of folds is too small", got=self.n_folds, expected="2 or more")
