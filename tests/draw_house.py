"""Draws docs/images/house.png from the table of imports: `python -m tests.draw_house`, where the table has changed."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.patches import FancyBboxPatch

from tests.test_imports import MAY_IMPORT

OUT = Path(__file__).parents[1] / "docs" / "images" / "house.png"
# Place of each room's middle. The command line and what all stand on are bars over the whole width.
PLACES = {
    "latents": (2.5, 0.0),
    "render": (0.3, 1.0),
    "data": (5.2, 1.0),
    "generate": (1.2, 2.0),
    "learn": (7.0, 2.0),
    "evaluate": (6.2, 3.0),
    "simulate": (8.5, 4.0),
    "report": (3.5, 5.0),
    "browse": (5.4, 6.0),
    "doctor": (1.4, 6.0),
    "reproduce": (7.6, 6.0),
}
WHAT = {
    "latents": "numbers and words",
    "render": "scene to image",
    "data": "on disk, and loaded",
    "generate": "spec to dataset",
    "learn": "encoders, losses",
    "evaluate": "what was identified",
    "simulate": "numbers without images",
    "report": "pictures and tables",
    "browse": "a page to look at data",
    "doctor": "what works here",
    "reproduce": "the paper, all of it",
}
BOWS = {("learn", "latents"): -0.35}  # around `data`
HALF_WIDTH, HALF_HEIGHT = 0.85, 0.25
GREEN, GREY = "#2a6f5e", "#6b6b6b"


def _box(x: float, y: float, half_width: float, name: str, what: str, color: str) -> None:
    axes = plt.gca()
    corner = (x - half_width, y - HALF_HEIGHT)
    style = "round,pad=0,rounding_size=0.08"
    size = (2 * half_width, 2 * HALF_HEIGHT)
    axes.add_patch(FancyBboxPatch(corner, *size, boxstyle=style, facecolor="white", edgecolor=color, zorder=2))
    axes.text(x, y + 0.08, name, ha="center", va="center", family="monospace", weight="bold", color=color, zorder=3)
    axes.text(x, y - 0.12, what, ha="center", va="center", fontsize=7.5, color="#333333", zorder=3)


def draw(out: Path) -> None:
    """Write the picture, with the table in the metadata `may_import`."""
    figure = plt.figure(figsize=(9, 7.5))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(-0.9, 9.4)
    axes.set_ylim(-1.4, 7.4)
    for room, (x, y) in PLACES.items():
        _box(x, y, HALF_WIDTH, room, WHAT[room], GREEN)
        for below in MAY_IMPORT[room]:
            to_x, to_y = PLACES[below]
            bow = BOWS.get((room, below), 0)
            shift = (x - to_x) * 0.12  # arrows that end at one room end apart
            axes.annotate(
                "",
                xy=(to_x + HALF_WIDTH, to_y) if bow else (to_x + max(-0.7, min(0.7, shift)), to_y + HALF_HEIGHT),
                xytext=(x + 0.3 if bow else x - max(-0.5, min(0.5, shift)), y - HALF_HEIGHT),
                arrowprops={
                    "arrowstyle": "-|>",
                    "color": GREY,
                    "linewidth": 0.9,
                    "connectionstyle": f"arc3,rad={bow}",
                },
                zorder=1,
            )
    _box(4.25, 7.0, 5.0, "cli", "one module a command: parse, call, print; imports every room", GREEN)
    _box(4.25, -1.0, 5.0, "system, errors", "files, lock, signals, allocator: every room may import them", GREY)
    table = {room: sorted(below) for room, below in MAY_IMPORT.items() if room != "system"}
    figure.savefig(out, dpi=130, metadata={"may_import": json.dumps({"system": [], **table})})


if __name__ == "__main__":
    assert PLACES.keys() | {"cli", "system"} == MAY_IMPORT.keys()
    draw(OUT)
