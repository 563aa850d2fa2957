"""Early stop: end a run whose validation loss falls no more."""

from __future__ import annotations

import csv
import math
from pathlib import Path


class Patience:
    """Counts measurements of the validation loss since the least one.

    Args:
        most: How many without a new least loss end the run; None never ends it.
        losses: Those measured so far, in their order.
    """

    def __init__(self, most: int | None, losses: list[float] | None = None) -> None:
        self.most, self.least, self.since = most, math.inf, 0
        for loss in losses or []:
            self.measured(loss)

    def measured(self, loss: float) -> None:
        """Add a measurement."""
        self.since = 0 if loss < self.least else self.since + 1
        self.least = min(self.least, loss)

    @property
    def is_out(self) -> bool:
        """Whether the run is to end."""
        return self.most is not None and self.since >= self.most


def measured_losses(metrics: Path, last_step: int, every: int) -> list[float]:
    """Validation losses in metrics.csv of each `every` steps up to a step.

    A last line that was being written is left out, and so is a measurement between: the last one of a run that was
    made longer since, which a run that had been longer from the start would not have made.
    """
    if not metrics.is_file():
        return []
    with metrics.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if (row["step"] or "").isdigit() and row["seconds"]]
    steps = range(every, last_step + 1, every)
    return [float(row["val_loss"]) for row in rows if int(row["step"]) in steps and row["val_loss"]]
