from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from scipy import stats

from m3di.cli.main import cli
from m3di.errors import UsageError
from m3di.latents import MECHANISMS, Factor, Parent, parse_spec, register, sample
from tests.conftest import write_package

N = 100_000
U = (np.arange(N) + 0.5) / N  # quantiles: exact distributions, no sampling noise
NUMBER = Factor(type="continuous", range=(-1.0, 1.0), kind="scalar")
LABEL = Factor(type="categorical", values=("a", "b", "c"), kind="label")
REAL = Factor(type="continuous", kind="scalar")


def value(name: str, parents: list[Parent], factor: Factor, **parameters: Any) -> np.ndarray:
    return MECHANISMS[name].function(U, parents, factor, **parameters)


def same(parent: Factor, raw: float) -> Parent:
    return Parent(parent, np.full(N, raw, dtype=parent.dtype))


def test_uniform() -> None:
    np.testing.assert_allclose(value("uniform", [], NUMBER), 2 * U - 1)
    np.testing.assert_array_equal(np.bincount(value("uniform", [], LABEL)), [33_333, 33_334, 33_333])
    dice = Factor(type="integer", range=(1, 6), kind="scalar")
    assert set(value("uniform", [], dice)) == {1, 2, 3, 4, 5, 6}


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(0.5, 2.5, {1, 2}), (0.5, 3.4, {1, 2, 3}), (2, 4, {2, 3, 4}), (1.5, 2.0, {2})]
)
def test_uniform_whole_numbers_lie_between_any_ends(low: float, high: float, expected: set[int]) -> None:
    factor = Factor(type="integer", range=(0, 10), kind="scalar")
    drawn = value("uniform", [], factor, low=np.asarray(low), high=np.asarray(high))
    assert set(drawn) == expected
    np.testing.assert_allclose(np.bincount(drawn)[min(expected) :] / N, 1 / len(expected), atol=1e-4)
    drawn = value("uniform", [], factor, low=np.asarray(1.2), high=np.asarray(1.8))  # none lies between
    assert (drawn < 0).all()


def test_categorical_has_its_weights() -> None:
    np.testing.assert_allclose(np.bincount(value("categorical", [], LABEL, weights=[1, 0, 3])) / N, [0.25, 0, 0.75])


def test_table_has_its_rows_and_mixes_them() -> None:
    rows = [[1, 0, 0], [0, 1, 1], [0, 0, 1]]
    for parent, expected in enumerate([[1, 0, 0], [0, 0.5, 0.5], [0, 0, 1]]):
        drawn = value("table", [same(LABEL, parent)], LABEL, rows=rows)
        np.testing.assert_allclose(np.bincount(drawn, minlength=3) / N, expected, atol=1e-4)
    free = value("table", [same(LABEL, 0)], LABEL, rows=rows, strength=0.0)
    np.testing.assert_allclose(np.bincount(free) / N, [1 / 3, 1 / 6, 1 / 2], atol=1e-4)


def test_table_of_two_parents() -> None:
    rows = np.zeros((3, 3, 3))
    rows[..., 0] = 1
    rows[2, 1] = [0, 0, 1]
    assert (value("table", [same(LABEL, 2), same(LABEL, 1)], LABEL, rows=rows.tolist()) == 2).all()
    assert (value("table", [same(LABEL, 1), same(LABEL, 2)], LABEL, rows=rows.tolist()) == 0).all()


def test_linear_gaussian() -> None:
    drawn = value("linear_gaussian", [same(REAL, 2.0), same(REAL, 1.0)], REAL, weights=[3, -1], std=0.5, intercept=1)
    np.testing.assert_allclose(drawn, stats.norm(6.0, 0.5).ppf(U), rtol=1e-9)
    half = value("linear_gaussian", [same(REAL, 2.0)], REAL, weights=[3], std=0.5, strength=0.5)
    assert half.mean() == pytest.approx(3.0)


