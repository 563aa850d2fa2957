"""Regimes: what is replaced where, by what chance, what is recorded, and the same noise under interventions from outside."""

# ruff: noqa: E501 - a mistake and its message are read best side by side
from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from m3di.errors import UsageError
from m3di.latents import (
    Samples,
    Spec,
    arrows,
    bounds,
    counterfactual,
    do,
    load_spec,
    parse_spec,
    plain_spec,
    sample,
    spec_from_dict,
)

N = 20_000
INSIDE = """
extends: m3di
name: inside
regimes:
  intervened:
    chosen: {probability: 0.3}
    cases:
      object_xpos: {object_xpos: left}
      hue: {object_color: uniform}
      rotation: {object_alpharot: {name: uniform, low: 0.9}, object_betarot: 0.5}
"""
CASES = ("object_xpos", "hue", "rotation")
ENVIRONMENTS = """
extends: m3di
name: environments
regimes:
  environment:
    cases:
      usual: {}
      weak: {object_color: {strength: 0.1}}
      dark: {background_color: {name: truncated_normal, parents: [object_color], std: 0.1}}
"""


def spec_of(chosen: str = "{probability: 0.3}", text: str = INSIDE) -> Spec:
    return parse_spec(text.replace("{probability: 0.3}", chosen), where="test.yaml")


def drawn(spec: Spec, n: int = N) -> Samples:
    return sample(spec, "train", n)


def targets(samples: Samples, view: str = "image") -> np.ndarray:
    return np.stack([samples.views[view][f"intervened_{case}"] for case in CASES])


def shares(mask: np.ndarray) -> np.ndarray:
    """How often each subset is there, by its number."""
    numbers = (mask * 2 ** np.arange(len(mask))[:, None]).sum(axis=0)
    return np.bincount(numbers, minlength=2 ** len(mask)) / mask.shape[1]


def near(found: np.ndarray, expected: object) -> bool:
    return bool(np.abs(found - np.asarray(expected)).max() < 4.5 * 0.5 / np.sqrt(N))


@pytest.fixture(scope="module")
def base() -> Samples:
    return drawn(load_spec("m3di"))


@pytest.fixture(scope="module")
def inside() -> Samples:
    return drawn(spec_of())


def test_where_no_case_holds_a_sample_is_that_of_the_spec_without_regimes(base: Samples, inside: Samples) -> None:
    free = ~targets(inside).any(axis=0)
    assert near(np.array([free.mean()]), 0.7**3)
    for view, factors in base.views.items():
        for name, values in factors.items():
            assert (inside.views[view][name][free] == values[free]).all(), (view, name)


def test_where_a_case_holds_its_mechanisms_do_and_what_depends_on_them_follows(base: Samples, inside: Samples) -> None:
    image, before = inside.views["image"], base.views["image"]
    xpos, hue, rotation = targets(inside) == 1
    assert (image["object_xpos"][xpos] == 0).all() and (
        image["object_xpos"][~xpos] == before["object_xpos"][~xpos]
    ).all()
    assert (image["object_alpharot"][rotation] >= 0.9).all() and (image["object_betarot"][rotation] == 0.5).all()
    assert (image["object_alpharot"][~rotation] == before["object_alpharot"][~rotation]).all()
    # The hue is in the bin of the position as it is, but for samples in which it is set itself.
    assert (np.floor(3 * image["object_color"]) == image["object_xpos"])[~hue].all()
    assert stats.kstest(image["object_color"][hue], "uniform").pvalue > 1e-4
    # The same noise by another mechanism: a uniform value is the noise itself, the bin's is (position + noise) / 3.
    noise = image["object_color"][hue]
    np.testing.assert_allclose(before["object_color"][hue], (before["object_xpos"][hue] + noise) / 3)
    for name in ("object_shape", "object_gammarot", "spotlight_pos", "render_seed"):
        assert (image[name] == before[name]).all()


