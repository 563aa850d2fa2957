"""A key and the factors that it stands for say the same, also in a resolved spec that was edited."""

# ruff: noqa: E501 - a mistake and its message are read best side by side
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from m3di.errors import UsageError
from m3di.latents import Spec, counterfactual, do, load_spec, parse_spec, sample
from m3di.latents.resolve import plain_spec, spec_from_dict, to_yaml

EXTENDED = "extends: m3di\nname: t\n"
REGIME = "regimes: {inside: {chosen: {probability: 0.3}, cases: {hue: {object_color: uniform}}}}\n"
BOTH = "{misstates: {probability: {object_shape: 0.2}}}"
SUBSET = "{mentions: {probability: 0.5, at_least: 1}}"


def parse(text: str) -> Spec:
    return parse_spec(text, where="t.yaml")


def edited(spec: Spec, change: Callable[[dict[str, Any]], object]) -> Spec:
    """What `m3di specs show` prints, with one key changed."""
    data = yaml.safe_load(to_yaml(spec))
    change(data)
    return parse(yaml.safe_dump(data, sort_keys=False))


RESOLVED: dict[str, tuple[Callable[[], Spec], Callable[[dict[str, Any]], object], str]] = {
    "mentions": (
        lambda: load_spec("misaligned-captions"),
        lambda data: data["views"]["text"].update(mentions={"xpos": 0, "ypos": 0}),
        r"views\.text\.mentions\.xpos: `mentions` says how text_clause_xpos is drawn, and `factors` declares it "
        r"otherwise(?s:.)*got: +text_clause_xpos: .*weights: \[0\.0, 1\.0\](?s:.)*expected: .*weights: \[1\.0, 0\.0\]"
        r"(?s:.)*take text_clause_xpos out of `factors`",
    ),
    "a subset of clauses": (
        lambda: parse("extends: misaligned-captions\nname: t\nviews: {text: " + SUBSET + "}"),
        lambda data: data["views"]["text"]["mentions"].update(probability=0.9),
        r"views\.text\.mentions: `mentions` says how text_mentions is drawn",
    ),
    "misstates": (
        lambda: parse(EXTENDED + "views: {text: " + BOTH + "}"),
        lambda data: data["views"]["text"]["misstates"]["probability"].update(object_shape=0.9),
        r"`misstates` says how text_misstates is drawn",
    ),
    "no misstates any more": (
        lambda: parse(EXTENDED + "views: {text: " + BOTH + "}"),
        lambda data: data["views"]["text"].pop("misstates"),
        r"text_said_object_shape would say what captions state, and without `misstates` they state what is true(?s:.)*"
        r"take text_said_object_shape, text_misstated_object_shape out of the view",
    ),
    "a name that nothing has": (
        lambda: parse(EXTENDED + "views: {text: " + BOTH + "}"),
        lambda data: data["views"]["text"].update(misstates={"probability": {"object_shap": 0.5}}),
        r"'object_shap' is not a factor that the template reads; did you mean 'object_shape'",
    ),
    "chosen": (
        lambda: parse(EXTENDED + REGIME),
        lambda data: data["regimes"]["inside"]["chosen"].update(probability=0.9),
        r"regimes\.inside\.chosen: `chosen` says how inside is drawn",
    ),
    "changes": (
        lambda: load_spec("multiview-crl"),
        lambda data: next(each for each in data["views"].values() if "changes" in each).update(
            changes={"probability": 0.05}
        ),
        r"`changes` says how \w+_changes is drawn",
    ),
    "a split": (
        lambda: load_spec("misaligned-captions"),
        lambda data: data["splits"].update(bare={"n": 10, "views": {"text": {"mentions": {"xpos": 0}}}}),
        r"splits\.bare\.views\.text\.mentions\.xpos: `mentions` says how text_clause_xpos is drawn",
    ),
}


@pytest.mark.parametrize("case", RESOLVED)
def test_a_key_that_is_edited_in_a_resolved_spec_is_not_ignored(case: str) -> None:
    made, change, message = RESOLVED[case]
    with pytest.raises(UsageError, match=message):
        edited(made(), change)


