"""The dimensionality ablation: how well each factor is predicted, against the encoding size."""

from __future__ import annotations

from matplotlib.figure import Figure

from m3di.report.runs.chosen_scores import Estimators
from m3di.report.runs.factor_curves import Course, Rows, factor_curves

ENCODING_SIZE = Course("encoding_size", "encoding size")


def ablation_figure(rows: Rows, estimators: Estimators | None = None) -> Figure:
    """Image factors left, text factors right, against the encoding size; see `factor_curves`.

    Args:
        rows: Means over seeds, see `over_seeds`, of several encoding sizes.
        estimators: Whose scores.

    Raises:
        M3diError: There are no such scores.
    """
    return factor_curves(rows, ENCODING_SIZE, estimators)