def test_targets_are_one_for_all_views_and_columns_of_the_table(inside: Samples) -> None:
    assert (targets(inside) == targets(inside, "text")).all()
    columns = inside.columns()["image"]
    assert set(columns["intervened_hue_name"]) == {"no", "yes"}
    # A caption tells what the image shows: both follow the drawn target.
    assert (inside.views["text"]["object_xpos"] == inside.views["image"]["object_xpos"]).all()


@pytest.mark.slow
def test_independent_targets_at_most_k_exactly_one_and_groups() -> None:
    chances = (0.6, 0.2, 0.3)
    by_name = "{probability: {object_xpos: 0.6, hue: 0.2, rotation: 0.3}, at_least: LEAST, at_most: MOST}"
    for least, most in ((0, 3), (0, 1), (1, 1), (1, 2)):
        expected = np.zeros(8)
        for bits in itertools.product(range(2), repeat=3):
            if least <= sum(bits) <= most:
                number = sum(bit << k for k, bit in enumerate(bits))
                expected[number] = np.prod([p if bit else 1 - p for p, bit in zip(chances, bits, strict=True)])
        found = shares(targets(drawn(spec_of(by_name.replace("LEAST", str(least)).replace("MOST", str(most))))))
        assert near(found, expected / expected.sum()), (least, most)
    groups = shares(targets(drawn(spec_of("{sets: [[], [object_xpos, hue], [rotation]], weights: [2, 1, 1]}"))))
    assert near(groups, [0.5, 0, 0, 0.25, 0.25, 0, 0, 0])


def test_an_environment_is_a_label_that_shifts_mechanisms(base: Samples) -> None:
    samples = drawn(spec_of(text=ENVIRONMENTS))
    image, before, where = samples.views["image"], base.views["image"], samples.views["image"]["environment"]
    assert samples.spec.factors["environment"].names == ("usual", "weak", "dark")
    assert near(np.bincount(where) / N, 1 / 3) and (where == samples.views["text"]["environment"]).all()
    assert (image["object_color"] == before["object_color"])[where != 1].all()
    weak = drawn(do(load_spec("m3di"), object_color={"strength": 0.1})).views["image"]["object_color"]
    assert (image["object_color"] == weak)[where == 1].all()
    dark = where == 2
    assert (image["background_color"] == before["background_color"])[~dark].all()
    assert np.corrcoef(image["background_color"][dark], image["object_color"][dark])[0, 1] > 0.9


def test_a_label_may_be_any_factor_with_any_mechanism() -> None:
    label = "factors:\n  environment: {type: categorical, kind: label, values: [usual, weak, dark, other], mechanism: {name: table, parents: [object_shape], rows: ROWS}}\n"
    rows = [[8, 0, 0, 0]] * 6 + [[0, 1, 1, 0]]
    samples = drawn(parse_spec(ENVIRONMENTS + label.replace("ROWS", str(rows)), where="test.yaml"), 4000)
    image = samples.views["image"]
    assert ((image["environment"] == 0) == (image["object_shape"] != 6)).all()
    of_shape = drawn(
        parse_spec("extends: m3di\nname: x\nregimes: {object_shape: {cases: {cow: {object_xpos: right}}}}", where="t"),
        4000,
    )
    cows = of_shape.views["image"]["object_shape"] == 3
    assert (of_shape.views["image"]["object_xpos"][cows] == 2).all() and set(
        of_shape.views["image"]["object_xpos"][~cows]
    ) == {0, 1, 2}


def test_of_several_cases_that_hold_the_last_counts_and_interventions_come_after_environments() -> None:
    text = (
        INSIDE + "      again: {object_xpos: right}\n  environment: {cases: {usual: {}, mid: {object_xpos: center}}}\n"
    )
    image = drawn(spec_of(text=text)).views["image"]
    left, right, mid = (image[each] == 1 for each in ("intervened_object_xpos", "intervened_again", "environment"))
    assert (image["object_xpos"][right] == 2).all()
    assert (image["object_xpos"][left & ~right] == 0).all()
    assert (image["object_xpos"][mid & ~left & ~right] == 1).all()


