"""Sampled data against the graph that is drawn: each arrow acts in every view that sees both ends, no other pair."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from m3di.errors import UsageError
from m3di.latents import (
    Spec,
    arrows,
    counterfactual,
    do,
    load_spec,
    notes,
    parse_spec,
    plain_spec,
    sample,
    spec_from_dict,
    spec_names,
)
from tests.conftest import slow

N = 200


def worlds(spec: Spec, name: str) -> list[float]:
    """Values of a factor to set it to."""
    factor = spec.factors[name]
    if factor.type == "categorical":
        return [float(value) for value in range(factor.n)][:4]
    low, high = factor.bounds if np.isfinite(factor.bounds).all() else (-2.0, 2.0)
    values = [low, low + 0.31 * (high - low), low + 0.77 * (high - low), high]
    return [float(round(value)) for value in values] if factor.type == "integer" else values


def reached(spec: Spec, view: str) -> dict[str, set[str]]:
    """All that a factor causes in a view, over however many arrows."""
    drawn = arrows(spec, view)
    found = {}
    for name in spec.factors:
        below, fresh = {name}, [name]
        while fresh:
            above = fresh.pop()
            fresh += [child for parent, child in drawn if parent == above and child not in below]
            below |= {child for parent, child in drawn if parent == above}
        found[name] = below - {name}
    return found


def check_arrows(spec: Spec) -> int:
    """Compare the same noise under other values of each factor with the arrows; how many arrows were seen to act."""
    n_seen = 0
    kept = {key: each for key, each in plain_spec(spec).items() if key not in ("pairs", "sequence")}
    plain = spec_from_dict(kept, where="test")
    acting = {view: arrows(plain, view) for view in plain.views}
    caused = {view: reached(plain, view) for view in plain.views}
    shown = {each for view in plain.views.values() for each in view.factors}
    for name in plain.factors:
        if shown.isdisjoint(plain.descendants([name])):
            continue  # an intervention on what has no effect is refused
        drawn = [sample(do(plain, {name: value}), "test", N, seed=5).views for value in worlds(plain, name)]
        for view, declared in plain.views.items():
            below = caused[view][name]
            for other in declared.factors:
                values = [each[view][other] for each in drawn]
                differs = any(not np.array_equal(values[0], each) for each in values[1:])
                if other == name:
                    continue
                if (name, other) in acting[view] and name in declared.factors:
                    assert differs, f"{view}: {name} -> {other} is drawn and does nothing"
                    n_seen += 1
                if other not in below:
                    assert not differs, f"{view}: {other} depends on {name}, and no arrow says so"
    return n_seen


QUICK = ("3dident", "m3di")  # the others are much like these


# The parents of temporal specs lie in earlier frames: test_temporal_causal3dident.py holds their arrows.
OTHERS = tuple(
    name for name in spec_names() if name not in QUICK and "temporal" not in name and name != "shifted-causal3dident"
)


@pytest.mark.parametrize("name", [*QUICK, *slow(*OTHERS)])
def test_every_arrow_of_a_built_in_spec_acts_and_no_other(name: str) -> None:
    spec = load_spec(name)
    n_declared = sum(bool(spec.parents(factor)) for factor in spec.factors)
    assert (check_arrows(spec) > 0) == (n_declared > 0)
    assert notes(spec) == []


NAMES = ("object_xpos", "object_ypos", "object_zpos", "object_color", "spotlight_pos", "background_color")
LABELS = ("object_xpos", "object_ypos")
MIX = st.sampled_from([0.0, 0.3, 1.0])


@st.composite
def small_specs(draw: st.DrawFn) -> dict[str, Any]:
    """Specs of up to six factors in random order, random parents, mechanisms, roles, and two or three views."""
    order = draw(st.permutations(NAMES))[: draw(st.integers(2, 6))]
    factors: dict[str, Any] = {}
    for number, name in enumerate(order):
        before = list(order[:number])
        if name in LABELS:
            factor: dict[str, Any] = {
                "type": "categorical",
                "kind": "label",
                "values": ["a", "b", "c"],
                "physical": [0, 1, 2],
            }
            known = [each for each in before if each in LABELS]
            if known and draw(st.booleans()):
                rows = draw(st.lists(st.sampled_from([[1, 0, 0], [0, 1, 1], [1, 1, 1]]), min_size=3, max_size=3))
                factor["mechanism"] = {"name": "table", "parents": known[:1], "rows": rows, "strength": draw(MIX)}
        else:
            factor = {"type": "continuous", "kind": "scalar", "range": [0, 1]}
            factor["mechanism"] = draw(mechanisms(before))
        factors[name] = factor
    views = {
        f"view{number}": {"modality": "image", "shape": "cube", "factors": draw(uses(list(order), factors))}
        for number in range(draw(st.integers(1, 3)))
    }
    return {"name": "random", "factors": factors, "views": views, "splits": {"train": 1}}


def mechanisms(before: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    parents = st.lists(st.sampled_from(before), min_size=1, max_size=3, unique=True) if before else st.just([])

    def build(kind: str, names: list[str], weight: float, strength: float) -> dict[str, Any]:
        if not names or kind == "uniform":
            return {"name": "uniform"}
        if kind == "affine":
            return {
                "name": "affine",
                "parents": names,
                "weights": [weight / len(names)] * len(names),
                "strength": strength,
            }
        if kind == "linear":
            return {"name": "linear_gaussian", "parents": names, "weights": [weight] * len(names), "std": 0.3}
        if kind == "binned" and names[0] in LABELS:
            return {"name": "binned", "parents": names[:1], "strength": strength}
        if kind == "copy":
            return {"name": "copy", "parents": names[:1], "strength": strength}
        return {"name": "truncated_normal", "parents": names[:1], "std": 0.4, "strength": strength}

    kinds = st.sampled_from(["uniform", "affine", "linear", "binned", "copy", "normal"])
    return st.builds(build, kinds, parents, st.sampled_from([0.0, 0.6]), MIX)


@st.composite
def uses(draw: st.DrawFn, order: list[str], factors: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in order:
        kind = draw(
            st.sampled_from(["content", "content", "style", "changed", "redrawn", "private", "own", "constant", "not"])
        )
        number = factors[name]["type"] == "continuous"
        if kind in ("content", "style", "private"):
            found[name] = kind
        elif kind == "changed":
            found[name] = {"role": "style", "change": {"name": "perturb", "probability": draw(MIX)}}
        elif kind == "redrawn":
            found[name] = {"role": "style", "change": {"name": "uniform"}}
        elif kind == "own":
            own = draw(mechanisms(order[: order.index(name)])) if number else {"name": "uniform"}
            found[name] = {"role": draw(st.sampled_from(["private", "style"])), "mechanism": own}
        elif kind == "constant":
            found[name] = {"role": "constant", "value": 1}
    return found


@pytest.mark.slow
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(small_specs())
def test_what_a_random_spec_draws_is_what_its_data_obey(data: dict[str, Any]) -> None:
    try:
        spec = spec_from_dict(data, where="random")
    except UsageError as error:
        # Refused specs say why, and for nothing else but what this page is about.
        assert all("content" in line for line in str(error).splitlines() if line.startswith("  - "))
        assume(False)
    check_arrows(spec)
    check_content(spec)


def check_content(spec: Spec) -> None:
    """All views that call a factor content agree on it, sample by sample."""
    drawn = sample(spec, "train", N)
    for name in spec.factors:
        held = [drawn.views[view][name] for view, each in spec.views.items()
                if name in each.factors and each.factors[name].role == "content"]  # fmt: skip
        for values in held[1:]:
            np.testing.assert_array_equal(values, held[0])


@pytest.mark.parametrize("name", [*QUICK, *slow(*OTHERS, "temporal-causal3dident")])
def test_content_agrees_in_every_view_of_a_built_in_spec(name: str) -> None:
    plain = {key: each for key, each in plain_spec(load_spec(name)).items() if key != "pairs"}
    if "sequence" in plain:  # one frame a sample, so that views have their own names
        plain["sequence"] = {**plain["sequence"], "frames": "samples"}
    check_content(spec_from_dict(plain, where="test"))


TWO = """
name: two
factors:
  object_xpos: {type: categorical, kind: position, values: [l, r], physical: [-1, 1]}
  object_ypos: {type: categorical, kind: position, values: [l, r], physical: [-1, 1],
                mechanism: {name: table, parents: [object_xpos], rows: [[1, 0], [0, 1]]}}
  object_color: {type: continuous, kind: hue, range: [0, 1], mechanism: {name: binned, parents: [object_ypos]}}
