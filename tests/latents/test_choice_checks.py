"""Factors that m3di declares for a text view, or for `changes`, where a spec declares them itself."""

from __future__ import annotations

import pytest

from m3di.errors import UsageError
from m3di.latents import CaptionParser, Spec, captions, do, parse_spec, sample

SEEN = (
    "{object_alpharot: style, object_betarot: style, object_gammarot: style, spotlight_pos: style, "
    "spotlight_color: style, background_color: style}"
)
CHOICE = "type: categorical, kind: label, values:"


def detailed(factors: str, keys: str = "", more: str = "") -> Spec:
    text = f"views: {{text: {{template: detailed, {keys} factors: {SEEN}}}}}\nfactors: {factors}\n{more}"
    return parse_spec(f"extends: m3di\nname: t\n{text}", where="t.yaml")


@pytest.mark.parametrize("values", ["[in]", "[out]", "[in, out]", "[out, in]"])
def test_a_clause_is_there_by_the_name_of_its_value(values: str) -> None:
    spec = detailed(f"{{text_clause_ground: {{{CHOICE} {values}}}, text_phrasing: {{{CHOICE} [parts, whole]}}}}")
    drawn = sample(spec, "train", 60)
    names = drawn.columns()["text"]["text_clause_ground_name"]
    told, parser = captions(drawn, "text"), CaptionParser(spec, "text")
    assert set(names) == set(values.strip("[]").split(", "))
    assert [" ground" in each.replace("The ground", " ground") for each in told] == [each == "in" for each in names]
    for row, caption in enumerate(told):
        assert parser.parse(caption)["text_clause_ground"] == drawn.views["text"]["text_clause_ground"][row]


def test_a_clause_that_follows_the_image_or_a_regime_is_told() -> None:
    weights = "{object_xpos: {left: [1, 0], center: [0, 1], right: [1, 0]}}"
    spec = detailed(
        f"{{text_clause_ground: {{{CHOICE} [out, in], mechanism: {{name: categorical, weights: {weights}}}}}}}"
    )
    text = sample(spec, "train", 60).views["text"]
    assert ((text["text_clause_ground"] == 1) == (text["object_xpos"] == 1)).all()
    case = "regimes: {r: {chosen: {}, cases: {lit: {text_clause_background_hue: in}}}}"
    keys = "views: {text: {mentions: {background_hue: 0}, factors: {background_hue_name: null}}}"
    with pytest.raises(UsageError, match="reads 'background_hue_name', which the view does not see"):
        parse_spec(f"extends: misaligned-captions\nname: t\n{keys}\n{case}\n", where="t.yaml")


def test_masks_of_changes_have_the_values_that_they_are_read_by() -> None:
    change = "{role: style, change: {name: uniform}}"
    text = (
        f"extends: m3di\nname: t\nviews: {{after: {{modality: image, changes: {{probability: 0.5}}, factors: "
        f"{{object_shape: content, object_color: {change}}}}}}}\n"
        f"factors: {{after_changed_object_color: {{{CHOICE} VALUES}}}}\n"
    )
    with pytest.raises(UsageError, match="`changes` says how after_changed_object_color is drawn"):
        parse_spec(text.replace("VALUES", "[kept, changed]"), where="t.yaml")
    for values in ("[changed, kept]", "[before, after]"):
        with pytest.raises(UsageError, match=r"(?s)after_changed_object_color.*expected: kept, changed"):
            parse_spec(text.replace("VALUES", values), where="t.yaml")


def test_masks_of_a_mixture_have_the_views_as_values() -> None:
    text = (
        "extends: m3di\nname: t\nviews:\n"
        "  two: {modality: image, factors: {object_shape: content, object_color: style}}\n"
        "  mixed: {modality: image, mixes: [image, two], changes: {probability: 0.5}, factors: {object_shape: content, "
        f"object_color: style}}\nfactors: {{mixed_from_object_color: {{{CHOICE} VALUES}}}}\n"
    ).replace("object_color: style}\nfactors", "object_color: style}}\nfactors")
    with pytest.raises(UsageError, match="`changes` says how mixed_from_object_color is drawn"):
        parse_spec(text.replace("VALUES", "[image, two]"), where="t.yaml")
    with pytest.raises(UsageError, match=r"(?s)mixed_from_object_color.*expected: image, two"):
        parse_spec(text.replace("VALUES", "[two, image]"), where="t.yaml")


LYING = "misstates: {probability: {object_shape: 0.5, spotlight_pos: 0.5}},"


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ("{text_phrasing: {type: integer, kind: label, range: [0, 2]}}", "text_phrasing is a choice of template"),
        (f"{{text_clause_ground: {{{CHOICE} [there, gone]}}}}", "template 'detailed' has out, in, not there, gone"),
        (f"{{text_said_object_shape: {{{CHOICE} [cow, teapot]}}}}", "by the words of object_shape, .* in values"),
        (
            "{text_said_spotlight_pos: {type: continuous, kind: angle, range: [0, 2], physical: [0, 1], unit: rad}}",
            "by the words of spotlight_pos, .* in range, physical",
        ),
        (f"{{text_misstated_object_shape: {{{CHOICE} ['yes', 'no']}}}}", r"expected: values: \['no', 'yes'\]"),
        (f"{{text_misstated_object_shape: {{{CHOICE} ['no', 'yes']}}}}", "is declared as another one"),
    ],
)
def test_other_values_than_the_name_says_are_refused(factors: str, message: str) -> None:
    with pytest.raises(UsageError, match=f"(?s){message}"):
        detailed(factors, LYING)


def test_what_is_said_is_another_one_by_an_intervention_alone() -> None:
    shapes = "[teapot, hare, dragon, cow, armadillo, horse, head]"
    constant = "mechanism: {name: constant, value: 3}"
    with pytest.raises(UsageError, match="`misstates` says how text_said_object_shape is drawn"):
        detailed(f"{{text_said_object_shape: {{{CHOICE} {shapes}, {constant}}}}}", LYING)
    drawn = sample(do(detailed("{}", LYING), text_said_object_shape="cow"), "train", 50)
    text = drawn.views["text"]
    assert all("cow" in each.lower() for each in captions(drawn, "text"))
    assert ((text["text_misstated_object_shape"] == 1) == (text["object_shape"] != 3)).all()


def test_the_number_that_draws_a_text_has_its_range(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("t")
    (folder / "texts.csv").write_text("caption,text\nCow,a cow\nCow,one cow\n")
    spec = folder / "spec.yaml"
    text = (
        "extends: m3di\nname: t\nviews: {text: {template: t, texts: texts.csv}}\n"
        "factors: {text_paraphrase: {type: integer, "
        "kind: seed, range: [0, LAST]}}\ntemplates: {t: {name: t, reads: {object_shape: label}, phrasings: "
        "{a: '{{ object_shape }}'}}}\n"
    )
    from m3di.latents import load_spec

    spec.write_text(text.replace("LAST", "2147483647"))
    load_spec(spec)
    spec.write_text(text.replace("LAST", "1"))
    with pytest.raises(UsageError, match=r"(?s)text_paraphrase draws one of several texts.*range: \[0, 2147483647\]"):
        load_spec(spec)
