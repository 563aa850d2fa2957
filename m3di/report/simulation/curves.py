"""Figures of the numerical simulation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from m3di.report.runs.loss_curves import find_elbow
from m3di.report.simulation.tables import BLOCKS, Row
from m3di.report.style import mark_cut, score_limits

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, told apart by the colour-blind.
COLORS = {"content": "#0072B2", "content'": "#56B4E9", "style": "#D55E00", "modality": "#009E73"}
CHANCE = "#444444"
NAMES = {"content": "content", "content'": "content as permuted", "style": "style", "modality": "modality-specific"}


METRIC_LABELS = {"r2": r"$R^2$ (kernel ridge)", "accuracy": "accuracy (kernel ridge)"}


def save_figure(recipe: str, rows: Sequence[Row], path: Path) -> None:
    """Write PATH.png and PATH.pdf: bars for tables and figure 8, curves for figures 5, 6 and 7a."""
    from matplotlib.figure import Figure

    draw = {"figure5": _classes, "figure6": _sizes, "figure7a": _encoding_sizes}.get(recipe, _bars)
    figure = Figure(figsize=(7.0, 3.0 * max(1, len(metrics_of(rows)))), layout="constrained")
    draw(figure, rows)
    for suffix in (".png", ".pdf"):
        metadata = {"CreationDate": None} if suffix == ".pdf" else None
        figure.savefig(path.with_name(path.name + suffix), dpi=200, metadata=metadata)


def metrics_of(rows: Sequence[Row]) -> list[str]:
    """R2 before accuracy, as far as there are such scores: the two are never on one axis."""
    found = {cell.metric for row in rows for cell in row.cells.values()}
    return [metric for metric in METRIC_LABELS if metric in found]


def _bars(figure: Any, rows: Sequence[Row]) -> None:
    """Groups of bars, one a setting; a black line is the paper's number, a dotted one chance."""
    settings, metrics = list(dict.fromkeys(row.label["setting"] for row in rows)), metrics_of(rows)
    axes = figure.subplots(len(metrics), len(settings), squeeze=False, sharey="row")
    for line, metric in zip(axes, metrics, strict=True):
        for axis, setting in zip(line, settings, strict=True):
            low = score_limits(axis, *_extremes(rows, metric))
            _bars_of(axis, [row for row in rows if row.label["setting"] == setting], metric, low)
        line[0].set_ylabel(METRIC_LABELS[metric])
    for axis, setting in zip(axes[0], settings, strict=True):
        axis.set_title(setting, fontsize=9)
    _legend(figure, [block for block in BLOCKS if any(block in row.cells for row in rows)], paper=True)


def _bars_of(axis: Axes, rows: Sequence[Row], metric: str, low: float) -> None:
    cells = [(at, block, cell) for at, row in enumerate(rows) for block, cell in row.cells.items()]
    shown = [(at, block, cell) for at, block, cell in cells if cell.metric == metric]
    blocks = [block for block in BLOCKS if any(block == name for _, name, _ in shown)]
    width = 0.8 / max(1, len(blocks))
    for at, block, cell in shown:
        left = at - 0.4 + blocks.index(block) * width
        axis.bar(left, cell.mean, width, align="edge", color=COLORS[block], yerr=cell.deviation or None)
        mark_cut(axis, np.array([left + width / 2]), np.array([cell.mean]), low, COLORS[block])
        if cell.chance is not None:
            axis.hlines(cell.chance, left, left + width, color=CHANCE, linestyle=":", linewidth=1.0)
        if cell.paper is not None:
            axis.hlines(cell.paper, left, left + width, color="black", linewidth=1.5)
    axis.set_xticks(range(len(rows)), [_dependence(row) for row in rows], fontsize=7)


def _dependence(row: Row) -> str:
    names = [name for name in ("statistical", "causal") if row.label[name]]
    return f"$\\pi$ = {row.label['style_change_prob']:g}\n" + ("\n".join(names) or "none")


def _classes(figure: Any, rows: Sequence[Row]) -> None:
    _curves(figure, rows, panel="discrete", x="n_classes", x_label="classes k", title="discrete {}")


def _sizes(figure: Any, rows: Sequence[Row]) -> None:
    _curves(figure, rows, panel="varied", x="size", x_label="dimensions", title="dimensions of {}")