@pytest.mark.parametrize("parent", [-1.0, -0.3, 0.0, 0.9])
def test_truncated_normal(parent: float) -> None:
    drawn = value("truncated_normal", [same(NUMBER, parent)], NUMBER, std=0.7)
    reference = stats.truncnorm((-1 - parent) / 0.7, (1 - parent) / 0.7, parent, 0.7)
    np.testing.assert_allclose(drawn, reference.ppf(U), atol=1e-9)


def test_truncated_normal_far_from_its_mean() -> None:
    """The normal is 12 to 32 standard deviations away: most of a double's CDF is 1 there."""
    low = value("linear_gaussian", [same(REAL, 2.2)], NUMBER, weights=[1], std=0.1)
    assert np.isfinite(low).all() and low.max() <= 1.0 and low.min() > 0.8
    high = value("linear_gaussian", [same(REAL, -2.2)], NUMBER, weights=[1], std=0.1)
    np.testing.assert_allclose(high[::-1], -low, atol=1e-9)
    # An exponential tail of rate mean/std**2 is what is left of the normal there.
    assert 1.0 - low.mean() == pytest.approx(0.1**2 / 1.2, rel=0.05)


def test_strength_zero_takes_the_parents_influence_away() -> None:
    for name, parameters in (("truncated_normal", {"std": 0.7}), ("affine", {"weights": [0.6]}), ("copy", {})):
        one, other = (value(name, [same(NUMBER, raw)], NUMBER, strength=0.0, **parameters) for raw in (-1.0, 1.0))
        np.testing.assert_array_equal(one, other)


def test_affine() -> None:
    drawn = value("affine", [same(NUMBER, 0.5), same(LABEL, 0)], NUMBER, weights=[0.5, 0.25])
    np.testing.assert_allclose(drawn, 2 * (0.5 * 0.75 + 0.25 / 6 + 0.25 * U) - 1)


def test_copy() -> None:
    np.testing.assert_array_equal(value("copy", [same(LABEL, 2)], LABEL), 2)
    half = value("copy", [same(LABEL, 2)], LABEL, strength=0.4)
    np.testing.assert_allclose(np.bincount(half) / N, [0.2, 0.2, 0.6], atol=1e-4)


def test_perturb() -> None:
    drawn = value("perturb", [same(LABEL, 1)], LABEL, probability=0.3)
    np.testing.assert_allclose(np.bincount(drawn) / N, [0.15, 0.7, 0.15], atol=1e-4)
    near = value("perturb", [same(NUMBER, 0.0)], NUMBER, probability=0.3, std=0.01)
    assert (near != 0.0).mean() == pytest.approx(0.3, abs=1e-3)
    assert near[near != 0.0].std() == pytest.approx(0.01, rel=0.01)
    anywhere = value("perturb", [same(NUMBER, 0.0)], NUMBER, probability=1.0)
    np.testing.assert_allclose(anywhere, 2 * U - 1, atol=1e-9)
    np.testing.assert_array_equal(value("perturb", [same(NUMBER, 0.5)], NUMBER, probability=0.0), 0.5)


def test_ar1_stays_uniform_and_is_correlated() -> None:
    rng = np.random.default_rng(0)
    frames = [NUMBER.from_unit(rng.random(N))]
    for _ in range(4):
        frames.append(MECHANISMS["ar1"].function(rng.random(N), [Parent(NUMBER, frames[-1])], NUMBER, strength=0.8))
    assert stats.kstest(frames[-1], stats.uniform(-1, 2).cdf).pvalue > 1e-3
    scores = [stats.norm.ppf(NUMBER.to_unit(frame)) for frame in frames]
    assert np.corrcoef(scores[0], scores[1])[0, 1] == pytest.approx(0.8, abs=0.01)
    assert np.corrcoef(scores[0], scores[4])[0, 1] == pytest.approx(0.8**4, abs=0.01)
    np.testing.assert_array_equal(value("ar1", [], NUMBER), NUMBER.from_unit(U))


