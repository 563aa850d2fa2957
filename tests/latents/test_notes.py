"""What is sound and may be no intention is noted, once; what has an effect is not."""

# ruff: noqa: E501 - a spec and its note are read best side by side
from __future__ import annotations

import pytest

from m3di.latents import Spec, load_spec, notes, parse_spec, sample
from tests.conftest import BUILT_IN

HIDDEN = "{type: continuous, kind: scalar, range: [0, 1]}"


def own(text: str, name: str = "m3di") -> Spec:
    return parse_spec(f"extends: {name}\nname: own\n{text}", where="own.yaml")


@pytest.mark.parametrize("name", BUILT_IN)
def test_nothing_is_noted_of_a_built_in_spec(name: str) -> None:
    assert notes(load_spec(name)) == []


def test_factors_that_no_view_sees_and_nothing_follows_are_noted() -> None:
    (note,) = notes(own(f"factors: {{spotlight_hue: {HIDDEN}}}"))
    assert note.startswith("No view sees spotlight_hue, or what follows it: it is in no table, and changes no sample.")
    (note,) = notes(own(f"factors: {{a: {HIDDEN}, b: {HIDDEN[:-1]}, mechanism: {{name: copy, parents: [a]}}}}}}"))
    assert note.startswith("No view sees a, b, or what follows them: they are in no table, and change no sample.")
    assert "`FACTOR: null` under `factors` takes one away that is inherited" in note
    assert notes(own("factors: {text_palette: null, text_color: null}\nviews: {text: null}")) == []


@pytest.mark.parametrize(
    "text",
    [
        f"factors: {{hidden: {HIDDEN}, object_alpharot: {{mechanism: {{name: normal, mean: hidden, std: 0.1}}}}}}",
        f"factors: {{hidden: {HIDDEN}}}\nviews: {{image: {{factors: {{hidden: {{role: private, recorded: true}}}}}}}}",
        f"factors: {{hidden: {HIDDEN[:-1]}, mechanism: {{name: function, value: abs(object_alpharot)}}}}}}\ngiven: hidden > 0.5",
        f"factors: {{hidden: {HIDDEN[:-1]}, mechanism: {{name: uniform}}}}}}\nregimes: {{r: {{chosen: {{}}, cases: {{a: {{object_alpharot: {{name: normal, mean: hidden, std: 0.1}}}}}}}}}}",
    ],
)
def test_a_factor_that_has_an_effect_is_not_noted(text: str) -> None:
    assert notes(own(text)) == []


def test_a_view_that_is_the_same_in_the_other_world_is_noted() -> None:
    again = "factors: {text_color: null, text_palette: null}\nviews: {text: null, image: {factors: {object_alpharot: style}}, after: {modality: image, factors: {object_shape: content, object_alpharot: {role: style, change: CHANGE}}}}\npairs: {counterfactual: [object_alpharot]}"
    spec = own(again.replace("CHANGE", "{name: uniform}"))
    (note,) = notes(spec)
    assert note.startswith(
        "Another value of object_alpharot does not show in after: the samples have after_do_object_alpharot as after"
    )
    views = sample(spec, "train", 50).views
    assert (views["after_do_object_alpharot"]["object_alpharot"] == views["after"]["object_alpharot"]).all()
    assert (views["image_do_object_alpharot"]["object_alpharot"] != views["image"]["object_alpharot"]).all()
    assert notes(own(again.replace("CHANGE", "{name: perturb, probability: 0.5}"))) == []


@pytest.mark.parametrize("frames", ["views", "samples"])
def test_frames_in_which_nothing_moves_are_noted(frames: str) -> None:
    sequence = f"sequence: {{length: 3, frames: {frames}}}"
    (note,) = notes(own(sequence))
    assert note.startswith("No factor that a view shows moves: all frames of a sequence are alike.")
    moving = "{mechanism: {name: perturb, parents: [object_alpharot@-1], probability: 0.5}}"
    assert notes(own(f"factors: {{object_alpharot: {moving}}}\n{sequence}")) == []
    # It moves, and the view draws it again: it does not show.
    again = "views: {image: {factors: {object_alpharot: {role: style, change: {name: uniform}}}}}"
    (note,) = notes(own(f"factors: {{object_alpharot: {moving}}}\n{again}\n{sequence}"))
    assert note.startswith("No factor that a view shows moves")


def test_words_for_places_beside_axes_of_the_world_are_noted() -> None:
    found = notes(own("views: {image: {axes: world}}"))
    assert [each.partition(", where")[0] for each in found] == [
        "text tells object_xpos, and image has axes: world",
        "text tells object_ypos, and image has axes: world",
    ]
    assert notes(own("views: {image: {axes: image}}")) == []
