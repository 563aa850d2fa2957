"""Mechanisms whose parameters vary: exact against SciPy, by label, by expression; mistakes have their place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from m3di.errors import M3diError, UsageError
from m3di.latents import (
    MECHANISMS,
    Factor,
    Varying,
    arrows,
    bounds,
    counterfactual,
    do,
    load_spec,
    parse_spec,
    register,
    sample,
    to_yaml,
)
from m3di.latents.mechanisms import Mechanism
from m3di.latents.spec import Spec
from m3di.latents.varying import Parent

N = 4000
U = (np.arange(N) + 0.5) / N
NUMBER = Factor(type="continuous", range=(-1.0, 1.0), kind="scalar", physical=(-2.0, 2.0), unit="m")
ANGLE = Factor(type="continuous", range=(0.0, 2 * np.pi), kind="angle")
REAL = Factor(type="continuous", kind="scalar")
LABEL = Factor(type="categorical", values=("a", "b", "c, d"), kind="label")
TWO = Factor(type="categorical", values=("no", "yes"), kind="label")
RANDOM = np.random.default_rng(0)
X = Parent(NUMBER, RANDOM.uniform(-1, 1, N), "x")
L = Parent(LABEL, RANDOM.integers(0, 3, N), "label")
B = Parent(TWO, RANDOM.integers(0, 2, N), "two")


def value(name: str, factor: Factor, **parameters: Any) -> np.ndarray:
    mechanism: Mechanism = MECHANISMS[name]
    return mechanism.values(U, [X, L, B], factor, parameters)


MEAN = {"label": {"a": "x / 2", "b": {"two": {"no": -0.3, "else": "sin(x_m)"}}, "c, d": 1}}
EXPECTED = np.select(
    [L.values == 0, (L.values == 1) & (B.values == 0), L.values == 1],
    [X.values / 2, np.full(N, -0.3), np.sin(2 * X.values)],
    1.0,
)


def test_normal_by_tables_and_expressions() -> None:
    std = 0.1 + np.abs(X.values)
    drawn = value("normal", NUMBER, mean=MEAN, std="0.1 + abs(x)")
    reference = stats.truncnorm.ppf(U, (-1 - EXPECTED) / std, (1 - EXPECTED) / std, EXPECTED, std)
    np.testing.assert_allclose(drawn, reference, atol=1e-7)
    np.testing.assert_allclose(value("normal", REAL, mean=MEAN, std=0.5), stats.norm.ppf(U, EXPECTED, 0.5), atol=1e-12)


def test_wrapped_normal_is_the_normal_on_a_circle() -> None:
    drawn = value("wrapped_normal", ANGLE, mean="6 + x", std=0.7)
    np.testing.assert_allclose(drawn, np.mod(6 + X.values + stats.norm.ppf(U, 0, 0.7), 2 * np.pi), atol=1e-12)


@pytest.mark.parametrize("kappa", [0.0, 0.01, 0.5, 3.0, 40.0, 700.0])
def test_von_mises_has_its_quantiles(kappa: float) -> None:
    turn = np.mod(value("von_mises", ANGLE, mean=1.0, kappa=kappa) - 1.0 + np.pi, 2 * np.pi) - np.pi
    np.testing.assert_allclose(stats.vonmises.cdf(turn, kappa), U, atol=1e-6)
    hue = Factor(type="continuous", range=(0.0, 1.0), kind="hue")
    np.testing.assert_allclose(value("von_mises", hue, mean=0.5, kappa=kappa), (turn + np.pi) / (2 * np.pi), atol=1e-9)


def test_uniform_between_expressions() -> None:
    drawn = value("uniform", NUMBER, low="x / 2 - 0.5", high="x / 2 + 0.5")
    np.testing.assert_allclose(drawn, X.values / 2 - 0.5 + U)
    np.testing.assert_allclose(value("uniform", NUMBER, low=0.5), 0.5 + U / 2)
    dice = Factor(type="integer", range=(1, 6), kind="scalar")
    least = np.where(L.values == 0, 2, 4)
    drawn = value("uniform", dice, low={"label": {"a": 2, "else": 4}})
    np.testing.assert_array_equal(drawn, least + np.floor(U * (7 - least)))


def test_bernoulli_and_categorical_have_their_probabilities() -> None:
    probability = np.where(L.values == 0, 0.2, (X.values + 1) / 2)
    drawn = value("bernoulli", TWO, probability={"label": {"a": 0.2, "else": "(x + 1) / 2"}})
    np.testing.assert_array_equal(drawn, 1 - probability <= U)
    weights = {"two": {"no": [1, 0, 3], "yes": ["x + 1", 1, "1 - x"]}}
    drawn = value("categorical", LABEL, weights=weights)
    no, first = B.values == 0, (X.values + 1) / 3
    np.testing.assert_array_equal(drawn[no], np.where(U < 0.25, 0, 2)[no])
    np.testing.assert_array_equal(drawn[~no], np.select([first > U, first + 1 / 3 > U], [0, 1], 2)[~no])


def test_function_has_no_noise() -> None:
    np.testing.assert_array_equal(value("function", NUMBER, value="clip(x_m, -1, 1)"), np.clip(2 * X.values, -1, 1))
    np.testing.assert_array_equal(value("function", TWO, value={"label": {"b": 1, "else": 0}}), L.values == 1)
    with pytest.raises(ValueError, match="`value` is a whole number"):
        value("function", TWO, value="x")


def test_copy_and_perturb_take_a_strength_by_label() -> None:
    mechanism, n_a = MECHANISMS["copy"], L.values == 0
    drawn = mechanism.values(U, [B, L], TWO, {"strength": {"label": {"a": 1, "else": 0}}})
    np.testing.assert_array_equal(drawn[n_a], B.values[n_a])
    np.testing.assert_array_equal(drawn[~n_a], (U >= 0.5)[~n_a])
    changed = MECHANISMS["perturb"].values(U, [B, L], TWO, {"probability": {"label": {"a": 0, "else": 1}}})
    np.testing.assert_array_equal(changed == B.values, n_a)


OWN = """
name: own
factors:
  object_shape: {{type: categorical, kind: label, values: [teapot, cow, hare]}}
  x: {{type: continuous, kind: position, range: [-1, 1], physical: [-2, 2], unit: m}}
  y: {{type: continuous, kind: position, range: [-1, 1], mechanism: {mechanism}}}