# From outside: `do`, `--do` and twins.


def test_an_intervention_from_outside_wins_and_the_twin_shares_the_drawn_target(inside: Samples) -> None:
    for asked in ("right", {"name": "categorical", "weights": [0, 0, 1]}):
        twin = counterfactual(inside, object_xpos=asked)
        assert (twin.views["image"]["object_xpos"] == 2).all() and (twin.views["text"]["object_xpos"] == 2).all()
        assert (targets(twin) == targets(inside)).all()
        hue = targets(inside)[1] == 1
        assert (twin.views["image"]["object_color"] == inside.views["image"]["object_color"])[hue].all()
        assert (twin.views["image"]["object_alpharot"] == inside.views["image"]["object_alpharot"]).all()


def test_in_one_view_an_intervention_from_outside_wins_too(inside: Samples) -> None:
    for asked in ("right", {"name": "categorical", "weights": [0, 0, 1]}):
        twin = counterfactual(inside, {"text.object_xpos": asked})
        assert (twin.views["text"]["object_xpos"] == 2).all()
        assert (twin.views["image"]["object_xpos"] == inside.views["image"]["object_xpos"]).all()


def test_a_shift_from_outside_is_one_of_the_factors_own_mechanism(inside: Samples, base: Samples) -> None:
    twin, hue = counterfactual(inside, object_color={"strength": 0.2}), targets(inside)[1] == 1
    assert (twin.views["image"]["object_color"] == inside.views["image"]["object_color"])[hue].all()
    assert (twin.views["image"]["object_color"] != inside.views["image"]["object_color"])[~hue].all()


def test_the_target_and_the_environment_are_factors_to_intervene_on(inside: Samples, base: Samples) -> None:
    never = counterfactual(inside, dict.fromkeys((f"intervened_{case}" for case in CASES), "no"))
    for view, factors in base.views.items():
        for name, values in factors.items():
            assert (never.views[view][name] == values).all()
    always = counterfactual(inside, intervened_object_xpos="yes").views["image"]
    assert (always["object_xpos"] == 0).all()
    xpos = targets(inside)[0] == 1
    assert all((always[name] == values)[xpos].all() for name, values in inside.views["image"].items())
    weak = drawn(do(spec_of(text=ENVIRONMENTS), environment="weak")).views["image"]
    expected = drawn(do(load_spec("m3di"), object_color={"strength": 0.1})).views["image"]
    assert all((weak[name] == values).all() for name, values in expected.items())


@pytest.mark.slow
def test_a_condition_is_looked_at_with_the_regimes_as_they_were() -> None:
    spec = parse_spec(INSIDE + "given: object_xpos < 2\n", where="test.yaml")
    factual = drawn(spec, 3000)
    assert (factual.views["image"]["object_xpos"] < 2).all()
    twin = counterfactual(factual, object_xpos="right")
    assert (twin.views["image"]["object_shape"] == factual.views["image"]["object_shape"]).all()
    assert (targets(twin) == targets(factual)).all()


def test_counterfactual_views_of_pairs_share_the_target() -> None:
    samples = drawn(parse_spec(INSIDE + "pairs: {counterfactual: [object_xpos]}\n", where="test.yaml"), 3000)
    assert (targets(samples) == targets(samples, "image_do_object_xpos")).all()
    assert set(samples.views["image_do_object_xpos"]["object_xpos"][targets(samples)[0] == 1]) == {0, 1, 2}


def test_a_sample_depends_on_its_index_alone(inside: Samples) -> None:
    part = sample(inside.spec, "train", 300, start=777)
    for view, factors in part.views.items():
        for name, values in factors.items():
            assert (values == inside.views[view][name][777:1077]).all()


def test_a_resolved_spec_says_the_same_and_stays_as_it_is() -> None:
    for text in (INSIDE, ENVIRONMENTS):
        spec = spec_of(text=text)
        again = spec_from_dict(plain_spec(spec), where="again")
        assert again == spec and plain_spec(again) == plain_spec(spec)
        assert spec_from_dict(plain_spec(spec), where="stored", stored=True) == spec
    moved = do(spec_of(), object_xpos="right")
    assert spec_from_dict(plain_spec(moved), where="again") == moved


