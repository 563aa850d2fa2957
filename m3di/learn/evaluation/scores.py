"""The protocol: encodings in, one score a row out, each with its estimator, chance, bound and interval."""

from __future__ import annotations

from m3di.learn import probes
from m3di.learn.evaluation.encoded import Encoded
from m3di.learn.evaluation.factor_scores import FactorScores
from m3di.learn.evaluation.protocol import Protocol, Score
from m3di.learn.evaluation.whole_scores import pair_scores, whole_scores


def score(encoded: Encoded, protocol: Protocol | None = None) -> list[Score]:
    """Every score of a run.

    Raises:
        M3diError: See `Encoded.check`.
    """
    encoded.check()
    protocol = protocol or Protocol()
    n_test = len(next(iter(encoded.encodings.values()))[1])
    resamples = probes.Bootstrap(n_test, protocol.n_bootstrap, protocol.seed)
    found: list[Score] = []
    for view in encoded.encodings:
        found += FactorScores(encoded, view, protocol, resamples).scores()
        found += whole_scores(encoded, view, protocol, resamples)
    for one, other in encoded.pairs:
        found += pair_scores(encoded, one, other, protocol, resamples)
    return found
