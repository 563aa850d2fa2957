"""All figures of an evaluated run or sweep, into a folder."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m3di.errors import M3diError
from m3di.report.runs.ablation import ablation_figure
from m3di.report.runs.chosen_scores import Estimators
from m3di.report.runs.factor_curves import Rows
from m3di.report.runs.heat_map import heat_map
from m3di.report.runs.loss_curves import elbow_figure, loss_figure
from m3di.report.runs.over_steps import steps_figure
from m3di.report.style import save_figure
from m3di.system.files import plain_name, read_json

METRICS = "metrics.csv"


def save_report(path: Path, out: Path, numbers: str = "kernel_ridge", labels: str = "mlp") -> list[Path]:
    """Draw all figures that the results allow: heat map, loss curves, ablation, elbow, scores over steps.

    Args:
        path: A run or sweep folder that `m3di evaluate` has been through, or its table.
        out: Folder of the figures.
        numbers: Estimator of numbers: `kernel_ridge` or `linear`.
        labels: Estimator of labels: `mlp` or `logistic`.

    Returns:
        The files, PNG and PDF of each figure.

    Raises:
        M3diError: Nothing has been measured, or not by these estimators.
    """
    from m3di.evaluate import OVER_STEPS, over_seeds, results_of, swept  # imports PyTorch

    estimators = Estimators(numbers, labels)
    files: list[Path] = []
    has_steps = path.is_dir() and any(path.glob(f"{Path(OVER_STEPS).stem}*.parquet"))
    if not has_steps or any(path.glob("evaluation*.parquet")):
        table = over_seeds(results_of(path))
        for name, rows in _by_settings(table.to_pylist(), swept(table)).items():
            files += _of_results(rows, estimators, out / name)
    if has_steps:
        table = over_seeds(results_of(path, OVER_STEPS))
        for name, rows in _by_settings(table.to_pylist(), swept(table)).items():
            files += _over_steps(rows, estimators, out / name)
    curves = read_curves(path) if path.is_dir() else {}
    if curves:
        files += save_figure(loss_figure(curves, _val_batch_sizes(path, curves)), out, "loss")
    return files


def _by_settings(rows: Rows, names: Sequence[str]) -> Mapping[str, Rows]:
    """Group rows by further settings, with a name for a folder: a figure tells encoding sizes apart only."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        # What no setting is said of, such as the scores on another dataset, has a folder of its own too.
        found.setdefault(plain_name(",".join(f"{name}={row[name]}" for name in names)), []).append(row)
    return found


def _of_results(rows: Rows, estimators: Estimators, out: Path) -> list[Path]:
    if rows and "step" in rows[0]:  # the table of all checkpoints, given by its name
        return _over_steps(rows, estimators, out)
    sizes: dict[str, set[int]] = {}  # of each view: two views of unequal sizes are no ablation
    for row in rows:
        sizes.setdefault(row["view"], set()).add(row["encoding_size"])
    several = any(len(own) > 1 for own in sizes.values())
    files = save_figure(heat_map(rows, estimators), out, "heat-map")
    if several:
        files += save_figure(ablation_figure(rows, estimators), out, "ablation")
    if several and any(row["metric"] == "val_loss" for row in rows):
        files += save_figure(elbow_figure(rows)[0], out, "validation-loss")
    return files


def _over_steps(rows: Rows, estimators: Estimators, out: Path) -> list[Path]:
    """One figure an encoding size."""
    sizes = sorted({row["encoding_size"] for row in rows})
    files: list[Path] = []
    for size in sizes:
        name = "over-steps" if len(sizes) == 1 else f"over-steps-{size}"
        own = [row for row in rows if row["encoding_size"] == size]
        files += save_figure(steps_figure(own, estimators), out, name)
    return files


def read_curves(path: Path) -> dict[str, Mapping[str, NDArray[np.float64]]]:
    """Steps, losses and validation losses of a run, or of every member of a sweep, by name.

    Raises:
        M3diError: A metrics file is damaged.
    """
    if (path / METRICS).is_file():
        return {path.name: _curve(path / METRICS)}
    return {each.parent.name: _curve(each) for each in sorted(path.glob(f"*/{METRICS}"), key=_in_order)}


def _val_batch_sizes(path: Path, names: Iterable[str]) -> dict[str, int]:
    """Samples in a batch of the validation loss, of each finished run where these are others than in training."""
    found = {}
    for name in names:
        run = path if (path / METRICS).is_file() else path / name
        if (run / "summary.json").is_file() and (run / "config.json").is_file():
            size = read_json(run / "summary.json").get("val_batch_size")
            if size is not None and size != read_json(run / "config.json")["config"]["batch_size"]:
                found[name] = int(size)
    return found


def _in_order(path: Path) -> tuple[int, str]:
    return len(path.parent.name), path.parent.name  # encoding_size=2 before encoding_size=10


def _curve(path: Path) -> Mapping[str, NDArray[np.float64]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        names = ("step", "loss", "val_loss")
        return {name: np.array([float(row.get(name) or "nan") for row in rows]) for name in names}
    except (OSError, ValueError, TypeError) as error:
        raise M3diError("the metrics of a run cannot be read", where=str(path), got=error) from error
