"""Expressions give what NumPy gives; whatever is none is refused with one message."""

from __future__ import annotations

import numpy as np
import pytest

from m3di.errors import UsageError
from m3di.latents.expressions import CONDITION, NUMBER, Side, UndefinedError, Wording, parsed
from m3di.latents.functions import FUNCTIONS, wrapped

N = 5
COLUMNS = {
    "x": np.linspace(-1.0, 1.0, N),
    "y": np.array([0.0, 1.0, 2.0, 3.0, 4.0]),
    "x@-1": np.full(N, 7.0),
    "view.x_rad": np.linspace(-4.0, 4.0, N),
}
LABELS = ("cow", "hare")
COLUMNS_OF_LABELS = {
    "shape": ([0, 1, 0, 1, 1], LABELS),
    "again": ([0, 0, 1, 1, 1], LABELS),
    "other": ([0, 1, 2, 0, 1], ("hare", "horse", "cow")),  # hare, horse, cow, hare, horse
    "shape_name": (["cow", "hare", "cow", "hare", "hare"], LABELS),
    "other_name": (["hare", "horse", "cow", "hare", None], ("hare", "horse", "cow")),
    "place": ([0, 1, 0, 1, 1], ("left", "right")),
    "digit": ([0, 1, 2, 1, 0], ("1", "2", "x")),
    "count": ([0, 1, 2, 1, 0], ("0", "1", "2")),
}
X, Y, V = COLUMNS["x"], COLUMNS["y"], COLUMNS["view.x_rad"]


def lookup(name: str) -> Side:
    if name in COLUMNS_OF_LABELS:
        values, names = COLUMNS_OF_LABELS[name]
        return Side(name, np.array(values, dtype=object if "_name" in name else np.int64), names)
    if name not in COLUMNS:
        raise UsageError(f"no column {name}")
    return Side(name, COLUMNS[name])


NUMBERS = {
    "1": np.ones(N),
    "-x": -X,
    "- sin(view.x_rad) / 2": -np.sin(V) / 2,
    "x + y * 2 - 1": X + Y * 2 - 1,
    "(x + y) * 2 ** y": (X + Y) * 2**Y,
    "7 // 2 + y % 2": 3 + Y % 2,
    "2*x@-1 + x": 14 + X,
    "atan2(x, y) + cos(pi * x)": np.arctan2(X, Y) + np.cos(np.pi * X),
    "min(x, y, 0.2)": np.minimum(np.minimum(X, Y), 0.2),
    "max(x, 0) + abs(x)": np.maximum(X, 0) + np.abs(X),
    "clip(y, 1, 3)": np.clip(Y, 1, 3),
    "wrap(view.x_rad)": np.mod(V + np.pi, 2 * np.pi) - np.pi,
    "wrap(y, 0, 2)": np.mod(Y, 2),
    "shape * 2": np.array([0, 2, 0, 2, 2.0]),
    "1e3 + 10 ** 2": np.full(N, 1100.0),
}


@pytest.mark.parametrize("text", NUMBERS)
def test_numbers(text: str) -> None:
    np.testing.assert_array_equal(parsed(text, NUMBER).number(lookup, N, strict=True), NUMBERS[text])


CONDITIONS = {
    "x < 0": X < 0,
    "0 < x <= 1 and not shape == 'cow'": (X > 0) & np.array([0, 1, 0, 1, 1], bool),
    'shape in ["hare"] or y == 0': np.array([1, 1, 0, 1, 1], bool),
    "shape not in ['hare', 'cow']": np.zeros(N, bool),
    "abs(x - y) < 0.5 * 3": np.abs(X - Y) < 1.5,
    "'a@-1' == 'a@-1'": np.ones(N, bool),
    # Labels, by their names.
    "shape == again": np.array([1, 0, 0, 1, 1], bool),
    "shape == other": np.array([0, 0, 1, 1, 0], bool),
    "other != shape": np.array([1, 1, 0, 0, 1], bool),
    "shape in [other, again]": np.array([1, 0, 1, 1, 1], bool),
    "shape not in [other]": np.array([1, 1, 0, 0, 1], bool),
    "shape == other == 'hare'": np.array([0, 0, 0, 1, 0], bool),
    "shape_name == other": np.array([0, 0, 1, 1, 0], bool),
    "shape == shape_name": np.ones(N, bool),
    "shape_name == other_name": np.array([0, 0, 1, 1, 0], bool),
    "shape_name != other_name": np.array([1, 1, 0, 0, 1], bool),
    "shape - place == 0": np.ones(N, bool),
    "shape < 1": np.array([1, 0, 1, 0, 0], bool),
    "count == 1 and count == '1'": np.array([0, 1, 0, 1, 0], bool),
    "digit == '1'": np.array([1, 0, 0, 0, 1], bool),
    "digit + 0 == 1": np.array([0, 1, 0, 1, 0], bool),
}


