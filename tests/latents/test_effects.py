"""What a spec says and no sample would show is refused; what shows is not, and shows."""

# ruff: noqa: E501 - a mistake and its message are read best side by side
from __future__ import annotations

import numpy as np
import pytest

from m3di.errors import UsageError
from m3di.latents import (
    Spec,
    counterfactual,
    do,
    parse_spec,
    permute_content,
    plain_spec,
    sample,
    spec_from_dict,
    to_yaml,
)
from m3di.latents.changing import changed_factor
from m3di.latents.reach import Reach, is_drawn_again

UNIFORM = "{name: uniform}"
SOMETIMES = "changes: {probability: 0.5}"
ALWAYS = "changes: {probability: 1}"


def own(
    change: str = "", rest: str = "", *, view: str = "", role: str = "style", hue: str = "", more: str = ""
) -> Spec:
    """A position, the hue that follows it, and an image that sees both; `change` is that of the hue."""
    use = f"{{role: {role}{f', change: {change}' if change else ''}{more}}}"
    text = f"""
name: own
factors:
  x: {{type: continuous, kind: position, range: [-1, 1]}}
  hue: {{type: continuous, kind: hue, range: [-1, 1], mechanism: {hue or "{name: truncated_normal, parents: [x], std: 0.1}"}}}
  hidden: {{type: continuous, kind: scalar, range: [0, 1]}}
views:
  image: {{modality: image, shape: cube, {f"{view}, " if view else ""}factors: {{x: {{role: style, recorded: true}}, hue: {use[:-1]}, recorded: true}}}}}}
splits: {{train: 100}}
{rest}
"""
    return parse_spec(text, where="own.yaml")


def drawn(spec: Spec, n: int = 200) -> dict[str, np.ndarray]:
    return sample(spec, "train", n).views["image"]


# A change that keeps nothing, in every sample.

AGAIN = [
    (UNIFORM, ""),
    ("{name: uniform, low: 0}", ""),
    ("{name: constant, value: 0.5}", ""),
    ("{name: perturb, probability: 1}", ""),
    ("{name: ar1, strength: 0}", ""),
    (UNIFORM, ALWAYS),
    (UNIFORM, "changes: {sets: [[hue]]}"),
    (UNIFORM, "changes: {probability: 0.5, at_least: 1}"),
]
KEEPING = [
    ("{name: perturb, probability: 1, std: 0.1}", ""),
    ("{name: perturb, probability: 0.9}", ""),
    ("{name: ar1, strength: 0.1}", ""),
    (UNIFORM, SOMETIMES),
    (UNIFORM, "changes: {sets: [[hue], []]}"),
    ("", ""),
]


@pytest.mark.parametrize(("change", "view"), AGAIN)
def test_what_keeps_nothing_is_known(change: str, view: str) -> None:
    spec = own(change, view=view)
    assert is_drawn_again(spec, "image", "hue")
    assert Reach(spec).views("hue") == [] and Reach(spec).views("x") == ["image"]
    # By the samples: nothing that the hue might have been before shows.
    plain = plain_spec(spec)
    plain["factors"]["hue"]["mechanism"] = {"name": "uniform"}
    other = spec_from_dict(plain, where="test")
    assert (drawn(spec)["hue"] == drawn(other)["hue"]).all()


@pytest.mark.parametrize(("change", "view"), KEEPING)
def test_what_keeps_something_is_known(change: str, view: str) -> None:
    spec = own(change, view=view)
    assert not is_drawn_again(spec, "image", "hue") and Reach(spec).views("hue") == ["image"]
    assert (drawn(spec)["hue"] != drawn(do(spec, hue="uniform"))["hue"]).mean() > 0.05


def test_a_change_that_an_intervention_stops_is_none() -> None:
    spec = own(UNIFORM, view=ALWAYS)
    kept = do(spec, {changed_factor("image", "hue"): "kept"})
    assert not is_drawn_again(kept, "image", "hue")
    assert (drawn(do(kept, hue="uniform"))["hue"] != drawn(kept)["hue"]).all()


