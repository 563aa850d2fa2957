"""Tables of the numerical simulation, beside the paper's own numbers."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from m3di.report.simulation.paper import PAPER

ESTIMATOR = "kernel ridge"
CSV_COLUMNS = ("column", "metric", "n_seeds", "mean", "deviation", "chance", "paper", "difference")
BLOCKS = ("content", "content'", "style", "modality")


@dataclass(frozen=True)
class Finished:
    """One simulation of a recipe, with its results.

    Args:
        label: What its row is called by; equal for all seeds of a setting.
        results: The content of its results.json.
    """

    label: dict[str, Any]
    results: Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    """A number of the table.

    Args:
        metric: "r2", "accuracy" or "loss".
        values: One a seed: for scores the mean over both modalities.
        chance: What a probe reaches that has seen nothing, the mean over the same scores; None for a loss.
        paper: The paper's number, where it has one.
    """

    metric: str
    values: tuple[float, ...]
    chance: float | None = None
    paper: float | None = None

    @property
    def mean(self) -> float:
        """Over seeds."""
        return statistics.fmean(self.values)

    @property
    def deviation(self) -> float | None:
        """Standard deviation over seeds; None for one seed."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    def __str__(self) -> str:
        spread = "" if self.deviation is None else f" ± {self.deviation:.2f}"
        text = f"{self.mean:.2f}{spread}"
        if self.metric == "accuracy":
            text += f" (accuracy, chance {self.chance:.2f})"
        return text if self.paper is None else f"{text} (paper {self.paper:.2f}, {self.mean - self.paper:+.2f})"


@dataclass(frozen=True)
class Row:
    """A setting, and its cells by block of latents."""

    label: dict[str, Any]
    cells: dict[str, Cell]


def summarise(recipe: str, finished: Sequence[Finished]) -> list[Row]:
    """One row a setting, in the order in which they come; scores are those of kernel ridge regression.

    Args:
        recipe: Whose paper numbers to compare with; "figure8" takes the scores under permuted content.
        finished: The simulations, seeds of a setting in any order.
    """
    data = "permuted content" if recipe == "figure8" else "observed"
    groups: dict[tuple[Any, ...], list[Finished]] = {}
    for each in finished:
        groups.setdefault(tuple(each.label.items()), []).append(each)
    return [_row(recipe, data, group) for group in groups.values()]


def _row(recipe: str, data: str, group: Sequence[Finished]) -> Row:
    label = group[0].label
    key = (recipe, *(label.get(name) for name in ("setting", "style_change_prob", "statistical", "causal")))
    paper = {name: number for known, numbers in PAPER.items() if known == key for name, number in numbers.items()}
    cells = {}
    for block in BLOCKS:
        scores = [_scores(each, data, block) for each in group]
        if all(scores):
            cells[block] = Cell(
                metric=str(scores[0][0]["metric"]),
                values=tuple(statistics.fmean(score["value"] for score in seed) for seed in scores),
                # Of the same scores: s~ has other shares of its classes than s.
                chance=statistics.fmean(float(score["chance"]) for seed in scores for score in seed),
                paper=paper.get(block),
            )
    cells["loss"] = Cell("loss", tuple(float(each.results["loss"]) for each in group))
    return Row(label, cells)


def _scores(each: Finished, data: str, block: str) -> list[Any]:
    wanted = {"data": data, "block": block, "estimator": ESTIMATOR}
    return [row for row in each.results["rows"] if wanted.items() <= row.items()]


def markdown_table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table; the numbers in brackets are the paper's, and ours less the paper's."""
    labels = list(rows[0].label)
    columns = [name for name in (*BLOCKS, "loss") if any(name in row.cells for row in rows)]
    lines = [[*labels, *columns], ["---"] * (len(labels) + len(columns))]
    for row in rows:
        cells = [str(row.cells[name]) if name in row.cells else "" for name in columns]
        lines.append([*(_word(row.label[name]) for name in labels), *cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def save_table(rows: Sequence[Row], path: Path, *, title: str) -> None:
    """Write PATH.md and PATH.csv (tidy: one line a setting and column)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(f"{path.name}.md").write_text(f"# {title}\n\n{markdown_table(rows)}", encoding="utf-8")
    with path.with_name(f"{path.name}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*rows[0].label, *CSV_COLUMNS])
        for row in rows:
            for name, cell in row.cells.items():
                difference = None if cell.paper is None else cell.mean - cell.paper
                numbers = (cell.mean, cell.deviation, cell.chance, cell.paper, difference)
                texts = ["" if number is None else f"{number:.6g}" for number in numbers]
                writer.writerow([*row.label.values(), name, cell.metric, len(cell.values), *texts])


def _word(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
