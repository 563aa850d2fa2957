"""Figures of results: what they show, how labels are set, where the elbow is; as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from m3di.errors import M3diError
from m3di.learn.evaluation import Encoded, FactorValues, Score, gather, to_table, write_results
from m3di.report.ablation import ablation_figure
from m3di.report.figures import read_curves, save_report
from m3di.report.heat_map import heat_map
from m3di.report.loss_curves import elbow_figure, find_elbow, loss_figure

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
                }
            )
        rows.append({"metric": "val_loss", "encoding_size": size, "mean": LOSSES[size - 1], "std": None, "data": ""})
        rows[-1] |= {"view": "all", "factor": "all", "role": "", "estimator": ""}
    return rows


LOSSES = [5.0, 3.0, 1.2, 1.1, 1.05, 1.0]


def test_ablation_has_image_left_and_text_right_content_bold_and_style_italic() -> None:
    figure = ablation_figure(_rows())
    left, right = figure.axes
    assert "image" in left.get_title() and "text" in right.get_title()
    texts = {text.get_text(): text for text in left.get_legend().get_texts()}
    assert list(texts) == ["object shape", "object color", "spotlight pos"]
    assert texts["object shape"].get_fontweight() == "bold"
    assert texts["object color"].get_fontstyle() == "italic"
    assert texts["spotlight pos"].get_fontstyle() == "normal" and texts["spotlight pos"].get_fontweight() == "normal"
    line = left.get_lines()[0]
    np.testing.assert_allclose(line.get_ydata(), 0.1 * np.arange(1, 7))
    band = left.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == pytest.approx(0.08) and band[:, 1].max() == pytest.approx(0.62)


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


def test_heat_map_shows_every_score() -> None:
    figure = heat_map(_rows())
    image, text = figure.axes[:2]
    assert [label.get_text() for label in image.get_yticklabels()] == ["object shape", "object color", "spotlight pos"]
    assert image.get_yticklabels()[0].get_fontweight() == "bold"
    assert image.get_yticklabels()[1].get_fontstyle() == "italic"
    np.testing.assert_allclose(image.images[0].get_array()[1], 0.1 * np.arange(1, 7))
    assert len(text.texts) == 12


def test_loss_curves() -> None:
    steps = np.arange(1.0, 101.0)
    val = np.full(100, np.nan)
    val[49] = 1.5
    figure = loss_figure({"a": {"step": steps, "loss": 1 / steps, "val_loss": val}})
    line, dots = figure.axes[0].get_lines()
    assert line.get_ydata()[0] == pytest.approx((1 + 1 / 2) / 2)
    assert (dots.get_xdata()[0], dots.get_ydata()[0]) == (50, 1.5)
    with pytest.raises(M3diError, match="no run has metrics"):
        loss_figure({})


def test_scores_of_another_estimator_are_asked_for() -> None:
    rows = [row for row in _rows() if row["metric"] == "val_loss"]
    with pytest.raises(M3diError, match="no scores to draw"):
        heat_map(rows)


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
