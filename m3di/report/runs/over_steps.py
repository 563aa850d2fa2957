"""How well each factor is predicted as training goes on."""

from __future__ import annotations

from matplotlib.figure import Figure

from m3di.report.runs.chosen_scores import Estimators
from m3di.report.runs.factor_curves import Course, Rows, factor_curves

STEP = Course("step", "step", ticks_at_all=False)


def steps_figure(rows: Rows, estimators: Estimators | None = None) -> Figure:
    """Image factors left, text factors right, against the step; see `factor_curves`.

    Args:
        rows: Means over seeds, see `over_seeds`, of `m3di evaluate --all-checkpoints` and one encoding size.
        estimators: Whose scores.

    Raises:
        M3diError: There are no such scores.
    """
    return factor_curves(rows, STEP, estimators)