views:
  image:
    modality: image
    factors: {{object_shape: content, x: {{role: content, recorded: true}}, y: {{role: content, recorded: true}}}}
splits: {{train: 10}}
"""


def own(mechanism: str) -> Spec:
    return parse_spec(OWN.format(mechanism=mechanism), where="own.yaml")


RIGHT = {
    "{name: normal, mean: x_m / 4, std: 0.5}": ("x",),
    "{name: normal, mean: {object_shape: {cow: x, else: 0}}, std: 0.1 + x ** 2}": ("object_shape", "x"),
    "{name: normal, mean: {object_shape: {'cow, hare': 1, teapot: -x}}, std: 1, parents: [x, object_shape]}": (
        "x",
        "object_shape",
    ),
    "{name: uniform, low: 'min(x, 0)'}": ("x",),
    "{name: function, value: 'wrap(x + 3, -1, 1)'}": ("x",),
    "{name: copy, parents: [x], strength: {object_shape: {cow: 0, else: 1}}}": ("x", "object_shape"),
    "{name: normal, mean: 0, std: 0.5}": (),
}


@pytest.mark.parametrize("mechanism", RIGHT)
def test_parents_are_read_off_the_parameters(mechanism: str) -> None:
    spec = own(mechanism)
    assert spec.factors["y"].mechanism.parents == RIGHT[mechanism]
    assert arrows(spec, "image") == {(parent, "y") for parent in RIGHT[mechanism]}
    again = parse_spec(to_yaml(spec), where="again")
    for name, values in sample(spec, "train", 100).views["image"].items():
        np.testing.assert_array_equal(sample(again, "train", 100).views["image"][name], values)


WRONG = {
    "{name: normal, mean: X, std: 1}": r"mechanism\.mean: no factor is called 'X'; did you mean 'x'",
    "{name: normal, mean: x_rad, std: 1}": r"no factor is called 'x_rad'(?s:.)*object_shape, x, x_m, y",
    "{name: normal, mean: 'sin(x', std: 1}": r"this is no expression",
    "{name: normal, mean: cow, std: 1}": r"no factor is called 'cow'(?s:.)*in quotes: it is a label of object_shape",
    "{name: normal, mean: 'x +', std: 1}": r"mechanism\.mean: this is no expression",
    "{name: normal, mean: x < 1, std: 1}": r"this is no expression",
    "{name: normal, mean: sinus(x), std: 1}": r"this is no expression(?s:.)*did you mean 'sin'",
    "{name: normal, mean: import os, std: 1}": r"this is no expression",
    "{name: normal, mean: true, std: 1}": r"a parameter is a number, an expression or a table",
    "{name: normal, mean: [1, 2], std: 1}": r"a parameter is a number, an expression or a table",
    "{name: normal, mean: .inf, std: 1}": r"out of range",
    "{name: normal, mean: 0, std: 0}": r"mechanism\.std: 0 is out of range(?s:.)*> 0",
    "{name: normal, mean: 0, std: -x ** 2}": r"sample 0 of(?s:.)*line 6(?s:.)*`std` \(-x \*\* 2\) = -",
    "{name: normal, mean: 1 / (x - x), std: 1}": r"parameter without a value(?s:.)*1 / \(x - x\)(?s:.)*clip",
    "{name: uniform, low: 0.5, high: x}": r"no value of the factor(?s:.)*sample \d+ of train",
    "{name: uniform, low: x - 1}": r"no value of the factor(?s:.)*numbers from -1 to 1",
    "{name: normal, mean: {object_shape: {cow: 1}}, std: 1}": r"table over object_shape lacks teapot, hare",
    "{name: normal, mean: {object_shape: {cwo: 1, else: 0}}, std: 1}": r"is called 'cwo'; did you mean 'cow'",
    "{name: normal, mean: {object_shape: {cow: 1, 'cow, hare': 0, else: 0}}, std: 1}": r"'cow' of .* is there twice",
    "{name: normal, mean: {x: {a: 1, else: 0}}, std: 1}": r"over the labels of a categorical factor, x is continuous",
    "{name: normal, mean: {shape: {cow: 1, else: 0}}, std: 1}": r"no factor is called 'shape'",
    "{name: normal, mean: {object_shape: 1}, std: 1}": r"a table has one key",
    "{name: normal, mean: {object_shape: {cow: 1, else: 0}, x: 1}, std: 1}": r"a table has one key",
    "{name: normal, mean: {object_shape: {cow: {}, else: 0}}, std: 1}": r"one key(?s:.)*in object_shape: cow",
    "{name: normal, mean: object_shape == 'cow', std: 1}": r"this is no expression",
    "{name: normal, mean: x, std: 1, parents: [object_shape]}": r"normal name x, and `parents` others",
    "{name: normal, mean: 0, std: 1, parents: [x]}": r"name no factor, and `parents` others",
    "{name: normal, mean: y, std: 1}": r"a cycle",
    "{name: copy, strength: x}": r"copy takes 1 parents",
    "{name: normal, mean: x}": r"std: Field required",
    "{name: normal, meen: x, std: 1}": r"did you mean 'mean'",
}  # fmt: skip


@pytest.mark.parametrize("mechanism", WRONG, ids=lambda text: text[:60])
def test_mistakes(mechanism: str) -> None:
    with pytest.raises(UsageError, match=WRONG[mechanism]) as error:
        own(mechanism)
    entries = str(error.value).split("\n  - ")[1:]
    assert all(
        set(re.findall(r"^ +(got|expected|next): ", each, re.MULTILINE)) == {"got", "expected", "next"}
        for each in entries
    ), entries


def test_a_comma_that_yaml_has_cut_at_is_told() -> None:
    with pytest.raises(UsageError, match=r"this is no expression(?s:.)*quote an expression that has a comma"):
        own("{name: normal, mean: min(x, 0), std: 1}")


def test_a_sample_without_a_value_is_told_with_its_number() -> None:
    """Too rare to show when the spec is checked."""
    spec = own("{name: normal, mean: 0, std: 'max(x, -0.9995) + 0.9995'}")
    with pytest.raises(M3diError, match=r"factor 'y' .*, sample \d{5,} of train(?s:.)*`std` \(max") as error:
        sample(spec, "train", 20_000, start=300_000)
    number = int(re.search(r"sample (\d+)", str(error.value))[1])  # type: ignore[index]
    drawn = sample(own("{name: uniform}"), "train", 1, start=number).views["image"]["x"]
    assert drawn[0] <= -0.9995
    sample(spec, "train", 1, start=number + 1)


def test_noise_is_kept_and_new_parameters_name_new_parents() -> None:
    spec = own("{name: normal, mean: {object_shape: {cow: x, else: 0}}, std: 0.2}")
    factual = sample(spec, "train", 500)
    moved = counterfactual(factual, y={"mean": "x / 2"})
    assert moved.spec.factors["y"].mechanism.parents == ("x",)
    before, after = factual.views["image"], moved.views["image"]
    np.testing.assert_array_equal(before["x"], after["x"])
    mean = np.where(before["object_shape"] == 1, before["x"], 0.0)

    def noise(values: np.ndarray, mean: np.ndarray) -> np.ndarray:
        return stats.truncnorm.cdf(values, (-1 - mean) / 0.2, (1 - mean) / 0.2, mean, 0.2)

    np.testing.assert_allclose(noise(before["y"], mean), noise(after["y"], before["x"] / 2), atol=1e-7)
    assert do(spec, y={"mean": 0}).factors["y"].mechanism.parents == ()


def test_a_changed_style_may_name_itself_and_nothing_else() -> None:
    text = """
