"""Tables beside the paper's numbers, and figures."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from m3di.report.simulation.curves import save_figure
from m3di.report.simulation.tables import Finished, markdown_table, save_table, summarise
from tests.conftest import slow

CAUSAL = {"setting": "multimodal", "style_change_prob": 0.75, "statistical": False, "causal": True}


def results(loss=1.5, metric="r2", **values):
    """Results with the same score in both modalities, less 0.1 in the second."""
    rows = [
        {
            "data": data,
            "modality": modality,
            "block": block,
            "estimator": estimator,
            "metric": metric,
            "value": value - 0.1 * (modality - 1) - (0.5 if estimator == "linear" else 0.0),
            "chance": 0.25,
        }
        for data in ("observed", "permuted content")
        for block, value in values.items()
        for modality in (1, 2)
        for estimator in ("kernel ridge", "linear")
    ]
    return {"loss": loss, "rows": rows}


def test_rows_are_means_over_modalities_and_seeds_beside_the_paper():
    seeds = [Finished(CAUSAL, results(content=value, style=0.5, modality=0.05)) for value in (0.95, 1.05)]
    (row,) = summarise("table1", seeds)
    cell = row.cells["content"]
    assert cell.values == pytest.approx((0.9, 1.0))
    assert cell.mean == pytest.approx(0.95)
    assert cell.deviation == pytest.approx(0.1 / np.sqrt(2))
    assert cell.paper == 0.98
    assert str(cell) == "0.95 ± 0.07 (paper 0.98, -0.03)"
    assert row.cells["style"].paper == 0.87
    assert str(row.cells["loss"]) == "1.50 ± 0.00"


def test_figure8_takes_the_intervention():
    found = results(content=0.15, style=0.1, modality=0.1)
    for row in found["rows"]:
        if row["data"] == "observed":
            row["value"] = 99.0
    extra = [{**row, "block": "content'"} for row in found["rows"] if row["block"] == "content"]
    found["rows"] += extra
    (row,) = summarise("figure8", [Finished(CAUSAL, found)])
    assert row.cells["content"].mean == pytest.approx(0.1)
    assert (row.cells["content"].paper, row.cells["content'"].paper, row.cells["style"].paper) == (0.01, 0.98, 0.03)


def test_settings_that_the_paper_does_not_have_stand_alone():
    label = {"discrete": "content", "n_classes": 4}
    (row,) = summarise("figure5", [Finished(label, results(content=0.9, metric="accuracy"))])
    assert str(row.cells["content"]) == "0.85 (accuracy, chance 0.25)"
    assert row.cells["content"].paper is None


def test_scores_at_their_own_chance_are_at_chance():
    """Changed style has other shares of its classes than style, and each seed has samples of its own."""
    chances = {0: (0.10, 0.162), 1: (0.11, 0.158)}
    seeds = [results(style=0.0, metric="accuracy") for _ in chances]
    for number, found in enumerate(seeds):
        for row in found["rows"]:
            row["value"] = row["chance"] = chances[number][row["modality"] - 1]
    (row,) = summarise("figure5", [Finished({"discrete": "style", "n_classes": 10}, found) for found in seeds])
    cell = row.cells["style"]
    assert cell.chance == pytest.approx(cell.mean) == pytest.approx(0.1325)
    assert str(cell) == "0.13 ± 0.00 (accuracy, chance 0.13)"


def test_tables_on_disk(tmp_path):
    other = {**CAUSAL, "causal": False}
    rows = summarise(
        "table1", [Finished(CAUSAL, results(content=1.0, style=0.9)), Finished(other, results(content=1.0, style=0.05))]
    )
    save_table(rows, tmp_path / "table1-0.1", title="table1")  # a scale may be a fraction
    text = (tmp_path / "table1-0.1.md").read_text()
    assert text.startswith(
        "# table1\n\n| setting | style_change_prob | statistical | causal | content | style | loss |"
    )
    assert "| multimodal | 0.75 | no | yes | 0.95 (paper 0.98, -0.03) | 0.85 (paper 0.87, -0.02) | 1.50 |" in text
    assert markdown_table(rows) in text
    with (tmp_path / "table1-0.1.csv").open() as file:
        tidy = list(csv.DictReader(file))
    assert len(tidy) == 6
    assert tidy[0]["column"] == "content" and float(tidy[0]["difference"]) == pytest.approx(-0.03)
    assert tidy[2]["column"] == "loss" and tidy[2]["paper"] == ""
    assert {(row["n_seeds"], row["deviation"]) for row in tidy} == {("1", "")}  # one seed has none
    seeds = summarise("table1", [Finished(CAUSAL, results(content=each)) for each in (0.8, 1.0)])
    save_table(seeds, tmp_path / "seeds", title="table1")
    with (tmp_path / "seeds.csv").open() as file:
        found = {row["column"]: (row["n_seeds"], row["deviation"]) for row in csv.DictReader(file)}
    assert found == {"content": ("2", "0.141421"), "loss": ("2", "0")}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["figure5", *slow("table1", "figure8", "figure6", "figure7a")])
def test_figures(tmp_path, recipe):
    labels = {
        "figure5": [{"discrete": block, "n_classes": k} for block in ("content", "style") for k in (2, 5)],
        "figure6": [{"varied": block, "size": n} for block in ("content", "style") for n in (2, 4)],
        "figure7a": [{"encoding_size": n} for n in range(1, 6)],
    }.get(recipe, [CAUSAL, {**CAUSAL, "causal": False}])
    metric = "accuracy" if recipe == "figure5" else "r2"
    finished = [
        Finished(label, results(loss=4 / (k + 1), metric=metric, content=0.9, style=0.4, modality=0.1))
        for k, label in enumerate(labels)
        for _ in range(2)
    ]
    save_figure(recipe, summarise(recipe, finished), tmp_path / f"{recipe}-0.05")
    with Image.open(tmp_path / f"{recipe}-0.05.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert pixels.shape[0] > 400 and (pixels == 255).mean() < 0.98
    assert (tmp_path / f"{recipe}-0.05.pdf").read_bytes().startswith(b"%PDF")


def drawn(recipe, finished, monkeypatch, tmp_path):
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_args, **_more: figures.append(figure))
    save_figure(recipe, summarise(recipe, finished), tmp_path / recipe)
    return figures[0]


def test_r2_and_accuracy_have_axes_of_their_own_and_chance_is_drawn(tmp_path, monkeypatch):
    labels = [{"discrete": block, "n_classes": k} for block in ("content", "style") for k in (2, 5)]
    finished = []
    for label in labels:
        found = results(content=0.9, style=0.4, modality=0.1)
        for row in found["rows"]:
            is_label = row["block"] == label["discrete"]
            row["metric"], row["chance"] = ("accuracy", 1 / label["n_classes"]) if is_label else ("r2", 0.0)
        finished.append(Finished(label, found))
    figure = drawn("figure5", finished, monkeypatch, tmp_path)
    assert [axis.get_ylabel() for axis in figure.axes if axis.get_ylabel()] == [
        *(r"$R^2$ (kernel ridge)", "accuracy (kernel ridge)")
    ]
    lines = [[list(line.get_ydata()) for line in axis.get_lines()] for axis in figure.axes]
    assert lines[2] == [pytest.approx([0.85, 0.85]), [0.5, 0.2]]  # discrete content: accuracy, chance
    assert [0.0, 0.0] in lines[0] and len(lines[0]) == 4  # style and modality, each with its chance
    assert "chance" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_bar_that_is_cut_off_is_marked(tmp_path, monkeypatch):
    finished = [Finished(CAUSAL, results(content=0.9, style=-0.95))]
    (axis,) = drawn("table1", finished, monkeypatch, tmp_path).axes
    assert axis.get_ylim()[0] == -0.3
    assert [text.get_text() for text in axis.texts] == ["-1"]