# Regimes.


def cases(mechanism: str) -> str:
    return f"regimes: {{set: {{chosen: {{probability: 0.5}}, cases: {{a: {{hue: {mechanism}}}}}}}}}"


@pytest.mark.parametrize(("change", "view"), AGAIN)
@pytest.mark.parametrize("mechanism", ["0.5", "uniform", "{std: 0.5}"])
def test_a_case_that_a_change_covers_is_refused(change: str, view: str, mechanism: str) -> None:
    with pytest.raises(
        UsageError, match=r"views\.image\.factors\.hue\.change: image draws hue again by `change`, after the case 'a'(?s:.)*the regime 'set' would not reach it(?s:.)*got: (?s:.)*expected: (?s:.)*next: +take `change` away"
    ):  # fmt: skip
        own(change, cases(mechanism), view=view)


@pytest.mark.parametrize(("change", "view"), [each for each in KEEPING if each[0]])
def test_a_value_that_a_view_changes_is_refused_and_a_mechanism_is_not(change: str, view: str) -> None:
    with pytest.raises(
        UsageError, match=r"after the case 'a' sets it: where 'a' holds, image would have another value"
    ):
        own(change, cases("0.5"), view=view)
    spec = own(change, cases("{name: uniform, low: 0.9}"), view=view)
    holds = drawn(spec)["set_a"] == 1
    assert (drawn(spec)["hue"][~holds] == drawn(own(change, view=view))["hue"][~holds]).all()
    assert (drawn(spec)["hue"][holds] != drawn(own(change, view=view))["hue"][holds]).mean() > 0.05


def test_where_a_case_sets_a_value_the_value_is_that_one() -> None:
    values = drawn(own("", cases("0.5")))
    assert set(values["set_a"]) == {0, 1} and (values["hue"][values["set_a"] == 1] == 0.5).all()


def test_interventions_on_a_spec_with_regimes_and_changes_are_none_of_these_mistakes() -> None:
    spec = own(UNIFORM, cases("{std: 0.5}"), view=SOMETIMES)
    for each in (
        {"hue": 0.5},
        {"hue": "uniform"},
        {"image.hue": 0.5},
        {"image_changed_hue": "changed"},
        {"set_a": "yes"},
    ):
        do(spec, each)
    assert (drawn(do(spec, {"image.hue": 0.5}))["hue"] == 0.5).all()


def test_a_case_of_what_no_view_shows_is_refused_beside_others() -> None:
    text = "regimes: {set: {chosen: {}, cases: {a: {hue: 0.5}, b: {hidden: 0.5}}}}"
    with pytest.raises(
        UsageError,
        match=r"regimes\.set\.cases\.b: no view sees hidden, or what depends on it: the case 'b' would do nothing",
    ):
        own("", text)
    text = """
name: own
factors:
  x: {type: continuous, kind: position, range: [-1, 1]}
  hue: {type: continuous, kind: hue, range: [-1, 1], mechanism: {name: truncated_normal, parents: [x], std: 0.1}}
views: {image: {modality: image, shape: cube, factors: {hue: {role: style, change: {name: uniform}, recorded: true}}}}
splits: {train: 100}
regimes: {set: {chosen: {}, cases: {a: {x: uniform}}}}
"""
    with pytest.raises(
        UsageError, match=r"regimes\.set: no view shows x, or what depends on it: a `change` in image keeps"
    ):
        parse_spec(text, where="own.yaml")
    assert parse_spec(text.replace("change: {name: uniform}, ", ""), where="own.yaml").regimes


# A mechanism in one view.


@pytest.mark.parametrize(("change", "view"), AGAIN)
def test_a_mechanism_that_a_change_covers_is_refused(change: str, view: str) -> None:
    with pytest.raises(
        UsageError,
        match=r"image\.factors\.hue\.mechanism: image draws hue again by its `change`, which keeps nothing of it: `mechanism` would have no effect",
    ):
        own(change, view=view, more=", mechanism: {name: constant, value: 0.5}")


