"""Splits that lay something over their spec: what they may, what they may not, and that nothing else changes."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from m3di.errors import UsageError
from m3di.latents import (
    Spec,
    bounds,
    counterfactual,
    do,
    load_spec,
    parse_spec,
    plain_spec,
    sample,
    spec_from_dict,
    to_yaml,
    told_splits,
)
from m3di.latents.overlay import difference, laid_over
from m3di.latents.splits import process_of, with_variants

BEGINNING = "extends: m3di\nname: a\n"


def spec_with(splits: str, more: str = "") -> Spec:
    return parse_spec(f"{BEGINNING}{more}splits:\n{splits}", where="a.yaml")


def test_a_split_draws_by_its_own_process_and_others_by_the_spec() -> None:
    spec = spec_with("  alike: 5\n  free: {n: 7, factors: {object_color: {mechanism: {strength: 0}}}}\n")
    base = load_spec("m3di")
    assert spec.sizes == {"train": 125000, "val": 10000, "test": 10000, "alike": 5, "free": 7}
    alike, free = (sample(spec, split, 50).views["image"] for split in ("alike", "free"))
    whole = do(base, object_color={"strength": 0.0}).in_split("train")
    for name in alike:
        # The noise of a split is keyed by its name: the same spec with a split of that name draws the same.
        renamed = base.model_copy(update={"splits": {"free": 1, "alike": 1}})
        np.testing.assert_array_equal(alike[name], sample(renamed, "alike", 50).views["image"][name])
        shifted = whole.model_copy(update={"splits": {"free": 1}})
        np.testing.assert_array_equal(free[name], sample(shifted, "free", 50).views["image"][name])
        ours, theirs = (sample(each, "train", 50).views["image"][name] for each in (spec, base))
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize(
    "splits",
    [
        '  b: {n: 5, given: object_shape == "cow"}\n',
        "  b: {n: 5, views: {image: {material: metal, factors: {object_zpos: private}}}}\n",
        "  train: {factors: {object_color: {mechanism: {name: uniform, low: 0.5}}}}\n",
        "  b: {n: 5, interventions: {object_color: 0.5, image.spotlight_pos: 0.1}}\n  c: 7\n",
        '  b: {n: 5, given: null}\n  c: {n: 6, given: object_xpos == "left"}\ngiven: object_shape != "cow"\n',
    ],
)
def test_a_resolved_spec_is_the_same_once_more(splits: str) -> None:
    spec = spec_with(splits)
    assert spec_from_dict(plain_spec(spec), where="a") == spec
    assert spec_from_dict(plain_spec(spec), where="a", stored=True) == spec
    assert parse_spec(to_yaml(spec), where="a.yaml") == spec
    assert with_variants(spec.base, spec.variants) == spec
    for split in spec.overlays:
        assert spec.in_split(split).in_split(split) == spec.in_split(split)
        assert told_splits(spec)[split]


def test_a_condition_of_the_spec_is_replaced_or_taken_away() -> None:
    spec = spec_with(
        '  none: {n: 5, given: null}\n  other: {n: 5, given: object_shape == "cow"}\n', 'given: object_shape != "cow"\n'
    )
    found = {split: set(sample(spec, split, 300).views["image"]["object_shape"].tolist()) for split in spec.sizes}
    assert found["train"] == {0, 1, 2, 4, 5, 6} and found["none"] == set(range(7)) and found["other"] == {3}
    assert told_splits(spec)["none"] == "no condition"


def test_interventions_hold_over_the_process_of_every_split() -> None:
    spec = spec_with(
        "  b: {n: 5, factors: {object_color: {mechanism: {name: uniform}}}}\n"
        "  c: {n: 5, interventions: {object_xpos: left}}\n"
    )
    right = do(spec, object_xpos="right")
    for split in spec.sizes:
        assert set(sample(right, split, 20).views["image"]["object_xpos"].tolist()) == {2}
    before, after = (sample(each, "b", 50).views["image"] for each in (spec, right))
    np.testing.assert_array_equal(before["object_color"], after["object_color"])  # uniform there: it has no parent
    assert (
        sample(spec, "train", 50).views["image"]["object_color"]
        != sample(right, "train", 50).views["image"]["object_color"]
    ).any()
    assert told_splits(right) == {"b": "object_color {mechanism: {name: uniform}}"}


def test_a_counterfactual_is_one_of_the_split_that_its_samples_are_of() -> None:
    spec = spec_with('  cows: {n: 5, given: object_shape == "cow"}\n')
    cows = sample(spec, "cows", 40)
    horses = counterfactual(cows, object_shape="horse").views["image"]
    assert set(horses["object_shape"].tolist()) == {5}
    for name in ("object_xpos", "object_color", "spotlight_pos"):
        np.testing.assert_array_equal(horses[name], cows.views["image"][name])


def test_style_changes_of_a_split_are_drawn_by_its_own_probabilities() -> None:
    text = "extends: multiview-crl\nname: a\nsplits:\n"
    text += "  always: {n: 9, views: {image_changed: {changes: {probability: 1.0}}}}\n"
    spec = parse_spec(text, where="a.yaml")
    masks = [name for name in spec.views["image_changed"].factors if name.startswith("image_changed_changed_")]
    assert masks
    drawn = {split: sample(spec, split, 100).views["image_changed"] for split in ("train", "always")}
    assert all(0 < drawn["train"][name].mean() < 1 and drawn["always"][name].all() for name in masks)


def test_bounds_are_those_of_the_split() -> None:
    spec = spec_with("  free: {n: 7, factors: {object_color: {mechanism: {strength: 0}}}}\n")
    found = {
        split: {each.factor: each.value for each in bounds(spec.in_split(split), n=1000) if each.view == "image"}
        for split in ("train", "free")
    }
    assert found["train"]["object_color"] == pytest.approx(8 / 9, abs=1e-6)
    assert found["free"]["object_color"] == 0.0


def test_a_spec_lays_its_splits_over_those_that_it_extends(tmp_path: Any) -> None:
    (tmp_path / "a.yaml").write_text(
        f'{BEGINNING}splits: {{train: 1000, val: 80, test: 80, b: {{n: 500, given: object_xpos == "left"}}, c: 40}}\n'
    )
    (tmp_path / "b.yaml").write_text("extends: a.yaml\nname: b\nsplits: {train: 500}\n")
    (tmp_path / "c.yaml").write_text(
        'extends: a.yaml\nname: c\nsplits: {b: 7, c: {given: object_xpos == "right"}, test: null}\n'
    )
    half, other = (load_spec(tmp_path / f"{name}.yaml") for name in "bc")
    assert half.sizes == {"train": 500, "val": 40, "test": 40, "b": 250, "c": 20} and list(half.overlays) == ["b"]
    assert other.sizes == {"train": 1000, "val": 80, "b": 7, "c": 40} and list(other.overlays) == ["b", "c"]


REFUSED = {
    "  b: {given: object_xpos == 1}\n": r"splits\.b\.n: Field required",
    "  b: {n: -1}\n": r"splits\.b\.n: .*greater than or equal to 0",
    "  b: {n: 5, factor: {}}\n": r"splits\.b\.factor: unknown key; did you mean 'factors'",
    "  b: {n: 5, pairs: {permuted_content: true}}\n": r"splits\.b\.pairs: unknown key",
    "  b-c: 5\n": r"splits\.b-c: a split cannot be called so(?s:.)*for example b_c",
    "  validation: 5\n": r"splits\.validation: 'validation' means something else(?s:.)*call it val",
    "  trian: 5\n": r"splits\.trian: no split is called 'trian'; did you mean 'train'",
    "  Train: {n: 5}\n": r"splits\.Train: the splits 'train' and 'Train' differ in capitals only",
    "  b: {n: 5, factors: {object_colour: {mechanism: {strength: 0}}}}\n": (
        r"splits\.b\.factors\.object_colour: no factor is called 'object_colour'; did you mean 'object_color'"
    ),
    "  b: {n: 5, factors: {object_color: null}}\n": r"splits\.b\.factors\.object_color: a split cannot take the factor",
    "  b: {n: 5, factors: {object_color: uniform}}\n": r"what a split changes of a factor is a mapping",
    "  b: {n: 5, factors: {object_xpos: {values: [a, b]}}}\n": (
        r"splits\.b\.factors\.object_xpos\.values: a split cannot change `values`"
    ),
    "  b: {n: 5, views: {imag: {ground: checker}}}\n": (
        r"splits\.b\.views\.imag: no view is called 'imag'; did you mean 'image'"
    ),
    "  b: {n: 5, views: {text: {template: german}}}\n": (
        r"splits\.b\.views\.text\.template: a split cannot change `template`"
    ),
    "  b: {n: 5, views: {image: {factors: {text_color: style}}}}\n": (
        r"no factor of the view image is called 'text_color'"
    ),
    "  b: {n: 5, views: {image: {factors: {object_color: null}}}}\n": (
        r"a split cannot take the factor 'object_color' away"
    ),
    "  b: {n: 5, views: {text: {mentions: {a: 1}}}}\n": r"splits\.b\.views\.text",
    "  b: {n: 5, factors: {object_color: {mechanism: {strength: 2}}}}\n": (
        r"splits\.b\.factors\.object_color\.mechanism\.strength: (?s:.)*a\.yaml, line 4"
    ),
    "  b: {n: 5, given: object_colour < 1}\n": r"splits\.b\.given: ",
    "  b: {n: 5, given: object_color > 2}\n": r"splits\.b\.given: no draw fulfils the condition",
    "  b: {n: 5, interventions: {object_xpos: up}}\n": (
        r"splits\.b\.interventions\.object_xpos: 'up' is neither a value"
    ),
    "  b: {n: 5, factors: [object_color]}\n": r"splits\.b\.factors: Input should be an object",
}  # fmt: skip


@pytest.mark.parametrize("splits", REFUSED)
def test_what_a_split_cannot_be_is_refused_with_its_place(splits: str) -> None:
    with pytest.raises(UsageError) as error:
        spec_with(splits)
    assert re.search(REFUSED[splits], str(error.value)), str(error.value)


def test_a_split_may_choose_nothing_where_the_spec_does_so_by_chance() -> None:
    text = """extends: misaligned-captions
