"""Losses: against the encoding size with the elbow, and from step to step."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from kneed import KneeLocator
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from m3di.errors import M3diError
from m3di.report.style import COLORS, HALF_WIDTH_IN, TEXT_WIDTH_IN, line_colors, paper_style

ELBOW_METHOD = "Kneedle"
MIN_SIZES = 3
N_SMOOTHED = 50  # a training curve is drawn as about that many means
GREY = "#777777"
Curve = Mapping[str, NDArray[np.float64]]


def find_elbow(sizes: Sequence[int], losses: Sequence[float]) -> int | None:
    """Find the size at which the loss stops to fall as before, by Kneedle; None if there is none.

    Args:
        sizes: Encoding sizes, increasing, three or more.
        losses: Of each; a convex, falling curve.

    Source: Satopaa et al., "Finding a 'kneedle' in a haystack", 2011; the `kneed` library with its defaults.
    """
    if len(sizes) < MIN_SIZES or not np.isfinite(losses).all() or min(losses) == max(losses):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it warns where it finds none, and None says so
        found = KneeLocator(list(sizes), list(losses), curve="convex", direction="decreasing").knee
    return None if found is None else int(found)


def elbow_figure(rows: Sequence[Mapping[str, Any]]) -> tuple[Figure, int | None]:
    """Validation loss against encoding size, with a band of one standard deviation over seeds, and the elbow.

    Args:
        rows: Means over seeds; those with metric `val_loss` are drawn.

    Raises:
        M3diError: No run has a validation loss.
    """
    own = sorted((row for row in rows if row["metric"] == "val_loss"), key=lambda row: row["encoding_size"])
    if not own:
        raise M3diError("no run has a validation loss", expected="runs with val_loss in their summary.json")
    sizes = [row["encoding_size"] for row in own]
    mean = np.array([row["mean"] for row in own])
    std = np.array([row["std"] or 0.0 for row in own])
    elbow = find_elbow(sizes, mean.tolist())
    with paper_style():
        figure = Figure(figsize=(HALF_WIDTH_IN, 2.0), layout="constrained")
        axis = figure.subplots()
        axis.plot(sizes, mean, color=COLORS[0], marker="o")
        axis.fill_between(sizes, mean - std, mean + std, color=COLORS[0], alpha=0.18, linewidth=0)
        axis.set_xticks(sizes)
        axis.set_xlabel("encoding size")
        axis.set_ylabel("validation loss (nats)")
        if elbow is not None:
            axis.axvline(
                elbow, color=COLORS[1], linestyle="--", linewidth=0.8, label=f"elbow at {elbow} ({ELBOW_METHOD})"
            )
            axis.legend(frameon=False)
    return figure, elbow


def loss_figure(curves: Mapping[str, Curve], val_batch_sizes: Mapping[str, int] | None = None) -> Figure:
    """Training loss (lines, means over steps) and validation loss (dots) of each run, no two of one colour.

    Args:
        curves: By the name of the run: `step`, `loss`, and `val_loss` where it was measured, else not a number.
        val_batch_sizes: By the name of a run whose validation loss is in other batches than its training.

    Raises:
        M3diError: There is nothing to draw.
    """
    if not curves:
        raise M3diError("no run has metrics", expected="run folders with metrics.csv")
    with paper_style():
        figure = Figure(figsize=(TEXT_WIDTH_IN, 2.4), layout="constrained")
        axis = figure.subplots()
        handles = [Line2D([], [], color=GREY, linewidth=0.9, label="training")]
        for color, (name, curve) in zip(line_colors(len(curves)), curves.items(), strict=True):
            step, loss = _smoothed(curve["step"], curve["loss"])
            axis.plot(step, loss, color=color, linewidth=0.9)
            size = (val_batch_sizes or {}).get(name)
            label = name if size is None else f"{name} (validation in batches of {size})"
            handles.append(Line2D([], [], color=color, linewidth=2.5, label=label))
            measured = np.isfinite(curve["val_loss"])
            axis.plot(curve["step"][measured], curve["val_loss"][measured], "o", color=color, markersize=2.5)
        if any(np.isfinite(curve["val_loss"]).any() for curve in curves.values()):
            dot = Line2D([], [], color=GREY, marker="o", linestyle="none", markersize=2.5, label="validation")
            handles.insert(1, dot)
        axis.set_xlabel("step")
        axis.set_ylabel("loss (nats)")
        place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}
        axis.legend(handles=handles, frameon=False, ncols=1 + len(curves) // 20, **place)
    return figure


def _smoothed(step: NDArray[np.float64], loss: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    width = max(1, len(step) // N_SMOOTHED)
    n = len(step) // width * width
    return step[:n].reshape(-1, width).mean(axis=1), loss[:n].reshape(-1, width).mean(axis=1)