@pytest.mark.parametrize("text", CONDITIONS)
def test_conditions(text: str) -> None:
    np.testing.assert_array_equal(parsed(text, CONDITION).condition(lookup, N), CONDITIONS[text])


def test_names_are_those_of_the_text_in_their_order() -> None:
    assert parsed("y + sin(view.x_rad) * x@-12 - y + pi", NUMBER).names == ("y", "view.x_rad", "x@-12")


WRONG = {
    "": "no expression",
    "x +": "no expression",
    "x = 1": r"no expression(?s:.)*`==` compares",
    "x < 1": "no expression",
    "x if y else 1": "no expression",
    "x and y": "no expression",
    "sine(x)": r"no expression(?s:.)*did you mean 'sin'",
    "exec('1')": r"no expression(?s:.)*the functions are abs",
    "sin(x, y)": r"sin takes 1 value$",
    "clip(x)": "clip takes 3 values",
    "wrap(x, 1)": "wrap takes 1 or 3 values",
    "min(x)": "min takes 2 or more values",
    "sin(x=1)": "sin takes 1 value",
    "x[0]": r"no expression(?s:.)*NAME@-1",
    "x[-1]": r"no expression(?s:.)*NAME@-1",
    "x@-0": "no expression",
    "x@1": "no expression",
    "x@-y": "no expression",
    "'cow' + 1": "a text cannot be computed with",
    "shape + 'cow'": "a text cannot be computed with",
    "z": "no column z",
    "True": "no expression",
    "1j": "no expression",
    "None": "no expression",
    "lambda: 1": "no expression",
    "[x for x in y]": "no expression",
    "().__class__": "no expression|no column",
    "x.__class__": "no column",
    "f'{x}'": "no expression",
    "x & y": r"no expression(?s:.)*write `and`, `or`, `not`",
    "x\0": "no expression",
    "x; y": "no expression",
    "__import__('os').system('false')": "no expression",
    "(" * 150 + "x" + ")" * 150 + "+" + "-" * 120 + "x": "no expression",
    "x+" * 300 + "x": r"too many levels(?s:.)*at most 100",
    "x" * 2001: r"2001 characters(?s:.)*at most 2000",
    "9" * 1999: "no expression|",
}


@pytest.mark.parametrize("text", WRONG, ids=lambda text: text[:30])
def test_what_is_no_expression_is_refused(text: str) -> None:
    if text.startswith("999"):  # a number that float64 does not hold is infinite
        with pytest.raises(UndefinedError):
            parsed(f"{text[:400]} * 1", NUMBER).number(lookup, N, strict=True)
        return
    with pytest.raises(UsageError, match=WRONG[text]):
        parsed(text, NUMBER).number(lookup, N)


@pytest.mark.parametrize("text", ["x", "1 + 1", "x in y", "x is 1", "shape < 'cow'", "shape == 1 and x", "x == 'a'"])
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no condition"):
        parsed(text, CONDITION).condition(lookup, N)


def test_a_label_that_there_is_not() -> None:
    with pytest.raises(UsageError, match=r"no value of shape is called 'cwo'(?s:.)*did you mean 'cow'"):
        parsed("shape == 'cwo'", CONDITION).condition(lookup, N)