@pytest.mark.parametrize(("change", "view"), [each for each in KEEPING if each[0]])
def test_a_mechanism_that_a_change_keeps_a_part_of_shows(change: str, view: str) -> None:
    spec = own(change, view=view, more=", mechanism: {name: constant, value: 0.5}")
    assert (drawn(spec)["hue"] != drawn(own(change, view=view))["hue"]).mean() > 0.05


# Interventions.


@pytest.mark.parametrize(("change", "view"), AGAIN)
@pytest.mark.parametrize("target", ["hue", "image.hue"])
@pytest.mark.parametrize("soft", ["uniform", {"std": 0.5}, {"name": "uniform", "low": 0.0}])
def test_a_mechanism_that_would_change_no_sample_is_no_intervention(
    change: str, view: str, target: str, soft: object
) -> None:
    spec = own(change, view=view)
    with pytest.raises(
        UsageError,
        match=r"the intervention on 'hue' would change no sample: image has a `change` of it that keeps nothing(?s:.)*where: +do\((image\.)?hue\)(?s:.)*got: (?s:.)*expected: +a value(?s:.)*next: +set a value",
    ):
        do(spec, {target: soft})  # type: ignore[dict-item]
    assert (drawn(do(spec, {target: 0.5}))["hue"] == 0.5).all()  # a value takes the change away


@pytest.mark.parametrize(("change", "view"), KEEPING)
@pytest.mark.parametrize("target", ["hue", "image.hue"])
def test_a_mechanism_that_shows_is_an_intervention(change: str, view: str, target: str) -> None:
    spec = own(change, view=view)
    done = do(spec, {target: "uniform"})
    assert done.interventions and (drawn(done)["hue"] != drawn(spec)["hue"]).mean() > 0.05


def test_where_one_view_draws_again_another_one_shows_the_intervention() -> None:
    two = "views: {image: {modality: image, shape: cube, factors: {hue: {role: style, change: {name: uniform}}}}, other: {modality: image, shape: cube, factors: {hue: style}}}"
    text = (
        f"{{name: two, factors: {{hue: {{type: continuous, kind: hue, range: [0, 1]}}}}, {two}, splits: {{train: 10}}}}"
    )
    spec = parse_spec(text.replace("hue", "object_color").replace("kind: object_color", "kind: hue"), where="two.yaml")
    factual = sample(spec, "train", 20)
    moved = counterfactual(factual, object_color={"name": "uniform", "high": 0.1})
    assert (moved.views["other"]["object_color"] <= 0.1).all()
    assert (moved.views["image"]["object_color"] == factual.views["image"]["object_color"]).all()
    with pytest.raises(UsageError, match="would change no sample: image has a `change`"):
        do(spec, {"image.object_color": "uniform"})


def test_an_intervention_on_what_no_view_sees_is_refused() -> None:
    for value in (0.5, "uniform", {"low": 0.5}):
        with pytest.raises(
            UsageError,
            match=r"the intervention on 'hidden' would change no sample: no view sees it, or what follows it(?s:.)*next: +let a view see it",
        ):
            do(own(), hidden=value)
    cause = "{name: truncated_normal, parents: [hidden], std: 0.1}"  # what follows it shows
    assert (drawn(do(own(hue=cause), hidden=1.0))["hue"] > 0.5).any()
    # In any order: what an earlier intervention has cut off may be intervened on.
    both = {"hue": 0.5, "hidden": 1.0}
    assert do(do(own(hue=cause), hue=0.5), hidden=1.0) == do(own(hue=cause), both)


# Pairs.


@pytest.mark.parametrize(("change", "view"), AGAIN)
def test_counterfactual_views_that_would_be_the_factual_ones_are_refused(change: str, view: str) -> None:
    with pytest.raises(
        UsageError,
        match=r"pairs\.counterfactual: no view shows 'hue', or what depends on it: a `change` in image keeps nothing of it: the counterfactual views would be the factual ones",
    ):
        own(change, "pairs: {counterfactual: [hue]}", view=view)


