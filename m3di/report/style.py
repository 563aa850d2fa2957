"""The style of all figures: widths of a column, fonts that stay text, colours that the colour-blind tell apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from m3di.system.disk import disk_errors

TEXT_WIDTH_IN = 5.5  # of a one-column conference paper
HALF_WIDTH_IN = 2.7
# Okabe and Ito's palette without its yellow, which is too light for lines.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.")  # dotted is chance
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LEAST_SHOWN = -0.3  # of an R2
FORMATS = (".png", ".pdf")
DPI = 300
_SETTINGS: dict[Any, Any] = {
    "font.size": 7,
    "axes.titlesize": 8,
    "axes.labelsize": 7,
    "legend.fontsize": 6,
    "xtick.labelsize": 6,
    "ytick.labelsize": 6,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.1,
    "lines.markersize": 3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,  # text in a PDF stays text that can be searched
    "savefig.dpi": DPI,
}


@contextmanager
def paper_style() -> Iterator[None]:
    """Draw in the looks of all figures."""
    with mpl.rc_context(_SETTINGS):
        yield


def line_colors(n: int) -> list[Any]:
    """Colours of n lines, no two alike: Okabe and Ito's, or shades from dark to light where these are too few."""
    if n <= len(COLORS):
        return list(COLORS[:n])
    return [tuple(shade) for shade in mpl.colormaps["viridis"](np.linspace(0.0, 0.93, n))]


def line_looks(n: int) -> list[dict[str, Any]]:
    """Colour, dashes and marker of each of n lines; shades that lie near each other differ in the other two."""
    return [
        {"color": color, "linestyle": DASHES[number % len(DASHES)], "marker": MARKERS[number % len(MARKERS)]}
        for number, color in enumerate(line_colors(n))
    ]


def score_limits(axis: Axes, lowest: float, highest: float) -> float:
    """Limits of an axis of scores: 0 to 1 with a margin, and more where scores go beyond; the lower one.

    Nothing above is cut. Below, an R2 has no end: what lies under -0.3 is to be marked, see `mark_cut`.
    """
    low = max(LEAST_SHOWN, min(-0.05, lowest - 0.03))
    axis.set_ylim(low, max(1.05, highest + 0.03))
    return low


def mark_cut(axis: Axes, x: NDArray[np.float64], y: NDArray[np.float64], low: float, color: Any) -> None:
    """Arrows at the lower edge, with their values, where points lie below it."""
    for at, value in zip(x, y, strict=True):
        if value < low:
            axis.plot([at], [low], marker="v", color=color, clip_on=False, zorder=5)
            axis.annotate(f"{value:.2g}", (at, low), (0, 4), textcoords="offset points", fontsize=5, ha="center")


def save_figure(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write a figure as PNG and PDF; their paths.

    Raises:
        M3diError: The folder cannot be written.
    """
    paths = [folder / f"{name}{ending}" for ending in FORMATS]
    with disk_errors(folder, "the figure cannot be written", kept=False), paper_style():
        folder.mkdir(parents=True, exist_ok=True)
        for path in paths:
            # Without dates, equal results give equal files.
            figure.savefig(path, metadata={"CreationDate": None} if path.suffix == ".pdf" else None)
    return paths
