"""Score encodings: each score has its estimator, chance, bound and interval."""

from __future__ import annotations

from m3di.evaluate.bootstrap import Bootstrap
from m3di.evaluate.encoded import Encoded
from m3di.evaluate.encoded_view import EncodedView
from m3di.evaluate.folds import folds, mean_of_folds
from m3di.evaluate.metric import METRICS, Score, check_stated
from m3di.evaluate.protocol import Protocol


def score(encoded: Encoded, protocol: Protocol | None = None) -> list[Score]:
    """Score the encodings of a run; with folds, each score is the mean over folds.

    Raises:
        M3diError: See `Encoded.check`; or there are too few samples for so many folds.

    Example:
        >>> import numpy as np
        >>> from m3di import score
        >>> from m3di.evaluate import Encoded, FactorValues, Protocol
        >>> fit, test = np.random.default_rng(0).normal(size=(2, 100, 3))  # your encodings
        >>> size = FactorValues("image", "size", "content", "scalar", fit[:, 0], test[:, 0])
        >>> encoded = Encoded("mine", {"image": (fit, test)}, {"image": (size,)})
        >>> [round(each.value, 2) for each in score(encoded, Protocol(probes=("linear",))) if each.metric == "r2"]
        [1.0]
    """
    encoded.check()
    protocol = protocol or Protocol()
    if protocol.n_folds is None:
        return _scores(encoded, protocol)
    found: dict[tuple[str, ...], list[Score]] = {}
    for each in folds(encoded, protocol.n_folds, protocol.seed):
        each.check()  # all that is of samples is cut
        for one in _scores(each, protocol):
            found.setdefault(one.key, []).append(one)
    return [mean_of_folds(each) for each in found.values() if len(each) == protocol.n_folds]


def _scores(encoded: Encoded, protocol: Protocol) -> list[Score]:
    """Score with probes fitted once."""
    n_test = len(next(iter(encoded.encodings.values()))[1])
    resamples = Bootstrap(n_test, protocol.n_bootstrap, protocol.seed)
    views = {view: EncodedView(encoded, view, resamples, protocol.seed) for view in encoded.encodings}
    metrics = {name: METRICS.find(name)() for name in protocol.probes}
    found: list[Score] = []
    for view in views.values():
        for name, metric in metrics.items():
            found += check_stated(name, metric.of_view(view))
    for one, other in encoded.pairs:
        for name, metric in metrics.items():
            found += check_stated(name, metric.of_pair(views[one], views[other]))
    return found