def test_what_extends_a_spec_changes_adds_and_takes_away_cases(tmp_path: Path) -> None:
    (tmp_path / "inside.yaml").write_text(INSIDE)
    more = "extends: inside.yaml\nname: more\nregimes: {intervened: {chosen: {at_most: 1}, cases: {rotation: null, hue: {object_color: 0.25}, shape: {object_shape: cow}}}}\n"
    (tmp_path / "more.yaml").write_text(more)
    spec = load_spec(str(tmp_path / "more.yaml"))
    assert list(spec.regimes["intervened"].cases) == ["object_xpos", "hue", "shape"]
    assert spec.regimes["intervened"].chosen is not None and spec.regimes["intervened"].chosen.probability is None
    image = drawn(spec, 2000).views["image"]
    assert (image["object_color"][image["intervened_hue"] == 1] == 0.25).all()
    (tmp_path / "none.yaml").write_text("extends: inside.yaml\nname: none\nregimes: null\n")
    assert load_spec(str(tmp_path / "none.yaml")).factors == load_spec("m3di").factors


# Time.

MOVING = """
extends: 3dident
name: moving
factors:
  object_xpos: {mechanism: {name: normal, mean: object_xpos@-1, std: 0.01}}
  object_color: {mechanism: {name: ar1, strength: 0.99}}
  spotlight_pos: {mechanism: {name: copy, parents: [spotlight_pos@-1]}}
regimes:
  intervened:
    chosen: {probability: 0.2}
    cases: {object_xpos: {object_xpos: uniform}, object_color: {object_color: uniform}, spotlight_pos: {spotlight_pos: uniform}, background_color: {background_color: {name: normal, mean: "-background_color@-1", std: 0.01}}}
sequence: {length: 6, FRAMES, redrawn: [intervened, render_seed]}
"""


@pytest.mark.parametrize("kind", ["samples", "views"])
def test_in_each_frame_anew_and_what_was_set_moves_on_from_there(kind: str) -> None:
    spec = parse_spec(MOVING.replace("FRAMES", f"frames: {kind}"), where="test.yaml")
    n = 1500
    if kind == "samples":
        found = {name: each.reshape(n, 6) for name, each in sample(spec, "train", 6 * n).views["image"].items()}
    else:
        views = sample(spec, "train", n).views
        found = {name: np.stack([views[f"image_t{t}"][name] for t in range(6)], axis=1) for name in views["image_t0"]}
    for name in ("object_xpos", "object_color", "spotlight_pos"):
        step = np.abs(np.diff(found[name], axis=1))
        was_set = found[f"intervened_{name}"][:, 1:] == 1
        assert was_set.mean() == pytest.approx(0.2, abs=0.02)
        assert step[~was_set].max() < 0.6 and (name == "object_color" or step[~was_set].max() < 0.06)
        assert step[was_set].mean() > 0.4
        assert stats.kstest(found[name][:, 1:][was_set], stats.uniform(-1, 2).cdf).pvalue > 1e-4
    ground = found["background_color"]  # it stays, but for frames in which it is turned round
    turned = found["intervened_background_color"][:, 1:] == 1
    own = np.broadcast_to(np.median(ground, axis=1)[:, None], ground.shape)
    assert np.abs(ground[:, 1:] + ground[:, :-1])[turned].max() < 0.06
    assert (ground[:, 1:][~turned] == own[:, 1:][~turned]).mean() > 0.9


def test_frames_as_views_are_those_of_samples() -> None:
    chain, views = (parse_spec(MOVING.replace("FRAMES", f"frames: {kind}"), where="t") for kind in ("samples", "views"))
    one, other = sample(chain, "train", 60).views["image"], sample(views, "train", 10).views
    for t in range(6):
        assert all((one[name][t::6] == other[f"image_t{t}"][name]).all() for name in one)