@pytest.mark.parametrize(
    "name",
    sorted(set(MECHANISMS) - {"nearest_color", "table", "linear_gaussian", "member", "misstated", "unequal"}),
)
def test_every_mechanism_stays_in_range_at_the_ends_of_the_unit_interval(name: str) -> None:
    parameters: dict[str, Any] = {
        "affine": {"weights": [0.5]},
        "bernoulli": {"probability": 0.5},
        "binned": {},
        "categorical": {"weights": [1, 1, 1]},
        "constant": {"value": 0},
        "function": {"value": 1.0},
        "normal": {"mean": 3.0, "std": 1.0},
        "perturb": {"probability": 0.5, "std": 1.0},
        "sphere_angle": {"power": 3},
        "truncated_normal": {"std": 1.0},
        "von_mises": {"mean": 3.0, "kappa": 2.0},
        "wrapped_normal": {"mean": 3.0, "std": 1.0},
    }.get(name, {})
    mechanism = MECHANISMS[name]
    ends = np.array([2.0**-53, 1.0 - 2.0**-53])
    label = LABEL if name != "bernoulli" else Factor(type="categorical", values=("a", "b"), kind="label")
    for type_name, factor in (("categorical", label), ("continuous", NUMBER)):
        if type_name not in mechanism.types:
            continue
        parent = LABEL if "continuous" not in mechanism.parent_types else factor
        for end in parent.bounds:
            parents = [Parent(parent, np.full(2, end, dtype=parent.dtype))] * (mechanism.n_parents != 0)
            drawn = mechanism.function(ends, parents, factor, **parameters)
            assert drawn.dtype == factor.dtype
            assert (drawn >= factor.bounds[0]).all() and (drawn <= factor.bounds[1]).all()


def test_a_mean_far_outside_the_range_gives_values_at_its_near_end() -> None:
    """So far in the tail that the CDF is 0: against the exponential that the normal is there."""
    for mean, std, end in ((1e3, 1.0, 1.0), (-1e3, 1.0, -1.0), (50.0, 0.5, 1.0), (-2e4, 2.0, -1.0)):
        drawn = value("truncated_normal", [same(NUMBER, mean)], NUMBER, std=std)
        assert np.isfinite(drawn).all()
        assert np.abs(drawn - end).max() < 1.0
        scale = std**2 / abs(mean - end)  # of the exponential
        assert np.abs(drawn - end).mean() == pytest.approx(scale, rel=0.02)


@pytest.mark.parametrize("power", [0, 1, 2, 6])
def test_sphere_angle_has_the_density_of_a_power_of_the_sine(power: int) -> None:
    angle = (value("sphere_angle", [], NUMBER, power=power) + 1) / 2 * np.pi
    grid = np.linspace(0, np.pi, 20_001)
    cdf = np.concatenate([[0.0], np.cumsum(np.sin((grid[1:] + grid[:-1]) / 2) ** power)])
    np.testing.assert_allclose(np.interp(angle, grid, cdf / cdf[-1]), U, atol=1e-4)


@pytest.fixture
def triangular(registries: None) -> None:
    """A mechanism that is not ours, registered the way the documentation says."""

    @register("triangular", n_parents=1, types=("continuous",))
    def triangular(u: np.ndarray, parents: list[Parent], factor: Factor, *, slope: float = 1.0) -> np.ndarray:
        return factor.from_unit(np.sqrt(u)) * slope + 0.0 * parents[0].unit


OWN = """
extends: m3di
name: own
factors: {object_color: {mechanism: {name: triangular, parents: [object_xpos], slope: 0.5}}}
"""


def test_a_mechanism_of_a_users_own(triangular: None) -> None:
    drawn = sample(parse_spec(OWN, where="test"), "train", 20_000).views["image"]["object_color"]
    assert stats.kstest(2 * drawn, lambda x: np.clip(x, 0, 1) ** 2).pvalue > 1e-3
    with pytest.raises(UsageError, match=r"factors\.object_color\.mechanism\.slop: Extra inputs.*did you mean 'slope'"):
        parse_spec(OWN.replace("slope", "slop"), where="test")


