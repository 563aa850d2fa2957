"""Templates: which words a factor's values have."""

from __future__ import annotations

import re

import numpy as np
import pytest

from m3di.errors import UsageError
from m3di.latents import CaptionParser, Spec, captions, load_template, parse_spec, parse_template, sample
from tests.latents.test_captioning import DETAILED

ALL = (
    "{object_alpharot: style, object_betarot: style, object_gammarot: style, spotlight_pos: style, "
    "spotlight_color: style, background_color: style}"
)


def detailed(factors: str, base: str = "m3di") -> Spec:
    view = f"views: {{text: {{template: detailed, factors: {ALL}}}}}"
    return parse_spec(f"extends: {base}\nname: t\n{view}\nfactors: {factors}\n", where="t.yaml")


def test_labels_are_told_by_the_bin_of_what_is_shown() -> None:
    """The same word as a number with that hue, or that angle, has."""
    spec, numbers = detailed("{}", "m3di-discrete"), parse_spec(DETAILED, where="t.yaml")
    template = load_template("detailed")
    for name in ("background_color", "spotlight_color", "object_alpharot", "spotlight_pos"):
        told = [word.text for word in template.vocabulary(name, spec.factors[name])]
        low, high = numbers.factors[name].physical_values or (0.0, 0.0)
        unit = (np.asarray(spec.factors[name].physical_values) - low) / (high - low)
        words = [word.text for word in template.vocabulary(name, numbers.factors[name])]
        assert told == [words[int(each * 5)] for each in unit]
    assert [word.text for word in template.vocabulary("background_color", spec.factors["background_color"])] == [
        *("purple", "crimson", "brown", "olive"),
    ]


def test_more_labels_than_bins_share_words_and_are_no_traceback() -> None:
    values = "type: categorical, range: null, values: [a, b, c, d, e, f], physical: [-0.25, -0.2, -0.1, 0, 0.1, 0.25]"
    spec = detailed(f"{{spotlight_color: {{{values}}}}}")
    drawn = sample(spec, "train", 300)
    told, parser = captions(drawn, "text"), CaptionParser(spec, "text")
    words = ("violet", "violet", "pink", "red", "orange", "yellow")
    seen = set()
    for row, caption in enumerate(told):
        word = words[drawn.views["text"]["spotlight_color"][row]]
        if "spotlight" in caption:
            seen.add(word)
            assert f"{word} spotlight" in caption or f"spotlight is {word}" in caption
            assert ("spotlight_color" in parser.parse(caption)) == (word != "violet")
    assert seen == set(words)


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ("{spotlight_color: {physical: [0, 1], wheel: hsv}}", "'spotlight_color' .* hold from -0.25 to 0.25"),
        ("{spotlight_pos: {physical: [-3.1416, 3.1416]}}", "'spotlight_pos' .*and spotlight_pos goes from -3.142"),
        ("{object_alpharot: {physical: [1.5708, -1.5708]}}", "'object_alpharot' into words by bins that hold"),
        ("{object_betarot: {physical: null, unit: null}}", "object_betarot goes from 0 to 1"),
        (
            "{background_color: {type: categorical, range: null, values: [a, b], physical: [0, 0.5]}}",
            "'background_color' .* goes from 0 to 0.5",
        ),
    ],
)
def test_words_that_do_not_hold_for_the_range_are_refused(factors: str, message: str) -> None:
    with pytest.raises(UsageError, match=rf"(?s){message}.*expected: a factor whose physical values"):
        detailed(factors)


def own(lexicon: str) -> str:
    template = (
        f"{{name: t, reads: {{object_xpos: position}}, lexicon: {{object_xpos: {lexicon}}}, "
        "phrasings: {a: '{{ object_xpos }}'}}"
    )
    return f"extends: m3di\nname: t\nviews: {{text: {{template: t}}}}\ntemplates: {{t: {template}}}\n"


def test_bins_without_a_range_need_a_word_for_each_label() -> None:
    spec = parse_spec(own("{bins: [west, middle, east]}"), where="t.yaml")
    assert set(captions(sample(spec, "train", 50), "text")) == {"West", "Middle", "East"}
    with pytest.raises(
        UsageError, match=r"(?s)of which it has 2, and object_xpos has 3 values.*expected: a word for each"
    ):
        parse_spec(own("{bins: [west, east]}"), where="t.yaml")


@pytest.mark.parametrize("within", ["[1, 0]", "[0]", "wide", "[0, .inf]", "[no, yes]"])
def test_a_range_of_bins_is_two_numbers(within: str) -> None:
    text = "{name: x, reads: {b: hue}, lexicon: {b: {bins: [low, high], within: WITHIN}}, phrasings: {a: '{{ b }}'}}"
    with pytest.raises(UsageError, match=r"`within` of 'b' is no range of its `bins`"):
        parse_template(text.replace("WITHIN", within), where="mine")


def test_a_value_without_a_word_in_the_language_is_refused() -> None:
    text = "extends: m3di\nname: t\nviews: {text: {template: german}}\nfactors: {object_xpos: {values: VALUES}}\n"
    spec = parse_spec(text.replace("VALUES", "[right, center, left]"), where="t.yaml")
    assert all(re.search("links|rechts|in der Mitte", each) for each in captions(sample(spec, "train", 30), "text"))
    message = (
        r"(?s)template 'german' has no words in 'object_xpos' for word of 'middle'.*next: +add them to the `lexicon`"
    )
    with pytest.raises(UsageError, match=message):
        parse_spec(text.replace("VALUES", "[left, middle, right]"), where="t.yaml")


def test_words_of_a_template_come_before_those_of_its_language() -> None:
    words = "{word: {left: links, middle: mittig, right: rechts}}"
    template = (
        f"{{name: t, language: de, reads: {{object_xpos: position, text_color: label}}, "
        f"lexicon: {{object_xpos: {words}}}, "
        "phrasings: {a: '{{ object_xpos }} in {{ text_color }}'}}"
    )
    text = "extends: m3di\nname: t\nviews: {text: {template: t}}\nfactors: {object_xpos: {values: VALUES}}\n"
    text = text.replace("VALUES", "[left, middle, right]")
    spec = parse_spec(f"{text}templates: {{t: {template}}}\n", where="t.yaml")
    assert {each.split()[0] for each in captions(sample(spec, "train", 50), "text")} == {"Links", "Mittig", "Rechts"}