name: a
views: {text: {misstates: {probability: {object_shape: 0.5}}}}
regimes: {target: {chosen: {probability: 0.5}, cases: {hue: {object_color: 0.25}}}}
splits:
  train: 40
  plain:
    n: 5
    regimes: {target: {chosen: {probability: 0}}}
    views: {text: {misstates: {probability: {object_shape: 0}}}}
"""
    spec = parse_spec(text, where="a.yaml")
    assert spec_from_dict(plain_spec(spec), where="a") == spec
    train, plain = (sample(spec, split, 200).views["text"] for split in ("train", "plain"))
    forced = counterfactual(sample(spec, "plain", 200), target_hue="yes").views["text"]
    assert (forced["target_hue"] == 1).all() and (forced["text_said_object_shape"] == plain["object_shape"]).all()
    assert set(train["target_hue"].tolist()) == set(train["text_misstated_object_shape"].tolist()) == {0, 1}
    assert set(plain["target_hue"].tolist()) == set(plain["text_misstated_object_shape"].tolist()) == {0}
    assert (plain["text_said_object_shape"] == plain["object_shape"]).all()


def test_columns_that_a_case_of_a_split_would_add_are_named() -> None:
    text = """extends: m3di
name: a
regimes: {target: {chosen: {}, cases: {light: {spotlight_pos: 0.5}}}}
splits: {train: 9, b: {n: 9, regimes: {target: {cases: {light: {object_xpos: left}}}}}}
"""
    with pytest.raises(
        UsageError, match=r"1 problem:(?s:.)*the view 'text' sees target_light in one of them only: all"
    ):
        parse_spec(text, where="a.yaml")


def test_a_split_with_a_process_may_be_called_nearly_as_another_one() -> None:
    assert spec_with("  set: {n: 5, factors: {object_color: {mechanism: {strength: 0}}}}\n").sizes["set"] == 5


def test_all_problems_of_all_splits_are_told_at_once() -> None:
    with pytest.raises(UsageError, match=r"(?s)2 problems.*splits\.b\.factors.*line 4.*splits\.c\.given.*line 5"):
        spec_with("  b: {n: 5, factors: {object_colour: {}}}\n  c: {n: 5, given: nothing == 1}\n")


def test_an_unknown_split_is_named_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"(?s)no split is called 'cow'.*train, val, test, cows.*cows"):
        sample(spec_with("  cows: 5\n"), "cow", 1)


PLAIN = st.recursive(
    st.integers(0, 3) | st.text("ab", max_size=2),
    lambda inner: st.dictionaries(st.sampled_from(["mechanism", "change", "x", "y"]), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@pytest.mark.slow
@given(
    st.dictionaries(st.sampled_from(["given", "pairs", "other"]), PLAIN),
    st.dictionaries(st.sampled_from(["given", "pairs", "other"]), PLAIN),
)
def test_what_differs_laid_over_the_one_gives_the_other(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert laid_over(one, difference(one, other)) == other


@pytest.mark.parametrize(
    ("one", "other"), [("3dident", "causal3dident"), ("m3di", "m3di-independent"), ("m3di", "m3di-counterfactual")]
)
def test_built_in_specs_are_told_apart_and_put_together(one: str, other: str) -> None:
    first, second = (process_of(load_spec(name)) for name in (one, other))
    assert laid_over(first, difference(first, second)) == second


def test_a_split_says_which_environment_its_samples_are_in() -> None:
    regimes = "regimes: {environment: {cases: {usual: {}, weak: {object_color: {strength: 0.1}}}}}\n"
    splits = "  weak: {n: 5, factors: {environment: {mechanism: {name: constant, value: 1}}}}\n"
    splits += "  bound: {n: 5, factors: {object_color: {mechanism: {strength: 0.5}}}}\n"
    spec = spec_with(splits, regimes)
    assert spec_from_dict(plain_spec(spec), where="a") == spec
    assert spec_from_dict(plain_spec(spec), where="a", stored=True) == spec
    views = {split: sample(spec, split, 100).views["image"] for split in spec.sizes}
    assert set(views["train"]["environment"].tolist()) == {0, 1}
    assert set(views["weak"]["environment"].tolist()) == {1}


def test_factors_that_a_view_declares_have_other_mechanisms_too() -> None:
    spec = spec_with("  sits: {n: 5, factors: {text_phrasing: {mechanism: {name: constant, value: 0}}}}\n")
    assert set(sample(spec, "sits", 50).views["text"]["text_phrasing"].tolist()) == {0}
    assert list(spec.in_split("sits").views["text"].factors) == list(spec.base.views["text"].factors)
    assert spec_from_dict(plain_spec(spec), where="a") == spec


def test_what_a_split_changes_of_a_regime_is_told() -> None:
    regimes = (
        "regimes:\n  environment: {cases: {usual: {}, weak: {object_color: {strength: 0.5}}}}\n"
        "  r: {chosen: {probability: 0.2}, cases: {ground: {background_color: 0.5}, hue: {spotlight_color: 0.5}}}\n"
    )
    spec = spec_with(
        "  strong: {n: 10, regimes: {environment: {cases: {weak: {object_color: {strength: 0.9}}}}}}\n"
        "  often: {n: 10, regimes: {r: {chosen: {probability: 0.9}}}}\n"
        "  done: {n: 10, interventions: {background_color: 0.25}}\n",
        regimes,
    )
    assert told_splits(spec) == {
        "strong": "regime environment {cases: {weak: {object_color: {strength: 0.9}}}}",
        "often": "regime r {chosen: {probability: 0.9}}",
        "done": "do background_color = 0.25",
    }