def test_a_label_with_one_value_is_not_drawn_again() -> None:
    text = "{extends: misaligned-captions, name: own, pairs: {counterfactual: [text_phrasing]}}"
    with pytest.raises(
        UsageError, match=r"pairs\.counterfactual: 'text_phrasing' has one value: the counterfactual views"
    ):
        parse_spec(text, where="own.yaml")


@pytest.mark.parametrize(("change", "view"), KEEPING)
def test_counterfactual_views_differ(change: str, view: str) -> None:
    views = sample(own(change, "pairs: {counterfactual: [hue]}", view=view), "train", 200).views
    assert (views["image_do_hue"]["hue"] != views["image"]["hue"]).mean() > 0.05


@pytest.mark.parametrize(
    ("role", "mechanism"), [("style", ""), ("private", ""), ("content", "{name: constant, value: 0.5}")]
)
def test_permuted_content_without_content_is_refused_on_both_roads(role: str, mechanism: str) -> None:
    message = r"pairs\.permuted_content: no view has content that varies(?s:.)*got: +content: (none|object_color, which never varies)"
    with pytest.raises(UsageError, match=message):
        permute_content(_plain_hue(role, mechanism))
    with pytest.raises(UsageError, match=message):
        _plain_hue(role, mechanism, "pairs: {permuted_content: true}")
    with pytest.raises(UsageError, match=message):
        permute_content(do(_plain_hue("content", ""), object_color=0.5))  # what is set is alike in all samples


def test_permuted_content_with_content_is_another_one() -> None:
    views = sample(permute_content(_plain_hue("content", "")), "train", 10).views
    assert (views["image_permuted"]["object_color"] != views["image"]["object_color"]).all()


def _plain_hue(role: str, mechanism: str, rest: str = "") -> Spec:
    own_mechanism = f", mechanism: {mechanism}" if mechanism else ""
    text = f"""
name: hue
factors: {{object_color: {{type: continuous, kind: hue, range: [0, 1]{own_mechanism}}}}}
views: {{image: {{modality: image, shape: cube, factors: {{object_color: {role}}}}}}}
splits: {{train: 10}}
{rest}
"""
    return parse_spec(text, where="hue.yaml")


# Frames.


def framed(sequence: str, change: str = "", **options: str) -> Spec:
    return own(change, f"sequence: {{length: 4, {sequence}}}", **options)


@pytest.mark.parametrize("frames", ["views", "samples"])
@pytest.mark.parametrize(("change", "view"), AGAIN)
def test_what_is_redrawn_behind_a_change_is_refused(change: str, view: str, frames: str) -> None:
    with pytest.raises(
        UsageError,
        match=r"sequence\.redrawn\.0: no view shows 'hue', or what depends on it: a `change` in image keeps nothing of it: drawn again in every frame, it would change none",
    ):
        framed(f"frames: {frames}, redrawn: [hue]", change, view=view)


@pytest.mark.parametrize(("change", "view"), KEEPING)
def test_what_is_redrawn_before_a_change_differs_from_frame_to_frame(change: str, view: str) -> None:
    views = sample(framed("redrawn: [hue]", change, view=view), "train", 200).views
    assert (views["image_t1"]["hue"] != views["image_t0"]["hue"]).mean() > 0.05
    assert (views["image_t1"]["x"] == views["image_t0"]["x"]).all()


