"""Figures of results: what they show, how labels are set, where the elbow is; as files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from m3di.errors import M3diError
from m3di.evaluate import Encoded, FactorValues, Score, gather, read_results, to_table, write_results
from m3di.evaluate.results import with_columns
from m3di.report.runs import figures
from m3di.report.runs.ablation import ablation_figure
from m3di.report.runs.chosen_scores import Estimators
from m3di.report.runs.figures import read_curves, save_report
from m3di.report.runs.heat_map import heat_map
from m3di.report.runs.loss_curves import elbow_figure, find_elbow, loss_figure
from m3di.report.runs.over_steps import steps_figure
from m3di.report.style import line_looks

ROLES = {"image.object_shape": "content", "image.object_color": "style", "image.spotlight_pos": "private"}
ROLES |= {"text.object_shape": "content", "text.text_palette": "private"}


def _rows() -> list[dict[str, Any]]:
    """Means over seeds of six encoding sizes."""
    rows: list[dict[str, Any]] = []
    for size in range(1, 7):
        for factor, role in ROLES.items():
            number = role != "content" and "palette" not in factor
            rows.append(
                {
                    "data": "factual",
                    "view": factor.split(".")[0],
                    "factor": factor,
                    "role": role,
                    "estimator": "kernel_ridge" if number else "mlp",
                    "metric": "r2" if number else "accuracy",
                    "encoding_size": size,
                    "mean": 0.1 * size,
                    "std": 0.02,
                    "chance": 0.0 if number else 0.25,
                    "bound": {"content": 1.0, "style": 0.75}.get(role),
                }
            )
        rows.append({"metric": "val_loss", "encoding_size": size, "mean": LOSSES[size - 1], "std": None, "data": ""})
        rows[-1] |= {"view": "all", "factor": "all", "role": "", "estimator": ""}
    return rows


LOSSES = [5.0, 3.0, 1.2, 1.1, 1.05, 1.0]


def _panels(figure: Figure) -> dict[tuple[str, str], Axes]:
    """By view and metric."""
    found = {}
    for column in figure.subfigs:
        for axis in column.axes:
            found[column.axes[0].get_title().split()[0], axis.get_ylabel().split()[0]] = axis
    return found


def test_ablation_has_image_left_and_text_right_content_bold_and_style_italic() -> None:
    figure = ablation_figure(_rows())
    left, right = figure.subfigs
    assert left.axes[0].get_title().startswith("image") and right.axes[0].get_title().startswith("text")
    texts = {text.get_text(): text for text in left.legends[0].get_texts()}
    assert list(texts) == ["object shape", "object color", "spotlight pos", "chance", "bound (best from content)"]
    assert texts["object shape"].get_fontweight() == "bold"
    assert texts["object color"].get_fontstyle() == "italic"
    assert texts["spotlight pos"].get_fontstyle() == "normal" and texts["spotlight pos"].get_fontweight() == "normal"


def test_ablation_has_r2_and_accuracy_on_axes_of_their_own_with_bands_chance_and_bound() -> None:
    panels = _panels(ablation_figure(_rows()))
    assert list(panels) == [("image", "R²"), ("image", "accuracy"), ("text", "accuracy")]
    numbers, labels = panels["image", "R²"], panels["image", "accuracy"]
    factors = [line for line in numbers.get_lines() if len(line.get_xdata()) == 6]
    assert len(factors) == 2  # colour and spotlight
    np.testing.assert_allclose(factors[0].get_ydata(), 0.1 * np.arange(1, 7))
    band = numbers.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == pytest.approx(0.08) and band[:, 1].max() == pytest.approx(0.62)
    (shape,) = (line for line in labels.get_lines() if len(line.get_xdata()) == 6)
    dotted = [line for line in labels.get_lines() if line.get_linestyle() == ":"]
    assert [line.get_ydata()[0] for line in dotted] == [0.25] and dotted[0].get_color() == shape.get_color()
    bounds = [line.get_ydata()[0] for line in numbers.get_lines() if line.get_marker() == "<"]
    assert bounds == [0.75]  # of the style; the spotlight has none


def test_what_is_cut_off_is_marked_with_its_value_and_nothing_above_is_cut() -> None:
    rows = _rows()
    for row in rows:
        if row["factor"] == "image.object_color" and row["encoding_size"] == 2:
            row["mean"] = -1.7
        if row["factor"] == "image.spotlight_pos" and row["encoding_size"] == 6:
            row["mean"], row["std"] = 0.99, 0.2
    axis = _panels(ablation_figure(rows))["image", "R²"]
    low, high = axis.get_ylim()
    assert low == -0.3 and high > 1.19
    (mark,) = (line for line in axis.get_lines() if line.get_marker() == "v" and len(line.get_xdata()) == 1)
    assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (2, -0.3)
    assert [text.get_text() for text in axis.texts] == ["-1.7"]


@pytest.mark.parametrize("n", [1, 7, 8, 21, 40])
def test_no_two_lines_have_one_colour(n: int) -> None:
    assert len({tuple(np.round(to_rgb(look["color"]), 3)) for look in line_looks(n)}) == n


def test_scores_over_steps() -> None:
    rows = [{**row, "step": 100 * row["encoding_size"], "encoding_size": 4} for row in _rows()]
    panels = _panels(steps_figure(rows))
    line = panels["text", "accuracy"].get_lines()[0]
    np.testing.assert_array_equal(line.get_xdata(), 100 * np.arange(1, 7))
    assert panels["text", "accuracy"].get_xlabel() == "step"


def test_elbow_is_where_the_loss_stops_falling() -> None:
    figure, elbow = elbow_figure(_rows())
    assert elbow == 3
    (axis,) = figure.axes
    assert axis.get_legend().get_texts()[0].get_text() == "elbow at 3 (Kneedle)"
    assert axis.get_lines()[1].get_xdata()[0] == 3


def test_no_elbow_in_a_straight_line_or_two_points() -> None:
    assert find_elbow([1, 2], [3.0, 1.0]) is None
    assert find_elbow([1, 2, 3, 4], [4.0, 3.0, 2.0, 1.0]) is None
    with pytest.raises(M3diError, match="no run has a validation loss"):
        elbow_figure([])


def test_heat_map_shows_every_score_with_chance_and_bound() -> None:
    figure = heat_map(_rows())
    image, text, bars = figure.subfigs
    numbers, labels = image.axes
    assert (numbers.get_title(), labels.get_title(), text.axes[0].get_title()) == (
        *("image: R²", "image: accuracy"),
        "text: accuracy",
    )
    assert [label.get_text() for label in numbers.get_yticklabels()] == ["object color", "spotlight pos"]
    assert labels.get_yticklabels()[0].get_fontweight() == "bold"
    assert numbers.get_yticklabels()[0].get_fontstyle() == "italic"
    np.testing.assert_allclose(numbers.images[0].get_array()[0], [*(0.1 * np.arange(1, 7)), 0.0, 0.75])
    assert [label.get_text() for label in numbers.get_xticklabels()[-2:]] == ["chance", "bound"]
    assert [each.get_text() for each in numbers.texts][:8] == [".10", ".20", ".30", ".40", ".50", ".60", ".00", ".75"]
    assert len(numbers.texts) == 15  # the spotlight has no bound
    assert [axis.get_ylabel() for axis in bars.axes] == ["R² (kernel ridge)", "accuracy (mlp)"]


@pytest.mark.slow
def test_scores_below_zero_are_told_by_the_arrow_of_the_colour_bar_and_by_their_number() -> None:
    rows = _rows()
    bars = heat_map(rows).subfigs[-1]
    assert [axis._colorbar.extend for axis in bars.axes] == ["neither", "neither"]
    rows[1]["mean"] = -12.04  # the colour
    figure = heat_map(rows)
    assert [axis._colorbar.extend for axis in figure.subfigs[-1].axes] == ["min", "neither"]
    assert "-12.0" in [each.get_text() for each in figure.subfigs[0].axes[0].texts]


def test_loss_curves_and_validation_points_are_in_the_legend() -> None:
    steps = np.arange(1.0, 101.0)
    val = np.full(100, np.nan)
    val[49] = 1.5
    figure = loss_figure({"a": {"step": steps, "loss": 1 / steps, "val_loss": val}})
    axis = figure.axes[0]
    line, dots = axis.get_lines()
    assert line.get_ydata()[0] == pytest.approx((1 + 1 / 2) / 2)
    assert (dots.get_xdata()[0], dots.get_ydata()[0]) == (50, 1.5)
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["training", "validation", "a"]
    without = loss_figure({"a": {"step": steps, "loss": 1 / steps, "val_loss": np.full(100, np.nan)}})
    assert [text.get_text() for text in without.axes[0].get_legend().get_texts()] == ["training", "a"]
    small = loss_figure({"a": {"step": steps, "loss": 1 / steps, "val_loss": val}}, {"a": 8})
    assert small.axes[0].get_legend().get_texts()[-1].get_text() == "a (validation in batches of 8)"
    many = loss_figure({str(k): {"step": steps, "loss": k / steps, "val_loss": val} for k in range(12)})
    assert len({to_rgb(line.get_color()) for line in many.axes[0].get_lines()}) == 12
    with pytest.raises(M3diError, match="no run has metrics"):
        loss_figure({})


def test_runs_whose_validation_loss_has_other_batches_are_known(tmp_path: Path) -> None:
    for name, size in (("same", 64), ("smaller", 8), ("none", None)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps({"config": {"batch_size": 64}}))
        (tmp_path / name / "summary.json").write_text(json.dumps({"val_batch_size": size}))
    assert figures._val_batch_sizes(tmp_path, ["same", "smaller", "none", "unfinished"]) == {"smaller": 8}
    (tmp_path / "smaller" / "metrics.csv").touch()
    assert figures._val_batch_sizes(tmp_path / "smaller", ["smaller"]) == {"smaller": 8}


def test_scores_of_another_estimator_are_asked_for() -> None:
    rows = [row for row in _rows() if row["metric"] == "val_loss"]
    with pytest.raises(M3diError, match="no scores to draw"):
        heat_map(rows)
    for estimators, known in ((Estimators(labels="logistic"), "mlp"), (Estimators(numbers="linear"), "kernel_ridge")):
        with pytest.raises(M3diError, match=rf"half of the scores(?s:.)*{known}(?s:.)*--classifier"):
            heat_map(_rows(), estimators)
    numbers = [row for row in _rows() if row["metric"] == "r2"]
    heat_map(numbers, Estimators(labels="logistic"))  # there are no labels to miss


def _sweep(folder: Path) -> Path:
    """The table and metrics of a sweep over three sizes and two seeds."""
    z = np.zeros((20, 3))
    labels = np.zeros(20, dtype=np.int64)
    tables = []
    for size in (1, 2, 3):
        for seed in (0, 1):
            run = folder / f"encoding_size={size},seed={seed}"
            run.mkdir(parents=True)
            (run / "metrics.csv").write_text("step,loss,val_loss,lr\n1,3.0,,0.1\n2,2.0,2.5,0.1\n")
            factor = FactorValues("image", "object_shape", "content", "label", labels, labels)
            attributes = {"encoding_size": size, "seed": seed}
            encoded = Encoded(run.name, {"image": (z, z)}, {"image": (factor,)}, attributes=attributes)
            scores = [Score("image", "image.object_shape", "label", "content", "mlp", "accuracy", 0.3 * size)]
            scores.append(Score("all", "all", "", "", "", "val_loss", 3.0 / size))
            tables.append(to_table(encoded, scores))
    write_results(folder / "evaluation.parquet", gather(tables))
    return folder


@pytest.mark.slow
def test_report_of_a_sweep_is_png_and_pdf_for_print(tmp_path: Path) -> None:
    files = save_report(_sweep(tmp_path / "sweep"), tmp_path / "figures")
    names = {"heat-map", "ablation", "validation-loss", "loss"}
    assert {path.name for path in files} == {f"{name}.{ending}" for name in names for ending in ("png", "pdf")}
    with Image.open(tmp_path / "figures" / "ablation.png") as image:
        assert image.size[0] == pytest.approx(5.5 * 300, abs=2)
    assert (tmp_path / "figures" / "ablation.pdf").read_bytes().startswith(b"%PDF")
    first = (tmp_path / "figures" / "heat-map.pdf").read_bytes()
    save_report(tmp_path / "sweep", tmp_path / "figures")
    assert (tmp_path / "figures" / "heat-map.pdf").read_bytes() == first


@pytest.mark.slow
def test_another_setting_has_figures_of_its_own(tmp_path: Path) -> None:
    whole = _sweep(tmp_path / "sweep")
    table = read_results(whole / "evaluation.parquet")
    tables = [with_columns(table, {"lr": lr}) for lr in (1e-3, 1e-2)]
    write_results(whole / "evaluation.parquet", gather(tables))
    files = {path.relative_to(tmp_path / "figures").as_posix() for path in save_report(whole, tmp_path / "figures")}
    assert {"lr-0.001/heat-map.png", "lr-0.01/heat-map.png", "lr-0.01/ablation.pdf", "loss.png"} <= files
    assert "heat-map.png" not in files


def test_views_of_unequal_sizes_are_no_ablation(tmp_path: Path) -> None:
    z, labels = {"image": np.zeros((20, 4)), "text": np.zeros((20, 8))}, np.zeros(20, dtype=np.int64)
    factors = {view: (FactorValues(view, "shape", "content", "label", labels, labels),) for view in z}
    encoded = Encoded("mine", {view: (each, each) for view, each in z.items()}, factors)
    scores = [Score(view, f"{view}.shape", "label", "content", "mlp", "accuracy", 0.5) for view in z]
    table = to_table(encoded, scores)
    assert table["encoding_size"].to_pylist() == [4, 8]
    write_results(tmp_path / "mine.parquet", table)
    files = save_report(tmp_path / "mine.parquet", tmp_path / "figures")
    assert {path.name for path in files} == {"heat-map.png", "heat-map.pdf"}


def test_report_of_nothing_and_damaged_metrics(tmp_path: Path) -> None:
    with pytest.raises(M3diError, match="nothing has been measured yet"):
        save_report(tmp_path, tmp_path / "figures")
    (tmp_path / "metrics.csv").write_text("step,loss\n1,three\n")
    with pytest.raises(M3diError, match="cannot be read"):
        read_curves(tmp_path)


def test_figures_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "figures").write_text("a file")
    with pytest.raises(M3diError, match="the figure cannot be written"):
        save_report(_sweep(tmp_path / "sweep"), tmp_path / "figures")