def _curves(figure: Any, rows: Sequence[Row], *, panel: str, x: str, x_label: str, title: str) -> None:
    """One column a block that was varied, R2 above accuracy; dotted lines are chance levels."""
    panels, metrics = list(dict.fromkeys(row.label[panel] for row in rows)), metrics_of(rows)
    axes = figure.subplots(len(metrics), len(panels), squeeze=False, sharey="row")
    for line, metric in zip(axes, metrics, strict=True):
        for axis, name in zip(line, panels, strict=True):
            shown = [row for row in rows if row.label[panel] == name]
            low = score_limits(axis, *_extremes(rows, metric))
            _lines(axis, [row.label[x] for row in shown], shown, metric, low)
        line[0].set_ylabel(METRIC_LABELS[metric])
    for column, name in enumerate(panels):
        axes[0, column].set_title(title.format(name), fontsize=9)
        axes[-1, column].set_xlabel(x_label)
    _legend(figure, ["content", "style", "modality"])


def _lines(axis: Axes, at: Sequence[Any], rows: Sequence[Row], metric: str, low: float) -> None:
    """A line a block, of the rows whose score is of that metric."""
    found = {
        block: [(x, row.cells[block]) for x, row in zip(at, rows, strict=True) if _has(row, block, metric)]
        for block in ("content", "style", "modality")
    }
    for block, line in found.items():
        if not line:
            continue
        known, cells = [x for x, _ in line], [cell for _, cell in line]
        means = [cell.mean for cell in cells]
        axis.errorbar(
            known, means, [cell.deviation or 0.0 for cell in cells], color=COLORS[block], marker="o", markersize=3
        )
        mark_cut(axis, np.array(known, dtype=float), np.array(means), low, COLORS[block])
        chances = [float("nan") if cell.chance is None else cell.chance for cell in cells]
        axis.plot(known, chances, ":", color=CHANCE if metric == "r2" else COLORS[block])
    axis.set_xticks(list(at))


def _has(row: Row, block: str, metric: str) -> bool:
    return block in row.cells and row.cells[block].metric == metric


def _extremes(rows: Sequence[Row], metric: str) -> tuple[float, float]:
    """Lowest and highest score of a metric, deviations included: panels side by side share their limits."""
    cells = [cell for row in rows for cell in row.cells.values() if cell.metric == metric]
    ends = [cell.mean + sign * (cell.deviation or 0.0) for cell in cells for sign in (-1, 1)]
    return min(ends), max(ends)


def _encoding_sizes(figure: Any, rows: Sequence[Row]) -> None:
    """Scores, and the loss with its elbow."""
    sizes, metrics = [row.label["encoding_size"] for row in rows], metrics_of(rows)
    axes = figure.subplots(max(1, len(metrics)), 2, squeeze=False)
    for axis, metric in zip(axes[:, 0], metrics, strict=True):
        _lines(axis, sizes, rows, metric, score_limits(axis, *_extremes(rows, metric)))
        axis.set_ylabel(METRIC_LABELS[metric])
    right = axes[0, 1]
    losses = [row.cells["loss"] for row in rows]
    means = [cell.mean for cell in losses]
    right.errorbar(sizes, means, [cell.deviation or 0.0 for cell in losses], color="black", marker="o", markersize=3)
    right.set_ylabel("validation loss (nats)")
    right.set_xticks(sizes)
    _mark_elbow(right, sizes, means)
    for axis in axes[1:, 1]:
        axis.set_axis_off()
    for axis in (axes[-1, 0], right):
        axis.set_xlabel("encoding size")
    _legend(figure, ["content", "style", "modality"])


def _mark_elbow(axis: Axes, sizes: Sequence[int], losses: Sequence[float]) -> None:
    at = find_elbow(sizes, losses)
    if at is not None:
        axis.axvline(at, color="grey", linestyle="--", linewidth=1)
        axis.set_title(f"elbow (Kneedle): {at:g}", fontsize=9)


def _legend(figure: Any, blocks: Sequence[str], *, paper: bool = False) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=COLORS[block], linewidth=4, label=NAMES[block]) for block in blocks]
    handles.append(Line2D([], [], color=CHANCE, linestyle=":", linewidth=1.0, label="chance"))
    if paper:
        handles.append(Line2D([], [], color="black", linewidth=1.5, label="paper"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=7, frameon=False)