@pytest.mark.parametrize(
    ("sequence", "hue", "message"),
    [
        ("redrawn: [hidden]", "", r"redrawn\.0: no view sees 'hidden', or what depends on it"),
        ("redrawn: [hue, x, hue]", "", r"redrawn\.2: a factor is named twice"),
        ("redrawn: [hue]", "{name: constant, value: 0.5}", r"redrawn\.0: 'hue' has no noise \(constant\)"),
        ("redrawn: [hue]", "{name: function, value: x / 2}", r"redrawn\.0: 'hue' has no noise \(function\)"),
        ("redrawn: [hue]", "{name: copy, parents: [x]}", r"redrawn\.0: 'hue' has no noise \(copy\)"),
        ("burn_in: 50", "", r"sequence\.burn_in: no factor that a view shows moves: all frames are the first one"),
    ],
)
def test_what_changes_no_frame_is_refused(sequence: str, hue: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        framed(sequence, hue=hue)


def test_a_caption_has_no_frames_to_be_redrawn_in() -> None:
    text = "{extends: m3di, name: t, sequence: {length: 3, FRAMES redrawn: [text_phrasing]}}"
    with pytest.raises(UsageError, match=r"redrawn\.0: 'text_phrasing' shows in text, without frames"):
        parse_spec(text.replace("FRAMES", ""), where="t.yaml")
    chain = parse_spec(text.replace("FRAMES", "frames: samples,"), where="t.yaml")
    phrasings = sample(chain, "train", 300).views["text"]["text_phrasing"].reshape(100, 3)
    assert (phrasings[:, 1] != phrasings[:, 0]).any()


@pytest.mark.parametrize(
    ("sequence", "hue", "given"),
    [
        ("redrawn: [hue]", "", ""),
        ("redrawn: [hue], burn_in: 2", "", ""),
        ("burn_in: 2", "{name: truncated_normal, parents: [hue@-1], std: 0.1}", ""),
        ("redrawn: [hidden]", "{name: truncated_normal, parents: [hidden], std: 0.1}", ""),
        ("redrawn: [hidden]", "", "given: hidden > 0.2"),
    ],
)
def test_what_changes_frames_is_sound(sequence: str, hue: str, given: str) -> None:
    spec = own("", f"sequence: {{length: 4, {sequence}}}\n{given}", hue=hue)
    assert spec.sequence is not None
    do(spec, hue=0.5)  # what is redrawn has no effect any more: an intervention may do that


def test_a_split_may_leave_nothing_to_redraw() -> None:
    rest = "sequence: {length: 4, redrawn: [x]}"
    text = own("", rest).plain | {
        "splits": {"train": 10, "still": {"n": 10, "factors": {"x": {"mechanism": {"name": "constant", "value": 0.5}}}}}
    }
    views = sample(spec_from_dict(text, where="test"), "still", 10).views
    assert all((views[f"image_t{frame}"]["x"] == 0.5).all() for frame in range(4))


# Splits.


def shifted(change: str, name: str, view: str = "", given: str = "") -> Spec:
    mechanism = "{mechanism: {name: uniform, low: 0.2}}"
    overlay = f"{{n: 10, factors: {{{name}: {mechanism}}}{f', given: {given}' if given else ''}}}"
    spec = own(change, view=view).plain
    return parse_spec(
        to_yaml(spec_from_dict(spec, where="test")).replace("splits:\n", f"splits:\n  shifted: {overlay}\n"),
        where="own.yaml",
    )


@pytest.mark.parametrize(("change", "view"), AGAIN)
def test_a_split_whose_mechanism_a_change_covers_is_refused(change: str, view: str) -> None:
    with pytest.raises(
        UsageError,
        match=r"splits\.shifted\.factors\.hue: no view shows hue, or what depends on it: a `change` in image keeps nothing of it: the split would be as it is without it",
    ):
        shifted(change, "hue", view)
    assert shifted(change, "x", view)


def test_a_split_with_a_mechanism_that_shows_is_another_one() -> None:
    spec = shifted("", "hue")
    assert (sample(spec, "shifted", 100).views["image"]["hue"] >= 0.2).all()
    do(spec, hue=0.5)
    with pytest.raises(
        UsageError, match=r"splits\.shifted\.factors\.hidden: no view sees hidden, or what depends on it: the split"
    ):
        shifted("", "hidden")
    assert shifted("", "hidden", given="hidden > 0.5")
