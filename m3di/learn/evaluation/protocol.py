"""What is measured, and what a score says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from m3di.errors import UsageError, did_you_mean
from m3di.learn.probes.bootstrap import N_BOOTSTRAP

NAN = float("nan")
PROBES = ("linear", "kernel_ridge", "logistic", "mlp", "leakage", "mcc", "dci", "alignment", "retrieval")


@dataclass(frozen=True)
class Protocol:
    """What to measure.

    Attributes:
        probes: Some of `PROBES`.
        n_bootstrap: Resamples of the test samples behind each interval.
        seed: Of resampling, MLP and forests.
    """

    probes: tuple[str, ...] = PROBES
    n_bootstrap: int = N_BOOTSTRAP
    seed: int = 0

    def __post_init__(self) -> None:
        for name in self.probes:
            if name not in PROBES:
                raise UsageError(
                    f"no probe is called {name!r}",
                    expected=", ".join(PROBES),
                    next_step=did_you_mean(name, PROBES),
                )
        if self.n_bootstrap < 1:
            raise UsageError("the number of resamples is too small", got=self.n_bootstrap, expected="1 or more")


@dataclass(frozen=True)
class Score:
    """One number and how to read it.

    Attributes:
        view: Whose encoding.
        factor: `VIEW.FACTOR`; for metrics of a whole encoding the block (`content`, `all`), or the other view.
        kind: Kind of the factor, or empty.
        role: Its role in its view, or empty.
        estimator: What predicts.
        metric: `r2`, `circular_r2`, `accuracy`, `leakage`, `mcc`, ...
        value: The score on the test samples.
        chance: That of the best constant prediction.
        bound: That of the best prediction from content alone.
        ci_low: Lower end of the 95 % bootstrap interval over test samples; not a number where there is none.
        ci_high: Upper end.
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


def check_probes(names: Sequence[str]) -> tuple[str, ...]:
    """Names of probes, each once; all if empty."""
    return tuple(dict.fromkeys(names)) or PROBES
