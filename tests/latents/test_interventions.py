from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m3di.errors import UsageError
from m3di.latents import (
    CaptionParser,
    Samples,
    bounds,
    captions,
    counterfactual,
    do,
    intervene,
    load_spec,
    parse_spec,
    permute_content,
    plain_spec,
    sample,
    spec_from_dict,
    to_yaml,
    told,
)

N = 2_000
M3DI = load_spec("m3di")
FACTUAL = sample(M3DI, "train", N, seed=3)


def changed(one: Samples, other: Samples) -> set[str]:
    """`VIEW.FACTOR` of all that differs between two draws."""
    return {
        f"{view}.{name}"
        for view, factors in one.views.items()
        for name, values in factors.items()
        if not np.array_equal(values, other.views[view][name])
    }


def test_a_hard_intervention_changes_the_factor_and_its_descendants_only() -> None:
    drawn = counterfactual(FACTUAL, object_xpos="right")
    assert changed(FACTUAL, drawn) == {
        *("image.object_xpos", "text.object_xpos", "image.object_color", "text.text_color"),
    }
    assert (drawn.views["image"]["object_xpos"] == 2).all()
    # Same noise: the hue moves to the third third, at the same place within it.
    place = 3 * FACTUAL.views["image"]["object_color"] - FACTUAL.views["image"]["object_xpos"]
    np.testing.assert_allclose(drawn.views["image"]["object_color"], (2 + place) / 3)


def test_by_index_by_name_and_on_the_command_line() -> None:
    assert do(M3DI, object_xpos=2) == do(M3DI, object_xpos="right") == intervene(M3DI, ["object_xpos=right"])
    assert intervene(M3DI, ["object_xpos=2"]) == do(M3DI, object_xpos=2)
    assert intervene(M3DI, []) is M3DI


def test_a_soft_intervention_cuts_the_arrow() -> None:
    drawn = counterfactual(FACTUAL, object_color="uniform")
    assert changed(FACTUAL, drawn) == {"image.object_color", "text.text_color"}
    assert abs(np.corrcoef(drawn.views["image"]["object_color"], drawn.views["image"]["object_xpos"])[0, 1]) < 0.1


def test_a_mechanism_shift_keeps_the_mechanism() -> None:
    drawn = counterfactual(FACTUAL, object_color={"strength": 0.5})
    color, position = drawn.views["image"]["object_color"], drawn.views["image"]["object_xpos"]
    weaker = np.corrcoef(color, position)[0, 1]
    assert 0.3 < weaker < np.corrcoef(FACTUAL.views["image"]["object_color"], position)[0, 1] - 0.1


def test_a_mechanism_with_parameters() -> None:
    drawn = counterfactual(FACTUAL, object_shape={"name": "categorical", "weights": [1, 0, 0, 0, 0, 0, 1]})
    assert set(drawn.views["image"]["object_shape"]) == {0, 6}


def test_in_one_view_only() -> None:
    drawn = counterfactual(FACTUAL, {"text.object_shape": "cow"})
    assert changed(FACTUAL, drawn) == {"text.object_shape"}
    assert (drawn.views["text"]["object_shape"] == 3).all()
    soft = counterfactual(FACTUAL, {"image.object_color": "uniform"})
    assert changed(FACTUAL, soft) == {"image.object_color"}
    # Same noise: as it is where nothing changes, and as under the intervention in all views where something does.
    assert not changed(FACTUAL, counterfactual(FACTUAL, {"image.object_color": {"strength": 1.0}}))
    here, everywhere = (
        counterfactual(FACTUAL, {name: {"strength": 0.3}}) for name in ("image.object_color", "object_color")
    )
    assert changed(here, everywhere) == {"text.text_color"} and changed(FACTUAL, here) == {"image.object_color"}
    content = counterfactual(
        FACTUAL, {"text.object_ypos": {"name": "copy", "parents": ["object_xpos"], "strength": 0.0}}
    )
    assert not changed(FACTUAL, content)


