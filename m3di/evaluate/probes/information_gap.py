"""Mutual information gap (Chen et al., NeurIPS 2018): is each factor in one dimension alone?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from m3di.evaluate.encoded_view import EncodedView
from m3di.evaluate.metric import Metric, Range, Score, register_metric
from m3di.evaluate.probes.information import gaps, information_of

Floats = NDArray[np.float64]


def mig(information: Floats, entropies: Floats) -> float:
    """Mutual information gap (Chen et al., NeurIPS 2018): 1 if each factor is in one dimension and in no other.

    The mean over factors of (largest - second largest information) / entropy of the factor; the second is 0 if there
    is one dimension only. A factor without entropy is left out.

    Args:
        information: [D, F].
        entropies: [F].
    """
    varies = entropies > 0
    return float(np.mean(gaps(information[:, varies]) / entropies[varies])) if varies.any() else 0.0


@register_metric("mig")
class Mig(Metric):
    """Gap of mutual information between the two dimensions that tell most of a factor, over its entropy."""

    scores = (Range("mig"),)

    def of_view(self, z: EncodedView) -> Iterator[Score]:
        """Of all factors that vary and have at most 100 labels."""
        if z.varying:
            yield Score(z.name, "all", "", "", "histogram", "mig", mig(*z.shared(information_of)), 0.0)
