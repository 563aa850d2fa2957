"""Looks of all figures: widths of a paper's column, fonts that stay text, colours that the colour-blind tell apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from m3di.errors import M3diError

TEXT_WIDTH_IN = 5.5  # of a one-column conference paper
HALF_WIDTH_IN = 2.7
# Okabe and Ito's palette without its yellow, which is too light for lines.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", ":")  # one after the other as the colours are used up
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
FORMATS = (".png", ".pdf")
DPI = 300
_SETTINGS = {
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


def line_look(number: int) -> dict[str, str]:
    """Colour, dashes and marker of the n-th line; 21 in all are told apart."""
    return {
        "color": COLORS[number % len(COLORS)],
        "linestyle": DASHES[number // len(COLORS) % len(DASHES)],
        "marker": MARKERS[number % len(MARKERS)],
    }


def save_figure(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write a figure as PNG and PDF; their paths.

    Raises:
        M3diError: The folder cannot be written.
    """
    paths = [folder / f"{name}{ending}" for ending in FORMATS]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with paper_style():
            for path in paths:
                # Without dates, equal results give equal files.
                figure.savefig(path, metadata={"CreationDate": None} if path.suffix == ".pdf" else None)
    except OSError as error:
        raise M3diError("the figure cannot be written", where=str(folder), got=error.strerror or error) from None
    return paths