views:
  one: {modality: image, shape: cube, factors: {ONE}}
  two: {modality: image, shape: cube, factors: {TWO}}
splits: {train: 10}
"""


def two(one: str, other: str) -> Spec:
    return parse_spec(TWO.replace("{ONE}", one).replace("{TWO}", other), where="two.yaml")


@pytest.mark.parametrize("role", ["private", "{role: constant, value: 1}"])
def test_content_that_nobody_shares_is_refused(role: str) -> None:
    with pytest.raises(
        UsageError, match=r"views\.two\.factors\.object_xpos: object_xpos is content of one(?s:.)*line 10"
    ):
        two("{object_xpos: content}", f"{{object_xpos: {role}}}")


def test_a_view_with_a_value_of_its_own_says_so() -> None:
    spec = two("{object_xpos: content}", "{object_xpos: {role: private, unshared: true}}")
    views = sample(spec, "train", N).views
    assert 0.4 < (views["one"]["object_xpos"] == views["two"]["object_xpos"]).mean() < 0.6
    with pytest.raises(UsageError, match="content of no other view: there is nothing to differ from"):
        two("{object_xpos: private}", "{object_xpos: {role: private, unshared: true}}")
    with pytest.raises(UsageError, match="`unshared` is for the roles"):
        two("{object_xpos: content}", "{object_xpos: {role: content, unshared: true}}")


def test_content_of_two_views_may_be_private_in_a_third_and_a_note_says_so() -> None:
    third = "  three: {modality: image, shape: cube, factors: {object_xpos: private}}\nsplits"
    text = TWO.replace("{ONE}", "{object_xpos: content}").replace("{TWO}", "{object_xpos: content}")
    spec = parse_spec(text.replace("splits", third), where="three.yaml")
    first, unseen = notes(spec)
    assert first.startswith("three has a value of object_xpos of its own (private); one, two share another one.")
    assert unseen.startswith("No view sees object_ypos, object_color, or what follows them")


def test_a_caption_that_tells_another_hue_than_the_image_shows_is_noted() -> None:
    """The text sees the name of the shared hue; an image with a hue of its own shows another one."""
    text = "{extends: m3di, name: t, views: {image: {factors: {object_color: USE}}}}"
    (note,) = notes(parse_spec(text.replace("USE", "private"), where="t.yaml"))
    assert "text_color of text follows the shared one, not this one" in note
    assert notes(parse_spec(text.replace("USE", "{role: private, unshared: true}"), where="t.yaml")) == []


def test_a_caption_and_an_image_with_values_of_their_own_are_noted() -> None:
    uses = "{factors: {object_shape: private}}"
    (note,) = notes(parse_spec(f"{{extends: m3di, name: t, views: {{image: {uses}, text: {uses}}}}}", where="t.yaml"))
    assert note.startswith("text and image each have a value of object_shape of their own")


def test_a_sphere_that_turns_changes_no_pixel() -> None:
    text = """
    name: ball
    factors: {object_alpharot: {type: continuous, kind: angle, range: [-1, 1]}, object_shape: SHAPES}
    views: {one: {modality: image, factors: {object_shape: private, object_alpharot: USE}}}
    splits: {train: 10}
    """
    only = text.replace("SHAPES", "{type: categorical, kind: label, values: [sphere]}")
    with pytest.raises(UsageError, match=r"object_alpharot would change no pixel: a sphere looks the same"):
        parse_spec(only.replace("USE", "private"), where="ball.yaml")
    parse_spec(only.replace("USE", "{role: private, recorded: true}"), where="ball.yaml")
    several = text.replace("SHAPES", "{type: categorical, kind: label, values: [sphere, cube]}")
    parse_spec(several.replace("USE", "private"), where="ball.yaml")


def test_a_caption_that_tells_what_an_image_leaves_out_is_noted() -> None:
    spec = parse_spec("{extends: m3di, name: t, views: {image: {factors: {object_ypos: null}}}}", where="t.yaml")
    assert notes(spec) == ["text tells object_ypos, and image does not see it: the image shows 0 m."]


def test_interventions_in_several_views_leave_a_sound_spec() -> None:
    both = do(load_spec("m3di"), {"image.object_shape": "cow", "text.object_shape": "hare"})
    views = sample(both, "train", 5).views
    assert set(views["image"]["object_shape"]) == {3} and set(views["text"]["object_shape"]) == {1}


def test_content_below_what_a_view_draws_itself_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"object_ypos is content .* and depends on object_xpos, of which this view has"
    ):
        two("{object_xpos: private, object_ypos: content}", "{object_ypos: content}")
    # The one arrow between them leads through a factor that the view does not see.
    with pytest.raises(UsageError, match=r"object_color is content .* and depends on object_xpos"):
        two("{object_xpos: private, object_color: content}", "{object_color: content}")
    with pytest.raises(UsageError, match=r"object_color is content .* and depends on object_ypos"):
        changed = "{role: style, change: {name: perturb, probability: 0.5}}"
        two(f"{{object_ypos: {changed}, object_color: content}}", "{object_color: content}")


@pytest.mark.parametrize("role", ["style", "private"])
def test_a_hidden_factor_passes_on_what_the_view_draws_itself(role: str) -> None:
    """From x over y to the hue, and the view sees x and the hue only: the hue still follows the x that is shown."""
    spec = two(f"{{object_xpos: private, object_color: {role}}}", f"{{object_xpos: private, object_color: {role}}}")
    for view in ("one", "two"):
        drawn = sample(spec, "train", N).views[view]
        np.testing.assert_array_equal(np.floor(2 * drawn["object_color"]), drawn["object_xpos"])


def test_an_intervention_in_one_view_reaches_its_content_there_and_nowhere_else() -> None:
    both = "{object_xpos: content, object_ypos: content, object_color: content}"
    factual = sample(two(both, both), "train", N)
    moved = counterfactual(factual, {"one.object_xpos": "r"})
    assert (moved.views["one"]["object_ypos"] == 1).all()
    assert (moved.views["one"]["object_color"] >= 0.5).all()
    for name, values in factual.views["two"].items():
        np.testing.assert_array_equal(values, moved.views["two"][name])


@pytest.mark.parametrize(
    ("mechanism", "drawn"),
    [
        ("{name: binned, parents: [object_ypos], strength: 0}", False),
        ("{name: affine, parents: [object_ypos], weights: [0]}", False),
        ("{name: affine, parents: [object_ypos], weights: [0.01]}", True),
        ("{name: linear_gaussian, parents: [object_ypos], weights: [0], std: 1}", False),
        ("{name: copy, parents: [object_ypos], strength: 0.001}", True),
        ("{name: copy, parents: [object_ypos], strength: 0}", False),
    ],
)
def test_a_parent_without_effect_has_no_arrow(mechanism: str, drawn: bool) -> None:
    text = TWO.replace("{name: binned, parents: [object_ypos]}", mechanism)
    roles = "{object_ypos: content, object_color: content}"
    spec = parse_spec(text.replace("{ONE}", roles).replace("{TWO}", roles), where="two.yaml")
    assert (("object_ypos", "object_color") in arrows(spec, "one")) == drawn


def test_a_redrawn_or_constant_child_has_no_arrow() -> None:
    redrawn = "{object_ypos: content, object_color: {role: style, change: {name: uniform}}}"
    fixed = "{object_ypos: content, object_color: {role: constant, value: 0.5}}"
    spec = two(redrawn, fixed)
    assert ("object_ypos", "object_color") not in arrows(spec, "one") | arrows(spec, "two")
    drawn = sample(spec, "train", 20_000).views["one"]
    assert abs(np.corrcoef(drawn["object_color"], drawn["object_ypos"])[0, 1]) < 0.03
    assert 0.0 < drawn["object_color"].min() < 0.01  # uniform over all of its range


def test_a_change_by_ar1_is_a_step_from_the_views_own_value() -> None:
    spec = two("{object_color: style}", "{object_color: {role: style, change: {name: ar1, strength: 0.9}}}")
    views = sample(spec, "train", 20_000).views
    assert np.corrcoef(views["one"]["object_color"], views["two"]["object_color"])[0, 1] == pytest.approx(
        0.89, abs=0.01
    )


@pytest.fixture
def drift(registries: None) -> None:
    """A temporal mechanism with a declared parent."""
    from m3di.latents import register

    @register("drift", n_parents=1, types=["continuous"], temporal=True)
    def drift(u: np.ndarray, parents: list[Any], factor: Any, *, pull: float = 0.5) -> np.ndarray:
        *before, goal = parents
        start = before[0].unit if before else u
        return factor.from_unit(start + pull * (goal.unit - start))


def test_a_moving_factor_has_its_declared_parents_in_every_frame(drift: None) -> None:
    text = (
        "{extends: m3di, name: t, sequence: {length: 4}, views: {image: {factors: {background_color: style}}}, "
        "factors: {background_color: {mechanism: {name: drift, parents: [object_color]}}}}"
    )
    drawn = sample(parse_spec(text, where="test"), "train", 200)
    gaps = [
        np.abs(each["background_color"] - each["object_color"]) for view, each in drawn.views.items() if "image" in view
    ]
    for before, after in itertools.pairwise(gaps):
        np.testing.assert_allclose(after, before / 2, atol=1e-12)


def test_a_views_own_mechanism_decides_whether_it_moves() -> None:
    text = """
