"""Scores of a whole encoding (MCC, DCI, MIG, SAP, modularity, uniformity), and of two views (alignment, retrieval)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from m3di.evaluate import probes
from m3di.evaluate.encoded import Encoded, FactorValues
from m3di.evaluate.protocol import Protocol, Score

Floats = NDArray[np.float64]
RECALL_AT = (1, 5, 10)
MAX_LABELS = 100  # a factor with more is left out of DCI and the like: forests take minutes, few samples a label


def whole_scores(encoded: Encoded, view: str, protocol: Protocol, resamples: probes.Bootstrap) -> Iterator[Score]:
    """The scores of the encoding of one view."""
    fit, test = probes.standardise(*encoded.encodings[view])
    own = [each for each in encoded.factors[view] if each.view == view]
    if "mcc" in protocol.probes:
        yield from _mcc(view, fit, test, own, resamples)
    yield from _disentanglement(view, fit, test, own, protocol)
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
        yield Score(view, block, "", "", "pearson", "mcc", value, 0.0).with_resampled(np.array(resampled))


def _disentanglement(
    view: str, fit: Floats, test: Floats, own: list[FactorValues], protocol: Protocol
) -> Iterator[Score]:
    """Does each dimension stand for one factor? Of all factors that are no constant and have not too many labels."""
    n_values = {each.name: len(np.unique(each.fit)) for each in own}
    chosen = [each for each in own if n_values[each.name] > 1 and (each.is_number or n_values[each.name] <= MAX_LABELS)]
    if not chosen:
        return
    known, new = [each.fit for each in chosen], [each.test for each in chosen]
    if "dci" in protocol.probes:
        found = probes.dci(fit, known, test, new, seed=protocol.seed)
        for metric in ("disentanglement", "completeness", "informativeness"):
            yield Score(view, "all", "", "", "random_forest", metric, getattr(found, metric))
    information, entropies = probes.mutual_information(test, new)
    if "mig" in protocol.probes:
        yield Score(view, "all", "", "", "histogram", "mig", probes.mig(information, entropies), 0.0)
    if "sap" in protocol.probes:
        yield Score(view, "all", "", "", "one_dimension", "sap", probes.sap(fit, known, test, new)[0], 0.0)
    if "modularity" in protocol.probes:
        yield Score(view, "all", "", "", "histogram", "modularity", probes.modularity(information))


def _uniformity(view: str, test: Floats, resamples: probes.Bootstrap) -> Score:
    # Of a mean over pairs, the bootstrap's first-order term: twice the deviation of each sample's own mean.
    potential = probes.potentials(test)
    resampled = potential.mean() + 2 * (resamples.means(potential) - potential.mean())
    value = min(0.0, float(np.log(potential.mean())))
    found = Score(view, "all", "", "", "gaussian_potential", "uniformity", value)
    return found.with_resampled(np.log(np.maximum(resampled, 1e-300)))


def pair_scores(
    encoded: Encoded, one: str, other: str, protocol: Protocol, resamples: probes.Bootstrap
) -> Iterator[Score]:
    """Alignment of two views, and retrieval both ways, of the encodings as they are trained: not standardised."""
    z_one, z_other = encoded.encodings[one][1], encoded.encodings[other][1]
    if "alignment" in protocol.probes:
        distances = probes.squared_distances_of_pairs(z_one, z_other)
        found = Score(one, other, "", "", "cosine", "alignment", float(distances.mean()))
        yield found.with_resampled(resamples.means(distances))
    if "retrieval" in protocol.probes:
        for query, gallery, rank in (
            (one, other, probes.ranks(z_one, z_other, encoded.similarity)),
            (other, one, probes.ranks(z_other, z_one, encoded.similarity)),
        ):
            for k in RECALL_AT:
                hit = probes.hits(rank, k)
                named = (query, gallery, "", "", encoded.similarity, f"recall@{k}")
                found = Score(*named, float(hit.mean()), min(1.0, k / len(hit)))
                yield found.with_resampled(resamples.means(hit))
