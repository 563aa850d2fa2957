"""How well each factor is predicted along some course (encoding sizes, steps), with chance and bound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from m3di.report.runs.chosen_scores import (
    Estimators,
    chosen_scores,
    factor_label,
    font_of,
    metrics_in_order,
    views_in_order,
)
from m3di.report.style import TEXT_WIDTH_IN, line_looks, mark_cut, paper_style, score_limits

Rows = Sequence[Mapping[str, Any]]
GREY = "#777777"
CHANCE_LOOK: dict[str, Any] = {"linestyle": ":", "linewidth": 0.8}


@dataclass(frozen=True)
class Course:
    """The horizontal axis of the scores.

    Args:
        column: Of the rows.
        label: Of the axis.
        ticks_at_all: Whether each value has a tick.
    """

    column: str
    label: str
    ticks_at_all: bool = True


def factor_curves(rows: Rows, course: Course, estimators: Estimators | None = None) -> Figure:
    """Views from left to right, image before text; R2 above, accuracy below.

    A line a factor, with a band of one standard deviation over seeds; a dotted line of its colour is its chance level,
    and the arrow head at the right edge its bound. Content is bold, style italic.

    Args:
        rows: Means over seeds, see `over_seeds`.
        course: What to draw against.
        estimators: Whose scores.

    Raises:
        M3diError: There are no such scores.
    """
    estimators = estimators or Estimators()
    chosen = chosen_scores(rows, estimators)
    views = views_in_order(chosen)
    with paper_style():
        n_metrics = len(metrics_in_order(chosen))
        figure = Figure(figsize=(TEXT_WIDTH_IN, 1.4 + 1.9 * n_metrics), layout="constrained")
        columns = figure.subfigures(1, len(views), squeeze=False)[0]
        for column, view in zip(columns, views, strict=True):
            own = [row for row in chosen if row["view"] == view]
            _column(column, own, course, estimators)
            column.axes[0].set_title(f"{view} factors, from {view} encodings")
    return figure


def _column(column: Any, rows: Rows, course: Course, estimators: Estimators) -> None:
    """The panels of a view, one a metric that it has."""
    looks = dict(zip(dict.fromkeys(row["factor"] for row in rows), line_looks(_n_factors(rows)), strict=True))
    metrics = metrics_in_order(rows)
    axes = column.subplots(len(metrics), 1, squeeze=False)[:, 0]
    for axis, metric in zip(axes, metrics, strict=True):
        _panel(axis, [row for row in rows if row["metric"] == metric], course, looks)
        axis.set_ylabel(estimators.axis_label(metric))
    axes[-1].set_xlabel(course.label)
    handles = _handles(rows, looks)
    legend = column.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, handlelength=2.4)
    for text, factor in zip(legend.get_texts(), looks, strict=False):
        text.set(**font_of(next(row["role"] for row in rows if row["factor"] == factor)))


def _n_factors(rows: Rows) -> int:
    return len({row["factor"] for row in rows})


def _panel(axis: Axes, rows: Rows, course: Course, looks: Mapping[str, Mapping[str, Any]]) -> None:
    lines = {factor: _line(rows, factor, course.column) for factor in dict.fromkeys(row["factor"] for row in rows)}
    means, deviations = (np.concatenate([line[i] for line in lines.values()]) for i in (1, 2))
    known = np.isfinite(means)
    spread = np.concatenate([(means - deviations)[known], (means + deviations)[known], [0.0]])
    low = score_limits(axis, float(spread.min()), float(spread.max()))
    for factor, (x, mean, std) in lines.items():
        look = looks[factor]
        axis.plot(x, mean, **look)
        axis.fill_between(x, mean - std, mean + std, color=look["color"], alpha=0.18, linewidth=0)
        mark_cut(axis, x, mean, low, look["color"])
        first = next(row for row in rows if row["factor"] == factor)
        _chance_and_bound(axis, first, look["color"])
    if course.ticks_at_all:
        axis.set_xticks(sorted({row[course.column] for row in rows}))


def _line(rows: Rows, factor: str, column: str) -> tuple[Any, Any, Any]:
    own = sorted((row for row in rows if row["factor"] == factor), key=lambda row: row[column])
    x = np.array([row[column] for row in own], dtype=float)
    mean = np.array([np.nan if row["mean"] is None else row["mean"] for row in own], dtype=float)
    return x, mean, np.array([row["std"] or 0.0 for row in own], dtype=float)


def _chance_and_bound(axis: Axes, row: Mapping[str, Any], color: Any) -> None:
    if row["chance"] is not None:
        is_number = row["metric"] == "r2"  # whose chance is 0, of all factors
        axis.axhline(row["chance"], color=GREY if is_number else color, zorder=1, **CHANCE_LOOK)
    if row["bound"] is not None:
        edge = axis.get_yaxis_transform()
        axis.plot([1.0], [row["bound"]], marker="<", color=color, transform=edge, clip_on=False, linestyle="none")


def _handles(rows: Rows, looks: Mapping[str, Mapping[str, Any]]) -> list[Line2D]:
    """All factors of a view, of any panel, then what chance and bound look like."""
    handles = [Line2D([], [], label=factor_label(factor), **look) for factor, look in looks.items()]
    handles.append(Line2D([], [], color=GREY, label="chance", **CHANCE_LOOK))
    if any(row["bound"] is not None for row in rows):
        handles.append(Line2D([], [], color=GREY, marker="<", linestyle="none", label="bound (best from content)"))
    return handles