def test_an_environment_may_switch_from_frame_to_frame() -> None:
    text = """
extends: 3dident
name: day-and-night
factors:
  time: {type: categorical, kind: label, values: [day, night], mechanism: {name: copy, parents: [time@-1], strength: 0.8}}
regimes: {time: {cases: {night: {background_color: {name: uniform, high: 0}}}}}
sequence: {length: 50, frames: samples, redrawn: [background_color]}
"""
    image = sample(parse_spec(text, where="test.yaml"), "train", 5000).views["image"]
    night, hue = image["time"] == 1, image["background_color"]
    switches = np.diff(image["time"].reshape(100, 50), axis=1) != 0
    assert switches.mean() == pytest.approx(0.1, abs=0.02)
    assert (hue[night] <= 0).all() and (hue[~night] > 0).mean() == pytest.approx(0.5, abs=0.05)


# Graph and bounds.


def test_arrows_of_a_case_are_those_that_make_a_difference() -> None:
    found = arrows(spec_of(text=ENVIRONMENTS), "image")
    assert {
        ("environment", "object_color"),
        ("environment", "background_color"),
        ("object_color", "background_color"),
    } <= found
    same = ENVIRONMENTS.replace("strength: 0.1", "strength: 1.0")
    assert ("environment", "object_color") not in arrows(spec_of(text=same), "image")
    assert "environment" in spec_of(text=ENVIRONMENTS).parents("background_color")


def test_bounds_are_those_of_the_mixture() -> None:
    found = {f"{each.view}.{each.factor}": each for each in bounds(spec_of(), n=40_000)}
    hue = found["image.object_color"]
    assert hue.method == "monte carlo"
    # Given the position x, the hue is (x + u) / 3 with 0.7 and u with 0.3; x is 0 with 0.3 + 0.7 / 3.
    weights = np.array([0.3 + 0.7 / 3, 0.7 / 3, 0.7 / 3])
    means = 0.7 * (np.arange(3) + 0.5) / 3 + 0.3 * 0.5
    squares = 0.7 * ((np.arange(3) + 0.5) ** 2 + 1 / 12) / 9 + 0.3 / 3
    between = weights @ means**2 - (weights @ means) ** 2
    assert hue.value == pytest.approx(between / (weights @ squares - (weights @ means) ** 2), abs=5 * hue.error + 0.002)
    # Where the position is left, it is more likely to have been set: 0.3 of 0.3 + 0.7 / 3.
    target = found["image.intervened_object_xpos"]
    assert target.value == pytest.approx(0.3 + 0.7 * 2 / 3, abs=0.02) and target.chance == pytest.approx(0.7, abs=0.02)
    assert found["image.intervened_rotation"].value == pytest.approx(0.7, abs=0.02)
    environments = {f"{each.view}.{each.factor}": each for each in bounds(spec_of(text=ENVIRONMENTS), n=2000)}
    assert environments["image.environment"].method == "exact"


# Mistakes.


def regime(cases: str, rest: str = "") -> str:
    return f"extends: m3di\nname: wrong\nregimes:\n  intervened:\n    {rest}\n    cases: {cases}\n"


