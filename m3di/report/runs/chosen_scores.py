"""Choose the scores of a figure: one a factor of the view, by a named estimator for its kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from m3di.errors import M3diError

FACTUAL = "factual"
METRIC_NAMES = {"r2": "R²", "accuracy": "accuracy"}
ROLE_ORDER = ("content", "style", "private", "")


@dataclass(frozen=True)
class Estimators:
    """Estimators of a figure: for numbers (R2) and for labels (accuracy)."""

    numbers: str = "kernel_ridge"
    labels: str = "mlp"

    def axis_label(self, metric: str) -> str:
        """Label an axis of scores."""
        name = self.numbers if metric == "r2" else self.labels
        return f"{METRIC_NAMES[metric]} ({name.replace('_', ' ')})"


def chosen_scores(
    rows: Iterable[Mapping[str, Any]], estimators: Estimators, data: str = FACTUAL
) -> list[Mapping[str, Any]]:
    """Return the rows to show, content first.

    Args:
        rows: Of results, or of means over seeds.
        estimators: Whose scores.
        data: Which samples.

    Raises:
        M3diError: There are none; or numbers, or labels, were measured by other estimators only.
    """
    wanted = {"r2": estimators.numbers, "accuracy": estimators.labels}
    all_rows = list(rows)
    scored = [
        row
        for row in all_rows
        if row["data"] == data and row["metric"] in wanted and row["factor"].partition(".")[0] == row["view"]
    ]
    found = [row for row in scored if row["estimator"] == wanted[row["metric"]]]
    if not found or {row["metric"] for row in found} < {row["metric"] for row in scored}:
        known = sorted({row["estimator"] for row in all_rows if row["metric"] in wanted})
        raise M3diError(
            "there are no scores to draw" if not found else "half of the scores would not be drawn",
            got=f"estimators {', '.join(known) or 'none'}",
            expected=f"{estimators.numbers} and {estimators.labels}, on {data} data",
            next_step="m3di evaluate with these probes, or name other ones with --metric and --classifier",
        )
    return sorted(found, key=lambda row: ROLE_ORDER.index(row["role"]) if row["role"] in ROLE_ORDER else 9)


def metrics_in_order(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """R2 before accuracy, as far as there are such scores: the two are never on one axis."""
    found = {row["metric"] for row in rows}
    return [metric for metric in ("r2", "accuracy") if metric in found]


def views_in_order(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The views, image before text."""
    views = dict.fromkeys(row["view"] for row in rows)
    return sorted(views, key=lambda view: (view.startswith("text"), list(views).index(view)))


def factor_label(factor: str) -> str:
    """`VIEW.object_xpos` -> `object xpos`."""
    return factor.partition(".")[2].replace("_", " ")


def font_of(role: str) -> dict[str, str]:
    """Content is bold, style italic, and all else upright."""
    return {
        "fontweight": "bold" if role == "content" else "normal",
        "fontstyle": "italic" if role == "style" else "normal",
    }
