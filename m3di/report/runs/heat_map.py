"""Every factor against every encoding size, with its chance level and bound, as a map of scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from m3di.report.runs.chosen_scores import (
    METRIC_NAMES,
    Estimators,
    chosen_scores,
    factor_label,
    font_of,
    metrics_in_order,
    views_in_order,
)
from m3di.report.style import TEXT_WIDTH_IN, paper_style

ROW_HEIGHT_IN = 0.2
LIGHT = 0.55  # below it the map is dark, and numbers on it are white
FEW = 3  # sizes beside which the words "chance" and "bound" have room
REFERENCES = ("chance", "bound")
Rows = Sequence[Mapping[str, Any]]


def heat_map(rows: Rows, estimators: Estimators | None = None) -> Figure:
    """One panel a view and metric, R2 above accuracy: factors down, encoding sizes across, then chance and bound.

    Colours end at 0 and 1; a score below 0 has the colour of 0, which the arrow of the colour bar says, and its number.

    Args:
        rows: Means over seeds, see `over_seeds`.
        estimators: Whose scores.

    Raises:
        M3diError: There are no such scores.
    """
    estimators = estimators or Estimators()
    chosen = chosen_scores(rows, estimators)
    views, metrics = views_in_order(chosen), metrics_in_order(chosen)
    blocks = {view: {metric: _rows_of(chosen, view, metric) for metric in metrics} for view in views}
    heights = [sum(len(_factors(rows)) for rows in block.values()) for block in blocks.values()]
    with paper_style():
        size = (TEXT_WIDTH_IN, 0.6 + 0.5 * len(metrics) + ROW_HEIGHT_IN * max(heights))
        figure = Figure(figsize=size, layout="constrained")
        ratios = [*[1.0] * len(views), 0.3]
        *columns, last = figure.subfigures(1, len(ratios), width_ratios=ratios, squeeze=False)[0]
        images: dict[str, Any] = {}
        for column, (view, block), height in zip(columns, blocks.items(), heights, strict=True):
            images |= _column(column, view, block, max(heights) - height)
        for axis, metric in zip(last.subplots(len(metrics), 1, squeeze=False)[:, 0], metrics, strict=True):
            below = any(row["mean"] is not None and row["mean"] < 0 for row in chosen if row["metric"] == metric)
            bar = figure.colorbar(images[metric], cax=axis, extend="min" if below else "neither")
            bar.set_label(estimators.axis_label(metric))
            bar.outline.set_linewidth(0.4)
    return figure


def _rows_of(rows: Rows, view: str, metric: str) -> Rows:
    return [row for row in rows if (row["view"], row["metric"]) == (view, metric)]


def _factors(rows: Rows) -> dict[str, str]:
    """Names of factors, with their roles."""
    return {row["factor"]: row["role"] for row in rows}


def _column(column: Any, view: str, block: Mapping[str, Rows], n_missing: int) -> dict[str, Any]:
    """The maps of a view, by metric; below them as much room as another view has lines more."""
    shown = {metric: rows for metric, rows in block.items() if rows}
    ratios = [len(_factors(rows)) for rows in shown.values()] + [n_missing] * (n_missing > 0)
    axes = column.subplots(len(ratios), 1, squeeze=False, height_ratios=ratios)[:, 0]
    for spare in axes[len(shown) :]:
        spare.set_axis_off()
    images = {}
    for axis, (metric, rows) in zip(axes, shown.items(), strict=False):
        images[metric] = _panel(axis, rows)
        axis.set_title(f"{view}: {METRIC_NAMES[metric]}")
    axes[len(shown) - 1].set_xlabel("encoding size")
    return images


def _panel(axis: Axes, rows: Rows) -> Any:
    """The map of one view and metric."""
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    factors = list(_factors(rows).items())
    sizes = sorted({row["encoding_size"] for row in rows})
    table = np.full((len(factors), len(sizes) + len(REFERENCES)), np.nan)
    for row in rows:
        line = [factor for factor, _ in factors].index(row["factor"])
        table[line, sizes.index(row["encoding_size"])] = _or_nan(row["mean"])
        table[line, len(sizes) :] = [_or_nan(row[name]) for name in REFERENCES]
    image = axis.imshow(table, vmin=0.0, vmax=1.0, cmap="cividis", aspect="auto")
    _write_numbers(axis, table)
    axis.axvline(len(sizes) - 0.5, color="white", linewidth=2.0)
    axis.set_xticks(range(table.shape[1]), [*map(str, sizes), *REFERENCES])
    if len(sizes) > FEW:
        for label in axis.get_xticklabels()[len(sizes) :]:
            label.set_rotation(90)
    axis.set_yticks(range(len(factors)), [factor_label(factor) for factor, _ in factors])
    for label, (_, role) in zip(axis.get_yticklabels(), factors, strict=True):
        label.set(**font_of(role))
    return image


def _write_numbers(axis: Axes, table: NDArray[np.float64]) -> None:
    for (i, j), value in np.ndenumerate(table):
        if np.isfinite(value):
            ink = "black" if value > LIGHT else "white"
            axis.text(j, i, _short(float(value)), ha="center", va="center", fontsize=5, color=ink)


def _short(value: float) -> str:
    """`.95`, `-.04`, `1.0`: of ten numbers side by side each has this much room."""
    if abs(round(value, 2)) >= 1:
        return f"{value:.1f}"
    text = f"{abs(value):.2f}".removeprefix("0")
    return f"-{text}" if value < 0 and text != ".00" else text


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
