"""Every factor against every encoding size (of one run: every estimator), as a map of scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from m3di.report.chosen_scores import Estimators, chosen_scores, factor_label, font_of, views_in_order
from m3di.report.style import TEXT_WIDTH_IN, paper_style

ROW_HEIGHT_IN = 0.2
LIGHT = 0.55  # below it the map is dark, and numbers on it are white


def heat_map(rows: Sequence[Mapping[str, Any]], estimators: Estimators | None = None) -> Figure:
    """One panel a view: factors down, encoding sizes across, R2 or accuracy as colour and number.

    Args:
        rows: Means over seeds, see `over_seeds`.
        estimators: Whose scores.

    Raises:
        M3diError: There are no such scores.
    """
    chosen = chosen_scores(rows, estimators or Estimators())
    views = views_in_order(chosen)
    n_rows = max(len({row["factor"] for row in chosen if row["view"] == view}) for view in views)
    with paper_style():
        figure = Figure(figsize=(TEXT_WIDTH_IN, 0.75 + ROW_HEIGHT_IN * n_rows), layout="constrained")
        axes = figure.subplots(1, len(views), squeeze=False)[0]
        for axis, view in zip(axes, views, strict=True):
            image = _panel(axis, [row for row in chosen if row["view"] == view])
            axis.set_title(view)
            axis.set_xlabel("encoding size")
        bar = figure.colorbar(image, ax=axes.tolist(), shrink=0.8, pad=0.02)
        bar.set_label("R² or accuracy")
        bar.outline.set_linewidth(0.4)  # type: ignore[operator]
    return figure


def _panel(axis: Axes, rows: Sequence[Mapping[str, Any]]) -> Any:
    factors = list(dict.fromkeys((row["factor"], row["role"]) for row in rows))
    sizes = sorted({row["encoding_size"] for row in rows})
    table = np.full((len(factors), len(sizes)), np.nan)
    for row in rows:
        value = row["mean"]
        table[factors.index((row["factor"], row["role"])), sizes.index(row["encoding_size"])] = (
            np.nan if value is None else value
        )
    image = axis.imshow(table, vmin=0.0, vmax=1.0, cmap="cividis", aspect="auto")
    for (i, j), value in np.ndenumerate(table):
        if np.isfinite(value):
            ink = "black" if value > LIGHT else "white"
            axis.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=5, color=ink)
    axis.set_xticks(range(len(sizes)), [str(size) for size in sizes])
    axis.set_yticks(range(len(factors)), [factor_label(factor) for factor, _ in factors])
    for label, (_, role) in zip(axis.get_yticklabels(), factors, strict=True):
        label.set(**font_of(role))
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    return image
