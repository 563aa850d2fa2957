"""Modularity (Ridgeway and Mozer, NeurIPS 2018): does each dimension tell of one factor alone?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from m3di.evaluate.encoded_view import EncodedView
from m3di.evaluate.metric import Metric, Range, Score, register_metric
from m3di.evaluate.probes.information import information_of

Floats = NDArray[np.float64]


def modularity(information: Floats) -> float:
    """Modularity (Ridgeway and Mozer, NeurIPS 2018): 1 if each dimension tells of one factor only.

    The mean over dimensions of 1 - sum_f (I_f - template_f)^2 / (I_max^2 (F - 1)), where the template is I_max at the
    factor that the dimension tells most of, and 0 elsewhere. A dimension that tells of nothing counts as 0.

    Args:
        information: [D, F].
    """
    squares = information**2
    largest = squares.max(axis=1)
    rest = (squares.sum(axis=1) - largest) / max(1, information.shape[1] - 1)
    deviation = np.divide(rest, largest, out=np.ones_like(largest), where=largest > 0)
    return float(np.mean(1.0 - deviation))


@register_metric("modularity")
class Modularity(Metric):
    """How far each dimension tells of one factor only, by mutual information."""

    scores = (Range("modularity"),)

    def of_view(self, z: EncodedView) -> Iterator[Score]:
        """Of all factors that vary and have at most 100 labels."""
        if z.varying:
            yield Score(z.name, "all", "", "", "histogram", "modularity", modularity(z.shared(information_of)[0]))
