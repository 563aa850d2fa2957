"""Figures of the numerical simulation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from m3di.report.loss_curves import find_elbow
from m3di.report.simulation import BLOCKS, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, told apart by the colour-blind.
COLORS = {"content": "#0072B2", "content'": "#56B4E9", "style": "#D55E00", "modality": "#009E73"}
NAMES = {"content": "content", "content'": "content as permuted", "style": "style", "modality": "modality-specific"}


def save_figure(recipe: str, rows: Sequence[Row], path: Path) -> None:
    """Write PATH.png and PATH.pdf: bars for tables and figure 8, curves for figures 5, 6 and 7a."""
    from matplotlib.figure import Figure

    draw = {"figure5": _classes, "figure6": _sizes, "figure7a": _encoding_sizes}.get(recipe, _bars)
    figure = Figure(figsize=(7.0, 3.0), layout="constrained")
    draw(figure, rows)
    for suffix in (".png", ".pdf"):
        figure.savefig(path.with_suffix(suffix), dpi=200, metadata={"CreationDate": None} if suffix == ".pdf" else None)


def _bars(figure: Any, rows: Sequence[Row]) -> None:
    """Groups of bars, one a setting; a black line is the paper's number."""
    settings = list(dict.fromkeys(row.label["setting"] for row in rows))
    axes = figure.subplots(1, len(settings), squeeze=False, sharey=True)[0]
    for axis, setting in zip(axes, settings, strict=True):
        shown = [row for row in rows if row.label["setting"] == setting]
        blocks = [block for block in BLOCKS if any(block in row.cells for row in shown)]
        width = 0.8 / len(blocks)
        for k, block in enumerate(blocks):
            for at, row in enumerate(shown):
                cell = row.cells[block]
                left = at - 0.4 + k * width
                axis.bar(left, cell.mean, width, align="edge", color=COLORS[block], yerr=cell.deviation or None)
                if cell.paper is not None:
                    axis.hlines(cell.paper, left, left + width, color="black", linewidth=1.5)
        axis.set_xticks(range(len(shown)), [_dependence(row) for row in shown], fontsize=7)
        axis.set_title(setting, fontsize=9)
    axes[0].set_ylabel(r"$R^2$ (kernel ridge)")
    axes[0].set_ylim(-0.05, 1.05)
    _legend(figure, [block for block in BLOCKS if any(block in row.cells for row in rows)], paper=True)


def _dependence(row: Row) -> str:
    names = [name for name in ("statistical", "causal") if row.label[name]]
    return f"$\\pi$ = {row.label['style_change_prob']:g}\n" + ("\n".join(names) or "none")


def _classes(figure: Any, rows: Sequence[Row]) -> None:
    _curves(figure, rows, panel="discrete", x="n_classes", x_label="classes k", title="discrete {}")


def _sizes(figure: Any, rows: Sequence[Row]) -> None:
    _curves(figure, rows, panel="varied", x="size", x_label="dimensions", title="dimensions of {}")


def _curves(figure: Any, rows: Sequence[Row], *, panel: str, x: str, x_label: str, title: str) -> None:
    """One panel a block that was varied; dashed lines are accuracies, dotted ones their chance level."""
    panels = list(dict.fromkeys(row.label[panel] for row in rows))
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axis, name in zip(axes, panels, strict=True):
        shown = [row for row in rows if row.label[panel] == name]
        at = [row.label[x] for row in shown]
        for block in ("content", "style", "modality"):
            cells = [row.cells.get(block) for row in shown]
            if not all(cells):
                continue
            known = [cell for cell in cells if cell is not None]
            accuracy = known[0].metric == "accuracy"
            style = {"color": COLORS[block], "marker": "o", "markersize": 3}
            spread = [cell.deviation for cell in known]
            axis.errorbar(at, [cell.mean for cell in known], spread, linestyle="--" if accuracy else "-", **style)
            if accuracy:
                axis.plot(at, [cell.chance for cell in known], ":", color=COLORS[block])
        axis.set_title(title.format(name), fontsize=9)
        axis.set_xlabel(x_label)
        axis.set_xticks(at)
    axes[0].set_ylabel(r"$R^2$; accuracy where dashed")
    axes[0].set_ylim(-0.05, 1.05)
    _legend(figure, ["content", "style", "modality"])


def _encoding_sizes(figure: Any, rows: Sequence[Row]) -> None:
    """Scores, and the loss with its elbow."""
    left, right = figure.subplots(1, 2)
    sizes = [row.label["encoding_size"] for row in rows]
    for block in ("content", "style", "modality"):
        if all(block in row.cells for row in rows):
            cells = [row.cells[block] for row in rows]
            left.errorbar(
                sizes,
                [cell.mean for cell in cells],
                [cell.deviation for cell in cells],
                color=COLORS[block],
                marker="o",
            )
    left.set_ylabel(r"$R^2$ (kernel ridge)")
    losses = [row.cells["loss"] for row in rows]
    means = [cell.mean for cell in losses]
    right.errorbar(sizes, means, [cell.deviation for cell in losses], color="black", marker="o", markersize=3)
    right.set_ylabel("validation loss (nats)")
    _mark_elbow(right, sizes, means)
    for axis in (left, right):
        axis.set_xlabel("encoding size")
        axis.set_xticks(sizes)
    _legend(figure, ["content", "style", "modality"])


def _mark_elbow(axis: Axes, sizes: Sequence[int], losses: Sequence[float]) -> None:
    at = find_elbow(sizes, losses)
    if at is not None:
        axis.axvline(at, color="grey", linestyle="--", linewidth=1)
        axis.set_title(f"elbow (Kneedle): {at:g}", fontsize=9)


def _legend(figure: Any, blocks: Sequence[str], *, paper: bool = False) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=COLORS[block], linewidth=4, label=NAMES[block]) for block in blocks]
    if paper:
        handles.append(Line2D([], [], color="black", linewidth=1.5, label="paper"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=7, frameon=False)