LABELS_REFUSED = {
    "shape == place": r"no label of shape is one of place: labels compare by their names(?s:.)*got: +place: left, right"
    r"(?s:.)*expected: +labels of shape: cow, hare(?s:.)*next: +for their numbers, write shape - place == 0",
    "shape_name != place": r"no label of shape_name is one of place(?s:.)*next: +compare the columns with the numbers",
    "shape < again": r"labels have no order(?s:.)*got: +shape < again(?s:.)*write shape - again < 0",
    "0 < x and shape >= other": r"labels have no order(?s:.)*got: +shape >= other",
    "digit == 1": r"1 is the name of a label of digit whose number is 0: which is meant(?s:.)*got: +digit beside 1"
    r"(?s:.)*expected: +0: '1', 1: '2', 2: 'x'(?s:.)*next: +for the name, write \"1\" in quotes; for the number, digit",
    "2 > digit": r"2 is the name of a label of digit whose number is 1",
    "digit in [0, 2]": r"2 is the name of a label of digit whose number is 1",
}


@pytest.mark.parametrize("text", LABELS_REFUSED)
def test_labels_that_could_be_meant_otherwise_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=LABELS_REFUSED[text]):
        parsed(text, CONDITION).condition(lookup, N)


@pytest.mark.parametrize(
    ("text", "row", "part"),
    [("1 / x", 2, "1 / x"), ("y + 0 / y", 0, "0 / y"), ("min(x, 1 / x)", 2, "1 / x"), ("x ** 0.5", 0, r"x \*\* 0.5")],
)
def test_what_is_undefined_is_told_with_its_row(text: str, row: int, part: str) -> None:
    with pytest.raises(UndefinedError, match=part) as error:
        parsed(text, NUMBER).number(lookup, N, strict=True)
    assert error.value.row == row
    assert np.isfinite(np.delete(parsed(text, NUMBER).number(lookup, N), row)).any()  # as in NumPy, where not strict


def test_wrapped_never_reaches_the_upper_end() -> None:
    x = np.concatenate([np.linspace(-50, 50, 1001), [-1e-17, np.pi, -np.pi, np.nextafter(0, -1)]])
    for low, high in ((-np.pi, np.pi), (0.0, 2 * np.pi), (-1.0, 1.0)):
        turned = wrapped(x, low, high)
        assert (turned >= low).all() and (turned < high).all()
        np.testing.assert_allclose(np.cos((turned - x) * 2 * np.pi / (high - low)), 1.0, atol=1e-12)


def test_every_function_is_in_the_table_of_the_page() -> None:
    from pathlib import Path

    page = (Path(__file__).parents[2] / "docs" / "processes.md").read_text(encoding="utf-8")
    assert all(f"`{name}" in page for name in FUNCTIONS)


@pytest.mark.parametrize(
    "text",
    ["clip(x, 1, 0)", "1 + wrap(x, pi, -pi)", "wrap(x, 1, 1)", "clip(x, 2 * pi, 3 + 1 / 2)", "abs(clip(x, 0, -1))"],
)
@pytest.mark.parametrize("wording", [NUMBER, CONDITION])
def test_limits_that_are_swapped_are_refused(text: str, wording: Wording) -> None:
    with pytest.raises(
        UsageError, match=r"(clip|wrap)\(x, (?s:.)*its limits are the wrong way round: the least comes first"
    ):
        parsed(text if wording is NUMBER else f"{text} > 0", wording)


def test_limits_that_vary_give_no_value_where_they_are_swapped() -> None:
    for text, expected in (
        ("clip(9, y, 2)", np.where(Y <= 2, 2.0, np.nan)),
        ("wrap(0, y - 1, 2)", np.where(Y < 3, wrapped(0.0, Y - 1, np.maximum(Y, 2.0)), np.nan)),
    ):
        drawn = parsed(text, NUMBER).number(lookup, N)
        np.testing.assert_array_equal(np.isnan(drawn), np.isnan(expected), err_msg=text)
    assert (parsed("clip(9, y, 2)", NUMBER).number(lookup, N)[:3] == 2.0).all()
    with pytest.raises(UndefinedError, match=r"clip\(9, y, 2\) has no value") as raised:
        parsed("clip(9, y, 2)", NUMBER).number(lookup, N, strict=True)
    assert raised.value.row == 3
    assert parsed("clip(x, 1, 1)", NUMBER).number(lookup, N).tolist() == [1.0] * N