def test_a_mechanism_from_an_entry_point(tmp_path: Any, monkeypatch: pytest.MonkeyPatch, registries: None) -> None:
    write_package(
        tmp_path,
        "their_package",
        "from m3di.latents import register\n"
        "@register('from_their_package', n_parents=0, types=('continuous',))\n"
        "def half(u, parents, factor):\n    return factor.from_unit(u / 2)\n",
        "[m3di.mechanisms]\nfrom_their_package = their_package\n",
    )
    monkeypatch.syspath_prepend(tmp_path)
    spec = parse_spec(
        "{extends: m3di, name: t, factors: {object_color: {mechanism: {name: from_their_package}}}}", where="test"
    )
    assert sample(spec, "train", 1_000).views["image"]["object_color"].max() < 0.5
    arguments = ["sample", "--n", "50", "--do", "object_color=from_their_package", "--out", str(tmp_path / "s.csv")]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    drawn = pd.read_csv(tmp_path / "s.csv")["image.object_color"]
    assert len(drawn) == 50 and drawn.max() < 0.5


@pytest.mark.parametrize("strength", [1.0, 0.75, 0.0])
def test_binned(strength: float) -> None:
    """Full strength is the parent's bin; without any it is the whole range."""
    for parent in range(3):
        drawn = value("binned", [same(LABEL, parent)], NUMBER, strength=strength)
        np.testing.assert_allclose(drawn, 2 * (strength * (parent + U) / 3 + (1 - strength) * U) - 1, atol=1e-12)


@pytest.mark.parametrize("strength", [1.0, 0.25, 0.0])
def test_strength_moves_the_mean_of_a_truncated_normal_from_the_middle_of_the_range(strength: float) -> None:
    factor = Factor(type="continuous", range=(2.0, 6.0), kind="scalar")  # whose middle is not 0
    drawn = value("truncated_normal", [same(factor, 5.0)], factor, std=0.7, strength=strength)
    mean = 4.0 + strength
    np.testing.assert_allclose(drawn, stats.truncnorm((2 - mean) / 0.7, (6 - mean) / 0.7, mean, 0.7).ppf(U), atol=1e-9)


def test_the_unit_of_a_value_is_the_middle_of_its_share() -> None:
    """So that a copy of it, and an affine mean with it, has no side on which it errs."""
    dice = Factor(type="integer", range=(1, 6), kind="scalar")
    np.testing.assert_allclose(dice.to_unit(np.arange(1, 7)), (np.arange(6) + 0.5) / 6)
    np.testing.assert_allclose(LABEL.to_unit(np.arange(3)), (np.arange(3) + 0.5) / 3)
    np.testing.assert_allclose(NUMBER.to_unit(np.array([-1.0, 0.0, 1.0])), [0.0, 0.5, 1.0])
    for factor, raw in ((dice, np.arange(1, 7)), (LABEL, np.arange(3))):
        np.testing.assert_array_equal(factor.from_unit(factor.to_unit(raw)), raw)


def test_what_is_misstated_at_the_ends_of_the_unit_interval_is_another_value() -> None:
    ends = np.array([2.0**-53, 1.0 - 2.0**-53])
    chosen = Parent(Factor(type="integer", kind="label", range=(0, 3)), np.array([2, 2]))
    for raw in range(3):
        true = Parent(LABEL, np.full(2, raw))
        drawn = MECHANISMS["misstated"].function(ends, [true, chosen], LABEL, number=1)
        assert drawn.tolist() == [(raw + 1) % 3, (raw + 2) % 3]
        assert MECHANISMS["misstated"].function(ends, [true, chosen], LABEL, number=0).tolist() == [raw, raw]
    for raw in (-1.0, -0.5, 0.999, 1.0):
        true = Parent(NUMBER, np.full(2, raw))
        drawn = MECHANISMS["misstated"].function(ends, [true, chosen], NUMBER, number=1, bins=4)
        assert np.abs(drawn).max() <= 1
        two = Factor(type="categorical", kind="label", values=("no", "yes"))
        for bins, expected in ((4, [1, 1]), (None, [1, 1])):
            found = MECHANISMS["unequal"].function(ends, [true, Parent(NUMBER, drawn)], two, bins=bins)
            assert found.tolist() == expected
        assert MECHANISMS["unequal"].function(ends, [true, true], two).tolist() == [0, 0]