WRONG = {
    "declared otherwise": (
        regime("{a: {object_color: 0}}", "chosen: {}")
        + "factors: {intervened_a: {type: categorical, kind: label, values: [never, ever]}}\n",
        r"the factor 'intervened_a', which says whether the case 'a' holds, is another one",
    ),
    "two of one name": (
        "extends: m3di\nname: wrong\nregimes: {a: {chosen: {}, cases: {b_c: {object_color: 0}}}, a_b: {chosen: {}, cases: {c: {object_color: 1}}}}",
        r"the regimes 'a' and 'a_b' would both have the factor 'a_b_c'",
    ),
    "constant": (
        regime("{a: {object_zpos: 0.5}}", "chosen: {}"),
        r"image has always one value for object_zpos: the regime 'intervened' would not reach it",
    ),
    "unknown factor": (
        regime("{a: {object_colour: uniform}}", "chosen: {}"),
        r"regimes.intervened.cases.a.object_colour: no factor is called 'object_colour'; did you mean 'object_color'",
    ),
    "unknown value": (
        regime("{a: {object_xpos: lift}}", "chosen: {}"),
        r"regimes.intervened.cases.a.object_xpos: 'lift' is neither a value of the factor nor a mechanism; did you mean 'left'",
    ),
    "value out of range": (regime("{a: {object_color: 1.5}}", "chosen: {}"), r"the value is not one of the factor's"),
    "no value": (
        regime("{a: {object_color: [1]}}", "chosen: {}"),
        r"what holds in a case is a value of the factor, a mechanism, or a mapping",
    ),
    "truth": (regime("{a: {object_color: yes}}", "chosen: {}"), r"what holds in a case is a value of the factor"),
    "mechanism that does not fit": (
        regime("{a: {object_color: {name: categorical, weights: [1]}}}", "chosen: {}"),
        r"regimes.intervened.cases.a.object_color: categorical gives no continuous values",
    ),
    "parameter": (regime("{a: {object_color: {strenght: 0.5}}}", "chosen: {}"), r"strenght"),
    "unknown parent": (
        regime("{a: {object_color: {name: normal, mean: object_xpo, std: 1}}}", "chosen: {}"),
        r"no factor is called 'object_xpo'",
    ),
    "circle": (
        regime("{a: {object_xpos: {name: categorical, weights: [object_color, 1, 1]}}}", "chosen: {}"),
        r"a cycle",
    ),
    "earlier frame": (
        regime("{a: {object_color: {name: normal, mean: object_color@-1, std: 1}}}", "chosen: {}"),
        r"regimes.intervened.cases.a.object_color: object_color has a parent in an earlier frame, and the spec has no frames",
    ),
    "one case": (regime("{a: {object_color: uniform}}"), r"the regime has 1 case, and one always holds"),
    "nothing replaced": (regime("{a: {}, b: {}}"), r"the regime replaces nothing"),
    "case not chosen": (
        regime("{a: {object_color: 0}, b: {object_color: 1}}", "chosen: {probability: {a: 0.5}}"),
        r"it does not name the case 'b'",
    ),
    "unknown case": (
        regime("{a: {object_color: 0}}", "chosen: {probability: {c: 0.5}}"),
        r"'c' is not a case of the regime",
    ),
    "too many": (regime("{a: {object_color: 0}}", "chosen: {at_least: 2}"), r"no subset fits"),
    "name of a case": (
        regime("{'a b': {object_color: 0}}", "chosen: {}"),
        r"the case 'a b' would be the factor 'intervened_a b'",
    ),
    "name of a regime": (
        "extends: m3di\nname: wrong\nregimes: {'a b': {cases: {a: {}, b: {object_color: 0}}}}",
        r"the regime 'a b' would be a factor of that name",
    ),
    "no label": (
        "extends: m3di\nname: wrong\nregimes: {object_shape: {cases: {kow: {object_color: 0}}}}",
        r"no value of object_shape is called 'kow'; did you mean 'cow'\?: the case would never hold",
    ),
    "a number": (
        "extends: m3di\nname: wrong\nregimes: {spotlight_pos: {cases: {a: {object_color: 0}}}}",
        r"the factor 'spotlight_pos', whose values say which case holds, is continuous",
    ),
    "not shown": (
        "extends: m3di\nname: wrong\nfactors: {hidden: {type: continuous, kind: scalar, range: [0, 1]}}\nregimes: {r: {chosen: {}, cases: {a: {hidden: 0.5}}}}",
        r"no view sees hidden, or what depends on it: the regime would do nothing",
    ),
    "view's own mechanism": (
        regime("{a: {spotlight_pos: 0.5}}", "chosen: {}")
        + "views: {image: {factors: {spotlight_pos: {role: private, mechanism: {name: uniform, high: 0.5}}}}}\n",
        r"image has a mechanism of its own for spotlight_pos: the regime 'intervened' would not reach it",
    ),
    "unknown key": (
        regime("{a: {object_color: 0}}", "chosen: {probabilty: 0.5}"),
        r"unknown key; did you mean 'probability'",
    ),
    "nothing to take away": (
        "extends: m3di\nname: wrong\nregimes: {environment: null}",
        r"regimes\.environment: there is no regime 'environment' to take away(?s:.)*line 3",
    ),
    "no other split": (
        "extends: m3di\nname: wrong\nsplits: {tets: null}",
        r"splits\.tets: there is no split 'tets' to take away; did you mean 'test'",
    ),
    "an unknown factor is one mistake": (
        regime("{a: {object_colour: 0}}", "chosen: {}"),
        r"1 problem:(?s:.)*no factor is called 'object_colour'; did you mean 'object_color'",
    ),
    "a column that is taken": (
        "extends: m3di\nname: wrong\nregimes: {caption: {cases: {a: {object_color: 0}, b: {}}}}",
        r"regimes\.caption: its column 'caption' of view 'text' is taken(?s:.)*wrong\.yaml, line 3",
    ),
    "a cycle of cases": (
        "extends: m3di\nname: wrong\nregimes: {r: {chosen: {}, cases: {a: {r_a: 'no'}}}}",
        r"regimes\.r\.cases\.a: a cycle: r_a -> r_a(?s:.)*wrong\.yaml, line 3",
    ),
    "a parameter of a case without a value": (
        regime(
            "{a: {background_color: {name: normal, mean: 1 / (spotlight_pos - spotlight_pos), std: 1}}}", "chosen: {}"
        ),
        r"a parameter without a value(?s:.)*by what is changed in wrong\.yaml, line [3-9]",
    ),
    "a regime of which nothing fits is one mistake": (
        regime("{a: {object_color: 0}}", "chosen: {at_least: 2}") + "sequence: {length: 3, redrawn: [intervened]}\n",
        r"1 problem:(?s:.)*no subset fits",
    ),
    "never": (regime("{a: {object_color: 0}}", "chosen: {probability: 0}"), r"chosen: nothing is ever chosen"),
    "a long name": (
        f"extends: m3di\nname: wrong\nregimes: {{{'r' * 101}: {{cases: {{a: {{object_color: 0}}, b: {{}}}}}}}}",
        r"would be a factor of that name(?s:.)*at most 100 characters",
    ),
    "no cases": (
        "extends: m3di\nname: wrong\nregimes: {intervened: {chosen: {}}}",
        r"regimes.intervened: Field required|the key `cases`",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_is_told_with_its_place(name: str) -> None:
    text, message = WRONG[name]
    with pytest.raises(UsageError, match=message):
        parse_spec(text, where="wrong.yaml")


def test_a_case_may_set_of_which_view_a_factor_is_mixed() -> None:
    text = """extends: m3di
name: t
views:
  image: null
  text: null
  one: &seen {modality: image, factors: {object_shape: private, object_color: private}}
  two: *seen
  mixed: {modality: image, mixes: [one, two], changes: {}, factors: {object_shape: style, object_color: style}}
regimes: {r: {chosen: {}, cases: {second: {mixed_from_object_color: two}}}}
"""
    views = sample(parse_spec(text, where="test.yaml"), "train", 300).views
    second = views["mixed"]["r_second"] == 1
    assert (views["mixed"]["object_color"] == views["two"]["object_color"])[second].all()
    assert set(views["mixed"]["mixed_from_object_color"][~second]) == {0, 1}
    assert (views["one"]["r_second"] == views["mixed"]["r_second"]).all()


def test_cases_set_what_views_declare_too() -> None:
    text = """extends: misaligned-captions
name: t
regimes: {wording: {cases: {usual: {}, first: {text_clause_object_hue: "out"}}}}
"""
    drawn = sample(parse_spec(text, where="test.yaml"), "train", 300).views["text"]
    assert (drawn["text_clause_object_hue"] == (drawn["wording"] == 0)).all()  # the template's own: always there
    phrased = INSIDE.replace("{object_color: uniform}", "{object_color: uniform, text_phrasing: shows}")
    inside = sample(parse_spec(phrased, where="test.yaml"), "train", 300).views["text"]
    assert set(inside["text_phrasing"][inside["intervened_hue"] == 1]) == {1} != set(inside["text_phrasing"])
    with pytest.raises(UsageError, match=r"first\.text_clause_object_hue: 'inn' is neither a value"):
        parse_spec(text.replace('"out"', "inn"), where="test.yaml")


@pytest.mark.parametrize(
    ("key", "message"),
    {
        "cases: {hu: null}": r"there is no case 'hu' to take away; did you mean 'hue'",
        "cases: {hue: {object_colour: null}}": r"cases\.hue\.object_colour: there is no factor 'object_colour' to take",
    }.items(),
)
def test_what_an_extending_spec_takes_away_must_be_there(tmp_path: Path, key: str, message: str) -> None:
    (tmp_path / "inside.yaml").write_text(INSIDE)
    (tmp_path / "own.yaml").write_text(f"extends: inside.yaml\nname: own\nregimes: {{intervened: {{{key}}}}}\n")
    with pytest.raises(UsageError, match=message):
        load_spec(tmp_path / "own.yaml")


OTHER_COLUMNS = {
    "{other: {cases: {a: {object_color: 0}, b: {}}}}": r"regimes\.other: no regime is called 'other'",
    "{intervened: null}": r"regimes\.intervened: a split cannot take the regime 'intervened' away",
    "{intervened: {cases: {hu: {object_color: 0}}}}": r"no case of the regime intervened is called 'hu'; did you mean 'hue'",
    "{intervened: {cases: {hue: null}}}": r"cases\.hue: a split cannot take the case 'hue' away",
    "{intervened: {chosen: null}}": r"chosen: a split cannot say otherwise whether cases are `chosen`",
    "{intervened: {case: {}}}": r"cannot change `case` of a regime(?s:.)*did you mean 'cases'",
}


@pytest.mark.parametrize("regimes", OTHER_COLUMNS)
def test_a_split_has_the_regimes_and_cases_of_the_spec(regimes: str) -> None:
    splits = f"splits: {{train: 9, often: {{n: 9, regimes: {regimes}}}}}\n"
    with pytest.raises(UsageError, match="1 problem:(?s:.)*" + OTHER_COLUMNS[regimes]):
        parse_spec(INSIDE + splits, where="test.yaml")


def test_a_split_of_a_declared_label_may_have_cases_for_other_values_of_it() -> None:
    text = """extends: m3di
name: by-shape
regimes: {object_shape: {cases: {cow: {object_color: 0.25}}}}
splits: {train: 9, hares: {n: 9, regimes: {object_shape: {cases: {hare: {object_color: 0.75}, cow: null}}}}}
"""
    hares = sample(parse_spec(text, where="test.yaml"), "hares", 200).views["image"]
    assert ((hares["object_color"] == 0.75) == (hares["object_shape"] == 1)).all()


def test_a_split_has_regimes_and_interventions_of_its_own() -> None:
    splits = """
splits:
  train: 100
  moved: {n: 100, interventions: {object_xpos: right}}
  often: {n: 100, regimes: {intervened: {chosen: {probability: 1}, cases: {hue: {object_color: 0.25}}}}}
  elsewhere: {n: 100, interventions: {intervened_hue: "yes"}}
"""
    spec = parse_spec(INSIDE + splits, where="test.yaml")
    assert spec_from_dict(plain_spec(spec), where="again") == spec
    right, often, elsewhere = (sample(spec, split, 400).views["image"] for split in ("moved", "often", "elsewhere"))
    assert (right["object_xpos"] == 2).all() and set(right["intervened_object_xpos"]) == {0, 1}
    assert (often["object_color"] == 0.25).all() and (often["intervened_rotation"] == 1).all()
    assert (elsewhere["intervened_hue"] == 1).all() and set(elsewhere["object_xpos"]) == {0, 1, 2}
