"""The dimensionality ablation: how well each factor is predicted, against the encoding size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from m3di.report.chosen_scores import Estimators, chosen_scores, factor_label, font_of, views_in_order
from m3di.report.style import TEXT_WIDTH_IN, line_look, paper_style


def ablation_figure(rows: Sequence[Mapping[str, Any]], estimators: Estimators | None = None) -> Figure:
    """One panel a view, image left, text right; a line a factor with a band of one standard deviation over seeds.

    Args:
        rows: Means over seeds, see `over_seeds`, of several encoding sizes.
        estimators: Whose scores.

    Raises:
        M3diError: There are no such scores.
    """
    estimators = estimators or Estimators()
    chosen = chosen_scores(rows, estimators)
    views = views_in_order(chosen)
    with paper_style():
        figure = Figure(figsize=(TEXT_WIDTH_IN, 3.1), layout="constrained")
        axes = figure.subplots(1, len(views), sharey=True, squeeze=False)[0]
        for axis, view in zip(axes, views, strict=True):
            _panel(axis, [row for row in chosen if row["view"] == view])
            axis.set_title(f"{view} factors, from {view} encodings")
            axis.set_xlabel("encoding size")
        axes[0].set_ylabel(f"R² ({estimators.numbers.replace('_', ' ')})\nor accuracy ({estimators.labels})")
    return figure


def _panel(axis: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    sizes = sorted({row["encoding_size"] for row in rows})
    roles = {row["factor"]: row["role"] for row in rows}
    for number, factor in enumerate(roles):
        own = sorted((row for row in rows if row["factor"] == factor), key=lambda row: row["encoding_size"])
        x = np.array([row["encoding_size"] for row in own])
        mean = np.array([np.nan if row["mean"] is None else row["mean"] for row in own], dtype=float)
        std = np.array([row["std"] or 0.0 for row in own], dtype=float)
        look = line_look(number)
        axis.plot(x, mean, label=factor_label(factor), **look)  # type: ignore[arg-type]
        axis.fill_between(x, mean - std, mean + std, color=look["color"], alpha=0.18, linewidth=0)
    axis.set_xticks(sizes)
    axis.set_ylim(-0.05, 1.05)
    axis.axhline(0.0, color="#999999", linewidth=0.4, zorder=0)
    legend = axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False, handlelength=2.4)
    for text, role in zip(legend.get_texts(), roles.values(), strict=True):
        text.set(**font_of(role))
