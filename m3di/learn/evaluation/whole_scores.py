"""Scores of a whole encoding, and of two views together: MCC, DCI, uniformity, alignment, retrieval."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from m3di.learn import probes
from m3di.learn.evaluation.encoded import Encoded, FactorValues
from m3di.learn.evaluation.protocol import NAN, Protocol, Score

Floats = NDArray[np.float64]
RECALL_AT = (1, 5, 10)
MAX_LABELS = 100  # a factor with more labels is left out of DCI, whose forests would take minutes


def whole_scores(encoded: Encoded, view: str, protocol: Protocol, resamples: probes.Bootstrap) -> Iterator[Score]:
    """The scores of the encoding of one view."""
    fit, test = probes.standardise(*encoded.encodings[view])
    own = [each for each in encoded.factors[view] if each.view == view]
    if "mcc" in protocol.probes:
        yield from _mcc(view, fit, test, own, resamples)
    if "dci" in protocol.probes:
        yield from _dci(view, fit, test, own, protocol.seed)
    if "alignment" in protocol.probes:
        yield _uniformity(view, encoded.encodings[view][1], resamples)


def _mcc(view: str, fit: Floats, test: Floats, own: list[FactorValues], resamples: probes.Bootstrap) -> Iterator[Score]:
    """Of the content and of all factors that are ordered: numbers, and positions."""
    ordered = [each for each in own if each.is_number or each.kind == "position"]
    for block, chosen in (("content", [each for each in ordered if each.role == "content"]), ("all", ordered)):
        if not chosen:
            continue
        known = np.stack([each.fit for each in chosen], axis=1).astype(np.float64)
        new = np.stack([each.test for each in chosen], axis=1).astype(np.float64)
        pairs = probes.assign(probes.absolute_correlations(fit, known))
        resampled = [
            probes.mean_correlation(probes.absolute_correlations(test, new, weights), pairs)
            for weights in resamples.weights
        ]
        value = probes.mean_correlation(probes.absolute_correlations(test, new), pairs)
        interval = probes.interval(np.array(resampled))
        yield Score(view, block, "", "", "pearson", "mcc", value, 0.0, NAN, *interval)


def _dci(view: str, fit: Floats, test: Floats, own: list[FactorValues], seed: int) -> Iterator[Score]:
    n_values = {each.name: len(np.unique(each.fit)) for each in own}
    chosen = [each for each in own if n_values[each.name] > 1 and (each.is_number or n_values[each.name] <= MAX_LABELS)]
    if chosen:
        found = probes.dci(fit, [each.fit for each in chosen], test, [each.test for each in chosen], seed=seed)
        for metric in ("disentanglement", "completeness", "informativeness"):
            yield Score(view, "all", "", "", "random_forest", metric, getattr(found, metric))


def _uniformity(view: str, test: Floats, resamples: probes.Bootstrap) -> Score:
    # Of a mean over pairs, the bootstrap's first-order term: twice the deviation of each sample's own mean.
    potential = probes.potentials(test)
    resampled = potential.mean() + 2 * (resamples.means(potential) - potential.mean())
    interval = probes.interval(np.log(np.maximum(resampled, 1e-300)))
    value = float(np.log(potential.mean()))
    return Score(view, "all", "", "", "gaussian_potential", "uniformity", value, NAN, NAN, *interval)


def pair_scores(
    encoded: Encoded, one: str, other: str, protocol: Protocol, resamples: probes.Bootstrap
) -> Iterator[Score]:
    """Alignment of two views, and retrieval both ways, of the encodings as they are trained: not standardised."""
    z_one, z_other = encoded.encodings[one][1], encoded.encodings[other][1]
    if "alignment" in protocol.probes:
        distances = probes.squared_distances_of_pairs(z_one, z_other)
        interval = probes.interval(resamples.means(distances))
        yield Score(one, other, "", "", "cosine", "alignment", float(distances.mean()), NAN, NAN, *interval)
    if "retrieval" in protocol.probes:
        for query, gallery, rank in (
            (one, other, probes.ranks(z_one, z_other, encoded.similarity)),
            (other, one, probes.ranks(z_other, z_one, encoded.similarity)),
        ):
            for k in RECALL_AT:
                hit = probes.hits(rank, k)
                interval = probes.interval(resamples.means(hit))
                chance = min(1.0, k / len(rank))
                yield Score(
                    *(query, gallery, "", "", encoded.similarity, f"recall@{k}", float(hit.mean()), chance, NAN),
                    *interval,
                )
