"""The processes of CITRIS and iCITRIS, step by step, against what is published of them; environments of SMS-TRIS."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from m3di.latents import arrows, do, load_spec, parse_spec, sample

pytestmark = pytest.mark.slow

TURN = 2 * np.pi
STD = {"object_xpos": 0.1, "object_ypos": 0.1, "object_zpos": 0.1}
"""Of positions; all else is an angle or a hue, with 0.15."""
SHAPES = ("teapot", "armadillo", "hare", "cow", "dragon", "head", "horse")
Frames = dict[str, np.ndarray]


def frames(spec: Any, n: int = 150) -> Frames:
    """Values of each factor, [sequences, 100]."""
    return {name: each.reshape(n, 100) for name, each in sample(spec, "train", n * 100).views["image"].items()}


def mean_hue(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.angle(np.exp(1j * one) + np.exp(1j * other))


def goals(of: Frames) -> Frames:
    """The published goals, by the frame that sets them: the one before, or with instantaneous effects the same."""
    spot, ground = of["spotlight_color"], of["background_color"]
    mean = mean_hue(spot, ground)
    by_shape = [0 * mean, TURN / 5 + 0 * mean, mean, 2 * TURN / 5 + 0 * mean, mean + np.pi, 3 * TURN / 5 + 0 * mean]
    return {
        "object_xpos": 1.5 * np.sin(of["object_betarot"]),
        "object_ypos": 1.5 * np.sin(of["object_alpharot"]),
        "object_zpos": 1.5 * np.cos(of["object_alpharot"]),
        "object_alpharot": ground,
        "object_betarot": of["object_color"],
        "spotlight_color": TURN - ground,
        "spotlight_pos": np.arctan2(of["object_xpos"], of["object_ypos"]),
        "object_color": np.choose(of["object_shape"], [*by_shape, 4 * TURN / 5 + 0 * mean]),
    }


SHIFTED = """
extends: temporal-causal3dident
name: shifted
regimes:
  environment:
    cases:
      usual: {}
      x: {object_xpos: {mean: (object_xpos@-1 + 1.5 * cos(object_betarot@-1)) / 2}}
      alpha: {object_alpharot: {mean: object_alpharot@-1 + wrap(object_color@-1 - object_alpharot@-1) / 2}}
      ground: {background_color: {mean: background_color@-1 + wrap(object_color@-1) / 2}}
