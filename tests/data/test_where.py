"""Conditions choose what Python would choose; every mistake in one is a message."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
from click.testing import CliRunner

from m3di import Multimodal3DIdent
from m3di.cli.main import cli
from m3di.data import subset
from m3di.data.load.where import mask_of
from m3di.errors import UsageError

Row = dict[str, Any]


@pytest.fixture(scope="module")
def dataset(fake_dataset: Path) -> Multimodal3DIdent:
    return Multimodal3DIdent(fake_dataset)


RIGHT: list[tuple[str, Callable[[Row], bool]]] = [
    ("image.object_shape == 'cow'", lambda row: row["image.object_shape_name"] == "cow"),
    ("'cow' == image.object_shape", lambda row: row["image.object_shape_name"] == "cow"),
    ("image.object_shape != 'cow'", lambda row: row["image.object_shape_name"] != "cow"),
    ("image.object_shape_name == 'cow'", lambda row: row["image.object_shape_name"] == "cow"),
    (
        "image.object_shape in ['cow', 'hare', 0]",
        lambda row: row["image.object_shape"] == 0 or row["c"] in ("cow", "hare"),
    ),
    ("image.object_shape not in ('cow', 'hare')", lambda row: row["c"] not in ("cow", "hare")),
    ("text.text_color == 'xkcd:robin\\'s egg'", lambda row: row["text.text_color_name"] == "xkcd:robin's egg"),
    (
        "abs(image.object_color - image.background_color) < 0.3",
        lambda row: abs(row["image.object_color"] - row["image.background_color"]) < 0.3,
    ),
    ("image.object_shape / 2 == 1.5", lambda row: row["image.object_shape"] == 3),  # not cut off to 1
    ("image.object_shape % 2 == 1", lambda row: row["image.object_shape"] % 2 == 1),
    ("image.object_shape // 2 == 1", lambda row: row["image.object_shape"] // 2 == 1),
    ("-image.object_shape > -2 and +image.object_shape >= 0", lambda row: row["image.object_shape"] < 2),
    ("image.object_color ** 2 + 1 <= 1.25", lambda row: row["image.object_color"] ** 2 + 1 <= 1.25),
    (
        "max(image.object_color, image.spotlight_pos) < 0.5 or min(image.object_color, 0.5) * 2 < 0.1",
        lambda row: (
            max(row["image.object_color"], row["image.spotlight_pos"]) < 0.5 or row["image.object_color"] < 0.05
        ),
    ),
    ("1 <= image.object_shape < 3", lambda row: 1 <= row["image.object_shape"] < 3),
    ("0 < image.object_color - 0.2 < 0.5", lambda row: 0 < row["image.object_color"] - 0.2 < 0.5),
    ("key < '000000007'", lambda row: row["key"] < "000000007"),
    ("image.object_shape == text.object_shape", lambda row: True),
    ("image.object_color / 0 > 1", lambda row: row["image.object_color"] > 0),
    ("image.object_shape % 0 == 0", lambda row: False),
    ("image.object_shape < 10 ** 400", lambda row: True),
    ("image.object_shape == 99999999999999999999", lambda row: False),
    ("image.object_shape == -1", lambda row: False),
    ("1 == 1", lambda row: True),
    (
        "  not (image.object_shape == 'cow' or key == '000000003')  ",
        lambda row: row["c"] != "cow" and row["key"] != "000000003",
    ),
]


@pytest.mark.parametrize(("condition", "expected"), RIGHT)
def test_what_is_chosen(
    fake_dataset: Path, dataset: Multimodal3DIdent, condition: str, expected: Callable[[Row], bool]
) -> None:
    rows = [{**row, "c": row["image.object_shape_name"]} for row in dataset.table.to_pylist()]
    chosen = [index for index, row in enumerate(rows) if expected(row)]
    mask = mask_of(condition, dataset.table, dataset.spec)
    assert np.flatnonzero(mask).tolist() == chosen
    some = Multimodal3DIdent(fake_dataset, filter=condition)
    assert [item["caption"] for item in some] == [dataset[index]["caption"] for index in chosen]


def test_large_integers_are_exact(dataset: Multimodal3DIdent) -> None:
    seeds = dataset.table["image.render_seed"].to_pylist()
    for row, seed in enumerate(seeds):
        assert mask_of(f"image.render_seed == {seed}", dataset.table)[row]


SHAPE = "image.object_shape"
WRONG: list[tuple[Any, str]] = [
    (f"{SHAPE} == 'cwo'", r"no value of image\.object_shape is called 'cwo'(?s:.)*hare(?s:.)*did you mean 'cow'\?"),
    (f"{SHAPE}_name in ['cow', 'her']", r"no value of image\.object_shape_name is called 'her'"),
    ("text.text_color == 'rd'", r"no value of text\.text_color is called 'rd'(?s:.)*, \.\.\.(?s:.)*did you mean 'red'"),
    (f"{SHAPE} < 'cow'", r"no condition(?s:.)*names have no order"),
    ("object_shape == 1", r"no column 'object_shape'(?s:.)*write image\.object_shape or text\.object_shape"),
    ("image.object_shap == 1", r"no column 'image\.object_shap'(?s:.)*did you mean 'image\.object_shape'\?"),
    (f"{SHAPE} == cow", r"no column 'cow'(?s:.)*write \"cow\", in quotes"),
    (f"{SHAPE} = 1", r"no condition(?s:.)*`==` compares"),
    (f"({SHAPE} == 1) & (key == '1')", r"no condition(?s:.)*write `and`, `or`, `not`"),
    (f"~({SHAPE} == 1)", r"no condition(?s:.)*write `and`, `or`, `not`"),
    (f"{SHAPE} == 1 | {SHAPE} == 2", r"no condition(?s:.)*write `and`, `or`, `not`"),
    ("image.object_color == 'red'", r"a text and a number"),
    ("key == 3", r"key and 3: a text and a number"),
    ("key in [3]", r"a text and a number"),
    ("key + 1 == 3", r"a text cannot be computed with"),
    ("abs(key) == 3", r"a text cannot be computed with"),
    (f"abs({SHAPE}, 1) == 3", r"abs takes 1 value"),
    (f"max({SHAPE}) == 3", r"max takes 2 or more values"),
    (f"sqrt({SHAPE}) == 3", "this is no condition"),
    (f"{SHAPE} in 3", r"after `in` comes a list"),
    (f"{SHAPE} == True", "numbers and texts compare"),
    (f"{SHAPE} == [1]", "this is no condition"),
    (f"{SHAPE} == b'1'", "this is no condition"),
    (f"{SHAPE} == f'{{1}}'", "this is no condition"),
    (SHAPE, "this is no condition"),
    (f"{SHAPE} == 1 and key", "this is no condition"),
    (f"{SHAPE} == (lambda: 1)()", "this is no condition"),
    ("__import__('os').system('false') == 0", "this is no condition"),
    ("", "this is no condition"),
    ("   ", "this is no condition"),
    (f"{SHAPE} == 1; {SHAPE} == 2", "this is no condition"),
    (f"{SHAPE} == 1\n{SHAPE} == 2", "this is no condition"),
    (f"{SHAPE} == 1\0", "this is no condition"),
    (f"{SHAPE} == 'cow", "this is no condition"),
    ("(" * 500 + "1 == 1" + ")" * 500, "this is no condition"),
    ("not " * 20_000 + "1 == 1", "this is no condition"),
    (f"{SHAPE} + " * 20_000 + "1 == 1", "this is no condition"),
    (pc.field("nope") == 1, "the expression cannot be applied"),
    (pc.field(SHAPE) + 1, "the expression cannot be applied"),
    (pc.field(SHAPE) == "cow", "the expression cannot be applied"),
    (5, r"`filter` is no condition(?s:.)*int 5"),
    ([True] * 20, r"`filter` is no condition(?s:.)*list"),
    (lambda table: table["key"], "`filter` did not give a mask"),
]


@pytest.mark.parametrize(("condition", "message"), WRONG)
def test_mistakes(fake_dataset: Path, condition: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Multimodal3DIdent(fake_dataset, filter=condition)


@pytest.mark.parametrize("condition", [f"{SHAPE} == 'cwo'", "", f"{SHAPE} = 1"])
def test_mistakes_on_the_command_line(fake_dataset: Path, tmp_path: Path, condition: str) -> None:
    arguments = ["subset", str(fake_dataset), "--out", str(tmp_path / "out"), "--where", condition]
    with pytest.raises(UsageError):
        CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert not (tmp_path / "out").exists()


def test_a_subset_by_name(fake_dataset: Path, tmp_path: Path) -> None:
    subset(fake_dataset, tmp_path / "cows", where="image.object_shape == 'cow'", splits=["train"])
    names = Multimodal3DIdent(tmp_path / "cows").table["image.object_shape_name"].to_pylist()
    assert set(names) == {"cow"}
    assert len(names) == len(Multimodal3DIdent(fake_dataset, filter="image.object_shape == 'cow'"))


def test_the_published_layout_knows_the_names_too(fake_dataset: Path, tmp_path: Path) -> None:
    from m3di.data import export

    export(fake_dataset, "upstream", tmp_path / "up")
    for path in [tmp_path / "up" / "m3di.json", *(tmp_path / "up").glob("*/m3di.parquet")]:
        path.unlink()
    theirs = Multimodal3DIdent(tmp_path / "up", filter="image.object_shape == 'cow'")
    assert theirs[:]["caption"] == Multimodal3DIdent(fake_dataset, filter="image.object_shape == 'cow'")[:]["caption"]


def test_a_dataset_says_which_samples_it_holds(fake_dataset: Path) -> None:
    whole, other = Multimodal3DIdent(fake_dataset), Multimodal3DIdent(fake_dataset, "val")
    assert (whole.selection, other.selection) == ("train", "val")
    cows = Multimodal3DIdent(fake_dataset, filter="image.object_shape == 'cow'")
    again = Multimodal3DIdent(fake_dataset, filter="'cow' == image.object_shape")
    n = len(cows)
    first, last = (
        Multimodal3DIdent(fake_dataset, filter=lambda table, at=at: np.isin(np.arange(table.num_rows), at))
        for at in (range(n), range(20 - n, 20))
    )
    assert len(first) == len(last) == n
    assert len({whole.selection, cows.selection, first.selection, last.selection}) >= 3
    assert first.selection != last.selection and again.selection == cows.selection