extends: m3di-sequence
name: t
views:
  still: {modality: image, shape: cube, factors: {object_alpharot: {role: private, mechanism: {name: uniform}}}}
  image: {factors: {background_color: {role: private, mechanism: {name: ar1, strength: 0.5}}}}
"""
    views = sample(parse_spec(text, where="test"), "train", 50).views
    np.testing.assert_array_equal(views["still_t0"]["object_alpharot"], views["still_t3"]["object_alpharot"])
    assert (views["image_t0"]["background_color"] != views["image_t1"]["background_color"]).all()


HIDDEN = {
    "labels that a table names": (
        "factors: {background_color: {mechanism: {name: normal, std: 0.1, mean: {text_color: "
        "{'xkcd:red': 1, 'tab:blue': 0.9, else: 0.1}}}}}",
        ("text_color", "background_color"),
    ),
    "beside another named label": (
        "factors: {background_color: {mechanism: {name: normal, std: 0.1, mean: {text_color: "
        "{'xkcd:red': {object_shape: {cow: 0.9, else: 0.1}}, else: 0.1}}}}}",
        ("object_shape", "background_color"),
    ),
    "an end": (
        'factors: {spotlight_pos: {mechanism: {name: function, value: "max(0, (object_alpharot - 0.98) * 50)"}}}',
        ("object_alpharot", "spotlight_pos"),
    ),
    "a whole number": (
        "factors: {extra: {type: integer, kind: scalar, range: [0, 999]}, spotlight_pos: {mechanism: {name: function, "
        'value: "max(0, 1 - abs(extra - 501))"}}}',
        ("extra", "spotlight_pos"),
    ),
}


@pytest.mark.parametrize("case", HIDDEN)
def test_an_arrow_that_acts_in_few_values_is_drawn(case: str) -> None:
    text, arrow = HIDDEN[case]
    assert arrow in arrows(parse_spec(f"extends: m3di\nname: t\n{text}\n", where="t.yaml"), "image")


@pytest.mark.parametrize("where", ["(extra - 985) / 14", "1 - abs(extra - 501)"])
@pytest.mark.parametrize("kind", ["integer", "continuous"])
def test_what_acts_in_few_values_is_not_refused(where: str, kind: str) -> None:
    spec = parse_spec(
        f"extends: m3di\nname: t\nfactors:\n  extra: {{type: {kind}, kind: scalar, range: [0, 999999]}}\n"
        f'  spotlight_pos: {{mechanism: {{name: function, value: "clip({where}, 0, 1)"}}}}\n'
        "regimes: {rare: {chosen: {}, cases: {set: {extra: 501}, high: {extra: 999}}}}\n",
        where="t.yaml",
    )
    assert sample(spec, "train", 50).views["image"]["rare_set"].any()


def test_the_own_past_and_the_parents_of_first_frames_are_arrows() -> None:
    spec = load_spec("m3di-sequence")
    assert ("spotlight_pos@-1", "spotlight_pos") in arrows(spec, "image")
    assert ("spotlight_pos@-1", "spotlight_pos") not in arrows(spec, "text")  # it has no frames
    still = do(spec, spotlight_pos={"strength": 0.0})
    assert ("spotlight_pos@-1", "spotlight_pos") not in arrows(still, "image")
    begun = parse_spec(
        "extends: m3di\nname: t\nsequence: {length: 3}\nfactors:\n"
        "  goal: {type: continuous, kind: scalar, range: [0, 1]}\n"
        "  spotlight_pos: {mechanism: {name: normal, mean: spotlight_pos@-1, std: 0.1}, "
        "first: {name: normal, mean: goal, std: 0.01}}\n"
        "regimes: {r: {chosen: {}, cases: {far: {goal: 1}}}}\n",  # refused, were it not for `first`
        where="t.yaml",
    )
    assert {("goal", "spotlight_pos"), ("spotlight_pos@-1", "spotlight_pos")} <= arrows(begun, "image")