"""


def shifted_goals(of: Frames) -> Frames:
    """The goals of SMS-TRIS, each of which replaces one of the above."""
    spot, ground = of["spotlight_color"], of["background_color"]
    mean = mean_hue(spot, ground)
    by_shape = [np.pi, 0, mean + np.pi, 3 * TURN / 5, mean, 2 * TURN / 5, 4.5 * TURN / 5]
    return {
        "object_xpos": 1.5 * np.cos(of["object_betarot"]),
        "object_ypos": -1.5 * np.cos(of["object_alpharot"]),
        "object_zpos": 1.5 * np.sin(of["object_betarot"]),
        "object_alpharot": of["object_color"],
        "object_betarot": ground,
        "spotlight_pos": np.arctan2(of["object_ypos"], of["object_zpos"]),
        "spotlight_color": TURN - ground * spot,
        "background_color": ground + of["object_color"],
        "object_color": np.choose(of["object_shape"], [each + 0 * mean for each in by_shape]),
    }


ENVIRONMENTS = {"x": "object_xpos", "alpha": "object_alpharot", "ground": "background_color"}


def check_step(name: str, goal: np.ndarray, before: Frames, after: Frames, rows: np.ndarray) -> None:
    """In rows, a factor has gone half way to its goal, the shorter way round, but for normal noise."""
    far = goal - before[name]
    if name not in STD:
        far = np.angle(np.exp(1j * far))
    left = after[name] - before[name] - far / 2
    if name in STD:  # near the end of its range it is drawn again by the published code, which truncation is
        rows = rows & (np.abs(before[name] + far / 2) < 1.5)
    else:
        left = np.angle(np.exp(1j * left))
    assert rows.sum() > 500
    assert stats.kstest(left[rows], stats.norm(0, STD.get(name, 0.15)).cdf).pvalue > 1e-4, name


def neighbours(of: Frames) -> tuple[Frames, Frames]:
    return {name: each[:, :-1] for name, each in of.items()}, {name: each[:, 1:] for name, each in of.items()}


@pytest.fixture(scope="module")
def citris() -> Frames:
    return frames(load_spec("temporal-causal3dident"))


@pytest.fixture(scope="module")
def icitris() -> Frames:
    return frames(load_spec("instantaneous-temporal-causal3dident"))


def test_citris_goes_half_way_to_goals_of_the_frame_before(citris: Frames) -> None:
    before, after = neighbours(citris)
    for name, goal in {**goals(before), "background_color": before["background_color"]}.items():
        check_step(name, goal, before, after, after[f"intervened_{name}"] == 0)


def test_icitris_goes_half_way_to_goals_of_the_same_frame(icitris: Frames) -> None:
    before, after = neighbours(icitris)
    for name, goal in {**goals(after), "background_color": before["background_color"]}.items():
        check_step(name, goal, before, after, after[f"intervened_{name}"] == 0)


@pytest.mark.parametrize("of", ["citris", "icitris"])
def test_each_factor_is_set_uniformly_in_one_frame_of_eleven_and_the_table_says_in_which(
    of: str, request: pytest.FixtureRequest
) -> None:
    drawn: Frames = request.getfixturevalue(of)
    factors = [name for name in drawn if f"intervened_{name}" in drawn]
    assert len(factors) == 10
    set_here = np.stack([drawn[f"intervened_{name}"] for name in factors])
    assert set_here.mean() == pytest.approx(1 / 11, abs=0.004)
    together = np.bincount(set_here.sum(axis=0).ravel(), minlength=11)[:5] / set_here[0].size
    np.testing.assert_allclose(together, stats.binom(10, 1 / 11).pmf(range(5)), atol=0.015)  # independently
    spec = load_spec("temporal-causal3dident")
    for name in factors:
        low, high = spec.factors[name].bounds
        values = drawn[name][:, 1:][drawn[f"intervened_{name}"][:, 1:] == 1]
        if name == "object_shape":
            assert stats.chisquare(np.bincount(values, minlength=7)).pvalue > 1e-4
        else:
            assert stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 1e-4, name


def test_the_shape_is_drawn_again_in_one_frame_of_twenty(citris: Frames) -> None:
    before, after = neighbours(citris)
    left = after["intervened_object_shape"] == 0
    changed = (after["object_shape"] != before["object_shape"])[left].mean()
    assert changed == pytest.approx(0.05 * 6 / 7, abs=4 * np.sqrt(0.043 / left.sum()))


def test_the_first_frame_is_uniform_and_all_keep_their_ranges(citris: Frames) -> None:
    spec = load_spec("temporal-causal3dident")
    assert spec.factors["object_shape"].names == SHAPES
    for name, values in citris.items():
        low, high = spec.factors[name].bounds
        assert values.min() >= low and values.max() <= high
        if spec.factors[name].type == "continuous":
            assert stats.kstest(values[:, 0], stats.uniform(low, high - low).cdf).pvalue > 1e-4, name


CAUSES = {
    "object_xpos": {"object_betarot"},
    "object_ypos": {"object_alpharot"},
    "object_zpos": {"object_alpharot"},
    "object_alpharot": {"background_color"},
    "object_betarot": {"object_color"},
    "spotlight_pos": {"object_xpos", "object_ypos"},
    "spotlight_color": {"background_color"},
    "object_color": {"object_shape", "spotlight_color", "background_color"},
    "background_color": set[str](),
    "object_shape": set[str](),
}


@pytest.mark.parametrize(
    ("name", "lag"), [("temporal-causal3dident", "@-1"), ("instantaneous-temporal-causal3dident", "")]
)
def test_the_arrows_are_the_published_ones(name: str, lag: str) -> None:
    expected = {(f"{parent}{lag}", child) for child, parents in CAUSES.items() for parent in parents}
    expected |= {(f"{child}@-1", child) for child in CAUSES}
    expected |= {(f"intervened_{child}", child) for child in CAUSES}
    expected |= {("intervened", f"intervened_{child}") for child in CAUSES}
    assert arrows(load_spec(name), "image") == expected


def test_each_environment_shifts_one_mechanism_and_interventions_happen_within_it() -> None:
    spec = parse_spec(SHIFTED, where="shifted.yaml")
    drawn = frames(spec)
    where, names = drawn["environment"], spec.factors["environment"].names
    assert (where == where[:, :1]).all() and set(where[:, 0]) == set(range(4))  # a sequence stays in its environment
    before, after = neighbours(drawn)
    usual = {**goals(before), "background_color": before["background_color"]}
    for environment, name in ENVIRONMENTS.items():
        goal = shifted_goals(before)[name]
        here, left = after["environment"] == names.index(environment), after[f"intervened_{name}"] == 0
        check_step(name, goal, before, after, here & left)
        check_step(name, usual[name], before, after, ~here & left)
        low, high = spec.factors[name].bounds
        assert stats.kstest(after[name][here & ~left], stats.uniform(low, high - low).cdf).pvalue > 1e-4
    for name in ("object_zpos", "object_color"):
        check_step(name, usual[name], before, after, after[f"intervened_{name}"] == 0)


def test_a_named_environment_is_an_intervention_from_outside() -> None:
    drawn = frames(do(parse_spec(SHIFTED, where="shifted.yaml"), environment="alpha"), 30)
    before, after = neighbours(drawn)
    name = ENVIRONMENTS["alpha"]
    goal = shifted_goals(before)[name]
    check_step(name, goal, before, after, after[f"intervened_{name}"] == 0)


def test_in_each_shifted_split_one_goal_is_another_one_and_targets_are_drawn_as_ever() -> None:
    spec = load_spec("shifted-causal3dident")
    assert len(spec.overlays) == 9
    for split in spec.overlays:
        drawn = sample(spec, split, 60 * 100).views["image"]
        before, after = neighbours({name: each.reshape(60, 100) for name, each in drawn.items()})
        key = split.removeprefix("shifted_")
        shifted = next(name for name in (key, f"object_{key}") if name in before)
        usual = {**goals(before), "background_color": before["background_color"]}
        for name, goal in {**usual, shifted: shifted_goals(before)[shifted]}.items():
            check_step(name, goal, before, after, after[f"intervened_{name}"] == 0)