extends: m3di
name: own
views: {{image: {{factors: {{object_color: {{role: style, change: {{name: normal, mean: {mean}, std: 0.01}}}}}}}}}}
"""
    spec = parse_spec(text.format(mean="1 - object_color"), where="own")
    free = sample(load_spec("m3di"), "train", 400).views["image"]["object_color"]
    assert np.abs(sample(spec, "train", 400).views["image"]["object_color"] - (1 - free)).max() < 0.05
    with pytest.raises(UsageError, match=r"change\.mean: no factor is called 'object_zpos'"):
        parse_spec(text.format(mean="object_zpos"), where="own")


THREE = "{name: normal, mean: {object_shape: {teapot: -0.5, cow: 0, else: 0.5}}, std: 0.1}"


def test_the_bound_of_a_factor_by_label_is_exact() -> None:
    """Means -1/2, 0, 1/2 by shape, and a spread so small that truncation is nothing: var between 1/6, within 0.01."""
    spec = own(THREE)
    (found,) = (each for each in bounds(spec, n=1000) if each.factor == "y")
    assert found.value == 1.0  # it is content itself
    style = OWN.replace("y: {{role: content,", "y: {{role: style,").format(
        mechanism="{name: normal, mean: {object_shape: {teapot: -0.5, cow: 0, else: 0.5}}, std: 0.1}"
    )
    (found,) = (each for each in bounds(parse_spec(style, where="own"), n=1000) if each.factor == "y")
    assert (found.method, found.value) == ("exact", pytest.approx((1 / 6) / (1 / 6 + 0.01), abs=2e-4))


def test_a_plugin_has_parameters_that_vary(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "import numpy as np\nfrom m3di.latents import Varying, register\n\n\n"
        "@register('shifted', n_parents=0, types=['continuous'])\n"
        "def shifted(u, parents, factor, *, by: Varying):\n    return factor.from_unit(u) / 2 + by / 2\n"
    )
    (tmp_path / "own.yaml").write_text(OWN.format(mechanism="{name: shifted, by: x}") + "plugins: [own.py]\n")
    image = sample(load_spec(tmp_path / "own.yaml"), "train", 100).views["image"]
    assert load_spec(tmp_path / "own.yaml").factors["y"].mechanism.parents == ("x",)
    assert np.abs(image["y"] - image["x"] / 2).max() <= 0.5


def test_register_refuses_varying_parameters_beside_any_number_of_parents(registries: None) -> None:
    with pytest.raises(UsageError, match="takes a fixed number of parents"):

        @register("own", n_parents=None, types=["continuous"])
        def own(u: Any, parents: Any, factor: Any, *, by: Varying) -> Any:
            return u


CIRCLES: dict[str, tuple[dict[str, Any], str | None]] = {
    "half a turn": ({"kind": "angle", "physical": (-np.pi / 2, np.pi / 2), "unit": "rad"}, r"2 pi\).* is 3\.142 wide"),
    "degrees for radians": ({"kind": "angle", "physical": (0.0, 360.0), "unit": "rad"}, r"2 pi\).* is 360 wide"),
    "half a wheel": ({"kind": "hue", "physical": (0.0, 0.5), "unit": "hue"}, r"one turn \(1\).* is 0\.5 wide"),
    "a turn": ({"kind": "angle", "physical": (np.pi, -np.pi), "unit": "rad"}, None),
    "degrees": ({"kind": "angle", "physical": (0.0, 360.0), "unit": "deg"}, None),
    "a wheel": ({"kind": "hue", "physical": (0.25, 1.25), "unit": "hue"}, None),
    "no physical": ({"kind": "angle"}, None),
    "no angle": ({"kind": "position", "physical": (-2.0, 2.0), "unit": "m"}, None),
}


@pytest.mark.parametrize("name", ["wrapped_normal", "von_mises"])
@pytest.mark.parametrize("case", CIRCLES)
def test_the_range_of_a_circle_is_one_turn(case: str, name: str) -> None:
    keys, message = CIRCLES[case]
    factor = Factor(type="continuous", range=(-1.0, 1.0), **keys)
    parameters: dict[str, Any] = {"mean": 0.97, "std" if name == "wrapped_normal" else "kappa": 0.05}
    if message is None:
        assert len(value(name, factor, **parameters)) == N
        return
    with pytest.raises(ValueError, match=message):
        value(name, factor, **parameters)


def test_a_turn_that_is_none_is_refused_in_a_spec() -> None:
    text = (
        "extends: m3di\nname: t\nfactors: {object_alpharot: {mechanism: {name: wrapped_normal, mean: 0.97, std: 0.05}}}"
    )
    with pytest.raises(UsageError, match=r"object_alpharot\.mechanism: the range is to be one turn(?s:.)*line 3"):
        parse_spec(text, where="t.yaml")