def test_a_constant_and_a_private_factor() -> None:
    drawn = counterfactual(FACTUAL, object_zpos=0.5, object_alpharot=1.0)
    assert changed(FACTUAL, drawn) == {"image.object_zpos", "image.object_alpharot"}
    assert (drawn.views["image"]["object_zpos"] == 0.5).all()
    assert (drawn.views["image"]["object_alpharot"] == 1.0).all()
    free = counterfactual(FACTUAL, object_zpos="uniform")
    assert free.views["image"]["object_zpos"].std() > 0.5


@pytest.mark.slow
@settings(deadline=None, max_examples=30)
@given(
    name=st.sampled_from(["object_shape", "object_xpos", "object_ypos", "text_palette", "text_phrasing"]),
    start=st.integers(0, 500),
    n=st.integers(1, 50),
)
def test_an_intervention_reaches_descendants_only_whatever_the_sample(name: str, start: int, n: int) -> None:
    factual = sample(M3DI, "val", n, seed=9, start=start)
    reached = {each.split(".")[1] for each in changed(factual, counterfactual(factual, {name: 0}))}
    assert reached <= M3DI.descendants([name])


@pytest.mark.parametrize(
    ("target", "value", "message"),
    [
        ("object_xpo", 1, "no factor is called 'object_xpo'; did you mean 'object_xpos'"),
        ("txt.object_xpos", 1, r"no view 'txt' sees 'object_xpos'(?s:.)*image, text"),
        ("text.object_color", 0.5, "no view 'text' sees 'object_color'"),
        ("object_xpos", "rigth", "neither a value of the factor nor a mechanism; did you mean 'right'"),
        ("object_xpos", 3, r"not one of the factor's(?s:.)*a whole number from 0 to 2"),
        ("object_xpos", 0.5, r"not one of the factor's(?s:.)*a whole number from 0 to 2"),
        ("object_color", 1.5, r"not one of the factor's(?s:.)*a number from 0 to 1"),
        ("object_color", {"name": "binned"}, r"binned takes 1 parents, got 0(?s:.)*do\(object_color\)"),
        ("object_color", {"strenght": 1}, "strenght: Extra inputs"),
    ],
)
def test_bad_interventions(target: str, value: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        do(M3DI, {target: value})  # type: ignore[dict-item]


def test_the_command_line_takes_the_mapping_too() -> None:
    assert intervene(M3DI, ["object_color={strength: 0.5}"]) == do(M3DI, object_color={"strength": 0.5})
    spelt = "object_color = {name: truncated_normal, parents: [background_color], std: 1e-1}"
    mapping = {"name": "truncated_normal", "parents": ["background_color"], "std": 0.1}
    assert intervene(M3DI, [spelt]) == do(M3DI, object_color=mapping)
    assert intervene(M3DI, ["image.object_color={name: uniform}"]) == do(
        M3DI, {"image.object_color": {"name": "uniform"}}
    )


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["object_color={strength: 0.5"], r"the intervention is not valid YAML(?s:.)*is not closed"),
        (["object_color={}"], "the mapping of an intervention is empty"),
        (["object_color={strength: 0.5, strength: 1}"], "'strength' is there twice"),
        (["object_color={strength: yes}"], r"strength: Input should be a valid number"),
        (["object_color={strenght: 1}"], r"strenght: .*did you mean 'strength'"),
        (["object_color=0.1", "object_color=0.2"], "two interventions on 'object_color'"),
        (["object_color=nan"], "not one of the factor's"),
        (["object_color=inf"], "not one of the factor's"),
        (["object_color=unifrom"], "did you mean 'uniform'"),
    ],
)
def test_interventions_that_do_not_fit(texts: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        intervene(M3DI, texts)


def test_a_spec_says_what_was_done_to_it() -> None:
    spec = do(
        M3DI,
        {"object_xpos": 2, "text.object_shape": "cow", "object_color": {"strength": 0.5}, "spotlight_pos": "uniform"},
    )
    assert spec.interventions == {
        "object_xpos": "right", "text.object_shape": "cow", "object_color": {"strength": 0.5},
        "spotlight_pos": {"name": "uniform"},
    }  # fmt: skip
    assert told(spec.interventions) == [
        "object_xpos = right", "object_color: strength 0.5", "spotlight_pos: uniform", "text.object_shape = cow",
    ]  # fmt: skip
    assert do(spec, object_xpos="left").interventions["object_xpos"] == "left"
    assert permute_content(do(M3DI, object_xpos="left")).interventions == {"object_xpos": "left"}
    assert spec_from_dict(plain_spec(spec), where="test") == spec
    assert parse_spec(to_yaml(spec), where="test") == spec


def test_a_spec_file_may_say_its_interventions() -> None:
    text = "{extends: m3di, name: t, interventions: {object_xpos: right, text.object_shape: cow}}"
    drawn = sample(parse_spec(text, where="test"), "train", N, seed=3)
    assert changed(counterfactual(FACTUAL, {"object_xpos": "right", "text.object_shape": "cow"}), drawn) == set()


def test_what_is_set_is_set_in_every_view() -> None:
    spec = load_spec("m3di-three-views")  # its second image changes the hue
    drawn = sample(do(spec, object_color=0.25), "train", 100)
    for view in ("image", "image_changed"):
        assert (drawn.views[view]["object_color"] == 0.25).all()


@pytest.mark.parametrize("text", ["object_xpos", "=1", "object_xpos="])
def test_interventions_that_cannot_be_read(text: str) -> None:
    with pytest.raises(UsageError, match=r"written FACTOR=VALUE(?s:.)*--do"):
        intervene(M3DI, [text])


def test_counterfactual_views() -> None:
    """Rendered pairs: one factor drawn anew, with all that it causes; all else is kept, phrasing and noise included."""
    drawn = sample(load_spec("m3di-counterfactual"), "train", N, seed=3)
    assert changed(FACTUAL, drawn) == set()  # adding pairs changes nothing that was there
    for view in ("image", "text"):
        for factor, reached in (
            ("object_color", {"object_color", "text_color"}),
            ("object_xpos", {"object_xpos", "object_color", "text_color"}),
        ):
            other = drawn.views[f"{view}_do_{factor}"]
            differ = {name for name, values in other.items() if not np.array_equal(values, drawn.views[view][name])}
            assert differ == reached & set(other)
    position, again = drawn.views["image"]["object_xpos"], drawn.views["image_do_object_xpos"]["object_xpos"]
    assert abs(np.corrcoef(position, again)[0, 1]) < 0.08
    np.testing.assert_array_equal(again, drawn.views["text_do_object_xpos"]["object_xpos"])
    np.testing.assert_array_equal(np.floor(3 * drawn.views["image_do_object_xpos"]["object_color"]), again)
    assert drawn.views["image_do_object_color"]["object_color"].max() > 0.99  # drawn from its whole range


def test_sequences() -> None:
    spec = load_spec("m3di-sequence")
    drawn = sample(spec, "train", N, seed=3)
    moving = {"object_alpharot", "object_betarot", "object_gammarot", "spotlight_pos"}
    first = drawn.views["image_t0"]
    assert {
        name: values for name, values in first.items() if not np.array_equal(values, FACTUAL.views["image"][name])
    } == {}
    for frame in range(1, 8):
        this, before = drawn.views[f"image_t{frame}"], drawn.views[f"image_t{frame - 1}"]
        assert {name for name in this if not np.array_equal(this[name], before[name])} == moving
        assert np.corrcoef(this["spotlight_pos"], before["spotlight_pos"])[0, 1] > 0.93
        assert 0.8 < np.corrcoef(this["object_betarot"], before["object_betarot"])[0, 1] < 0.95
    last = drawn.views["image_t7"]["object_betarot"]
    assert 0.3 < np.corrcoef(last, first["object_betarot"])[0, 1] < 0.65


def test_what_a_moving_factor_causes_moves_with_it() -> None:
    spec = parse_spec(
        "{extends: m3di-sequence, name: t, factors: {background_color: "
        "{mechanism: {name: truncated_normal, parents: [spotlight_pos], std: 0.01}}}}",
        where="test",
    )
    drawn = sample(spec, "train", 500)
    for frame in range(8):
        view = drawn.views[f"image_t{frame}"]
        inside = (view["spotlight_pos"] > 0.05) & (view["spotlight_pos"] < 0.95)
        assert np.abs(view["background_color"] - view["spotlight_pos"])[inside].max() < 0.06


def test_adding_a_factor_changes_no_other() -> None:
    more = parse_spec(
        "{extends: m3di, name: t, factors: {humidity: {type: continuous, kind: scalar, range: [0, 1]}}, "
        "views: {image: {factors: {humidity: {role: private, recorded: true}}}}}",
        where="test",
    )
    assert changed(FACTUAL, sample(more, "train", N, seed=3)) == set()


def test_the_order_of_factors_and_views_is_irrelevant() -> None:
    plain = plain_spec(M3DI)
    plain["factors"] = dict(reversed(plain["factors"].items()))
    plain["views"] = dict(reversed(plain["views"].items()))
    assert changed(FACTUAL, sample(spec_from_dict(plain, where="test"), "train", N, seed=3)) == set()


def test_another_seed_changes_everything_that_varies() -> None:
    other = changed(FACTUAL, sample(M3DI, "train", N, seed=4))
    assert other == {f"{view}.{name}" for view, each in FACTUAL.views.items() for name in each} - {"image.object_zpos"}


def test_permuted_content_is_that_of_the_neighbour_and_nothing_else_changes() -> None:
    spec = permute_content(load_spec("m3di"))
    drawn = sample(spec, "test", 64)
    factual = sample(load_spec("m3di"), "test", 64)
    neighbours = np.arange(64) ^ 1
    for view in ("image", "text"):
        for name, use in spec.views[view].factors.items():
            own = factual.views[view][name]
            assert np.array_equal(drawn.views[view][name], own)
            expected = own[neighbours] if use.role == "content" else own
            assert np.array_equal(drawn.views[f"{view}_permuted"][name], expected), name
    shown = drawn.views["image_permuted"]
    assert (np.floor(3 * shown["object_color"]) != shown["object_xpos"]).any()  # hue has left its position


RECORDED = """extends: m3di
name: t
views: {text: {misstates: {probability: {object_shape: 0.5, text_color: 0.5}}}}
regimes: {inside: {chosen: {probability: 0.5}, cases: {cow: {object_shape: cow}, ground: {background_color: 0.5}}}}
"""


def test_what_restates_or_records_content_is_permuted_with_it() -> None:
    spec = permute_content(parse_spec(RECORDED, where="t.yaml"))
    drawn = sample(spec, "test", 200)
    text, own, image = (drawn.views[each] for each in ("text_permuted", "text", "image_permuted"))
    cow = spec.factors["object_shape"].names.index("cow")
    assert (image["object_shape"][image["inside_cow"] == 1] == cow).all()
    wrong = text["text_said_object_shape"] != text["object_shape"]
    assert (wrong == (text["text_misstated_object_shape"] == 1)).all()
    said = [CaptionParser(spec, "text_permuted").parse(each) for each in captions(drawn, "text_permuted")]
    assert [each["text_said_object_shape"] for each in said] == own["text_said_object_shape"][
        np.arange(200) ^ 1
    ].tolist()
    for name in ("text_said_text_color", "text_misstated_text_color", "text_color"):  # style keeps its own
        assert np.array_equal(text[name], own[name])
    assert (image["background_color"][image["inside_ground"] == 1] == 0.5).all()


@pytest.mark.parametrize("cases", ["{both: {object_shape: cow, background_color: 0.5}}", "{}"])
def test_what_records_content_and_style_is_not_permuted(cases: str) -> None:
    label = "{a: {object_shape: cow}, b: {background_color: 0.5}}"
    regime = "{cases: " + label + "}" if cases == "{}" else "{chosen: {}, cases: " + cases + "}"
    spec = parse_spec("extends: m3di\nname: t\nregimes: {inside: " + regime + "}", where="t.yaml")
    message = (
        r"permuted_content: image has inside\w* in the table, .*content \(object_shape\).*none \(background_color\)"
    )
    with pytest.raises(UsageError, match=message):
        permute_content(spec)


def test_permuted_content_depends_on_neither_number_nor_shard() -> None:
    spec = permute_content(load_spec("m3di"))
    whole = sample(spec, "val", 20)
    for start, n in ((0, 7), (3, 5), (6, 1), (7, 2)):
        part = sample(spec, "val", n, start=start)
        for view, factors in part.views.items():
            for name, values in factors.items():
                assert np.array_equal(values, whole.views[view][name][start : start + n]), (view, name, start)


def test_captions_say_the_permuted_content() -> None:
    drawn = sample(permute_content(load_spec("m3di")), "test", 30)
    parser = CaptionParser(drawn.spec, "text_permuted")
    for row, caption in enumerate(captions(drawn, "text_permuted")):
        said = parser.parse(caption)
        assert said["object_shape"] == drawn.views["text"]["object_shape"][row ^ 1]
        assert said["object_ypos"] == drawn.views["text"]["object_ypos"][row ^ 1]


def test_the_graph_says_nothing_of_permuted_content() -> None:
    found = {(each.view, each.factor): each for each in bounds(permute_content(load_spec("m3di")), n=4000)}
    content = found["image_permuted", "object_xpos"]
    assert content.value == content.chance
    assert found["image_permuted", "object_color"].value == pytest.approx(found["image", "object_color"].value)


def test_frames_have_no_permuted_content() -> None:
    with pytest.raises(UsageError, match="not together with `sequence`"):
        permute_content(load_spec("m3di-sequence"))


def test_pairs_of_nothing_are_refused() -> None:
    with pytest.raises(UsageError, match="neither `counterfactual` nor `permuted_content`"):
        parse_spec("extends: m3di\nname: none\npairs: {}\n", where="none.yaml")


def test_what_is_asked_of_one_view_holds_there_whatever_the_order() -> None:
    wanted = {"image.object_color": 0.2, "object_color": 0.9}
    for interventions in (wanted, dict(reversed(wanted.items()))):
        both = do(
            load_spec("image-pairs"), {key.replace("image.", "view1."): each for key, each in interventions.items()}
        )
        views = sample(both, "train", 3).views
        assert (views["view1"]["object_color"] == 0.2).all() and (views["view2"]["object_color"] == 0.9).all()
        assert both.interventions == {"object_color": 0.9, "view1.object_color": 0.2}


def test_a_later_intervention_leaves_no_record_of_what_no_longer_holds() -> None:
    later = do(do(M3DI, {"image.object_color": 0.2}), object_color=0.9)
    assert later.interventions == {"object_color": 0.9}
    assert (sample(later, "train", 3).views["image"]["object_color"] == 0.9).all()
    shifted = do(do(M3DI, object_color={"name": "binned", "parents": ["object_shape"]}), object_color={"strength": 0.5})
    record = {"name": "binned", "parents": ["object_shape"], "strength": 0.5}
    assert shifted.interventions == {"object_color": record} and do(M3DI, object_color=record) == shifted


def test_a_number_that_is_the_name_of_another_value_is_refused() -> None:
    spec = parse_spec("{extends: m3di, name: t, factors: {object_xpos: {values: ['1', '2', '3']}}}", where="t.yaml")
    with pytest.raises(UsageError, match=r"2 is the name of value 1, and the number of another(?s:.)*value: 1"):
        intervene(spec, ["object_xpos=2"])
    exact = intervene(spec, ["object_xpos={name: constant, value: 1}"])
    assert set(sample(exact, "train", 4).columns()["image"]["object_xpos_name"]) == {"2"}
    counted = parse_spec("{extends: m3di, name: t, factors: {object_xpos: {values: ['0', '1', '2']}}}", where="t.yaml")
    assert intervene(counted, ["object_xpos=2"]).interventions == {"object_xpos": "2"}


OWN = """
extends: m3di
name: own
factors: {object_shape: {mechanism: {name: categorical, weights: [1, 1, 1, 1, 1, 1, 1]}}}
views:
  text:
    factors:
      object_zpos: {role: private, mechanism: {name: sphere_angle, power: 2}}
      object_shape: {role: style, mechanism: {name: categorical, weights: [0, 0, 0, 1, 1, 0, 0]}}
"""


def test_a_view_with_a_mechanism_of_its_own_is_intervened_on_too() -> None:
    """`--do FACTOR=VALUE` holds in every view; what a view says of the factor by itself does not stand against it."""
    spec = parse_spec(OWN, where="test")
    plain = sample(spec, "train", N)
    assert set(plain.views["text"]["object_shape"]) == {3, 4}
    by_name = do(spec, object_shape="hare", object_zpos=0.5)
    for done in (by_name, intervene(spec, ["object_shape=1", "object_zpos=0.5"])):
        drawn = sample(done, "train", N)
        for view in ("image", "text"):
            assert (drawn.views[view]["object_shape"] == 1).all()
            assert (drawn.views[view]["object_zpos"] == 0.5).all()
    soft = sample(do(spec, object_zpos="uniform", object_shape={"name": "categorical", "weights": [1] * 7}), "train", N)
    assert set(soft.views["text"]["object_shape"]) == set(range(7))
    assert soft.views["text"]["object_zpos"].std() > 1.2 * plain.views["text"]["object_zpos"].std()
    shifted = sample(do(spec, object_shape={"weights": [1, 1, 0, 0, 0, 0, 0]}), "train", N)
    assert set(shifted.views["text"]["object_shape"]) == {0, 1}


@pytest.mark.parametrize("target", ["object_alpharot", "image.object_alpharot"])
def test_a_mechanism_in_place_of_one_that_moves_keeps_the_noise_of_every_frame(target: str) -> None:
    factual = sample(load_spec("m3di-sequence"), "train", 400)
    moved = counterfactual(factual, {target: "uniform"})
    frames = np.stack([moved.views[f"image_t{frame}"]["object_alpharot"] for frame in range(8)])
    assert frames.min() < 0.01
    assert frames.max() > 0.99
    np.testing.assert_allclose(np.corrcoef(frames) - np.eye(8), 0.0, atol=0.2)  # each frame has noise of its own
    again = do(do(factual.spec, {target: 0.5}), {target: "uniform"})  # whatever was done before
    assert not changed(moved, sample(again, "train", 400))
    assert not changed(moved, sample(spec_from_dict(plain_spec(moved.spec), where="t"), "train", 400))
    with pytest.raises(UsageError, match=r"object_color is no intervention on object_alpharot(?s:.)*leave `moved` out"):
        parse_spec(
            "extends: m3di-sequence\nname: t\nfactors: {object_alpharot: {moved: [object_color]}}\n", where="t.yaml"
        )


def test_what_stays_in_all_frames_stays_under_a_mechanism() -> None:
    spec = load_spec("m3di-sequence")
    still = next(each for each in ("object_color", "background_color", "spotlight_pos") if not spec.moves(each))
    drawn = sample(do(spec, {still: {"name": "uniform", "low": 0.25}}), "train", 50)
    assert (drawn.views["image_t0"][still] == drawn.views["image_t7"][still]).all()


def test_all_frames_of_a_chain_are_drawn_by_the_mechanism_of_an_intervention() -> None:
    spec = load_spec("temporal-causal3dident")
    view = next(iter(spec.views))
    values = sample(do(spec, object_xpos="uniform"), "train", 200).views[view]["object_xpos"]
    assert len(np.unique(values)) == 200