CLAUSE = "extends: misaligned-captions\nname: t\n"
DECLARED = {
    "factors: {text_clause_xpos: {type: categorical, kind: label, values: [out, in]}}\nviews: {text: {mentions: {xpos: 1}}}": r"text_clause_xpos: \{name: uniform\}",
    "factors: {text_misstates: {type: integer, kind: label, range: [0, 1]}}\nviews: {text: {misstates: {probability: {object_hue_name: 0.2}}}}": r"`misstates` says how text_misstates is drawn",
    "views: {text: {mentions: {xpos: 0.5}, factors: {text_clause_xpos: {role: private, mechanism: {name: bernoulli, probability: 0.9}}}}}": r"`mentions` says how text_clause_xpos is drawn, and text draws it otherwise",
    "views: {text: {mentions: {xpos: 0.5}, factors: {text_clause_xpos: {role: constant, value: 1}}}}": r"and text draws it otherwise(?s:.)*write `text_clause_xpos: private` in text",
}


@pytest.mark.parametrize("text", DECLARED)
def test_what_a_spec_declares_itself_is_what_the_key_says(text: str) -> None:
    with pytest.raises(UsageError, match=DECLARED[text]):
        parse(CLAUSE + text)


def test_a_factor_that_no_key_names_may_be_declared_with_other_weights() -> None:
    own = "factors: {text_clause_rotation: {type: categorical, kind: label, values: [out, in], mechanism: {name: categorical, weights: [1, 0]}}}\n"
    drawn = sample(
        parse(EXTENDED + own + "views: {text: {template: detailed, mentions: {spotlight: 1}}}"),
        "train",
        50,
    )
    assert not drawn.views["text"]["text_clause_rotation"].any()
    assert drawn.views["text"]["text_clause_spotlight"].all()


def test_a_factor_that_is_declared_as_the_key_says_is_no_contradiction() -> None:
    given = {"name": "categorical", "weights": [0, 1]}  # whole numbers, where the key gives 0.0 and 1.0
    plain = plain_spec(load_spec("misaligned-captions"))
    plain["factors"]["text_clause_xpos"]["mechanism"] = given
    assert sample(spec_from_dict(plain, where="t"), "train", 20).views["text"]["text_clause_xpos"].all()


INTERVENED = {
    "a clause": (lambda: load_spec("misaligned-captions"), {"text_clause_xpos": "out"}, {}),
    "in one view": (
        lambda: load_spec("misaligned-captions"),
        {"text.text_clause_xpos": "out"},
        {"text_clause_ypos": 0},
    ),
    "a subset": (
        lambda: parse(CLAUSE + "views: {text: " + SUBSET + "}"),
        {"text_mentions": 3},
        {"text_clause_ypos": 0},
    ),
    "a case": (lambda: parse(EXTENDED + REGIME), {"inside_hue": "yes"}, {"object_color": 0.5}),
    "what is said": (
        lambda: parse(EXTENDED + "views: {text: " + BOTH + "}"),
        {"text_said_object_shape": "cow"},
        {"object_shape": "dragon"},
    ),
}


@pytest.mark.parametrize("case", INTERVENED)
def test_an_intervention_may_set_what_a_key_stands_for(case: str) -> None:
    made, first, second = INTERVENED[case]
    done = do(do(made(), first), second)
    again = spec_from_dict(plain_spec(done), where="t")
    assert sample(again, "train", 20).columns().keys() == sample(done, "train", 20).columns().keys()


def test_what_an_intervention_sets_keeps_its_place_in_changes() -> None:
    spec = load_spec("multiview-crl")
    factual = sample(spec, "train", 50)
    moved = counterfactual(factual, object_xpos="right").views["image_changed"]
    kept = [name for name in moved if "_changed_" in name and not name.endswith("_xpos")]
    assert len(kept) == 7
    assert all((moved[name] == factual.views["image_changed"][name]).all() for name in kept)
    assert edited(do(spec, object_xpos="right"), lambda data: None).interventions == {"object_xpos": "right"}
