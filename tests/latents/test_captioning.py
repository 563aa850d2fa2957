from __future__ import annotations

import re

import numpy as np
import pytest

from m3di.errors import M3diError, UsageError
from m3di.latents import (
    CaptionParser,
    Spec,
    captions,
    load_spec,
    load_template,
    parse_spec,
    parse_template,
    sample,
    sentences,
    template_names,
)
from m3di.latents.templates import word_index
from tests.conftest import slow

DETAILED = """
extends: m3di
name: detailed
views:
  image:
    factors:
      object_alpharot: content
      object_betarot: content
      object_gammarot: content
      spotlight_pos: content
      spotlight_color: content
      background_color: content
  text:
    template: detailed
    mentions: {rotation: 0.2, ground: 1.0}
    factors:
      object_alpharot: content
      object_betarot: content
      object_gammarot: content
      spotlight_pos: content
      spotlight_color: content
      background_color: content
"""


def spec_of(template: str) -> Spec:
    if template == "factwise":
        return load_spec("misaligned-captions")
    if template == "detailed":
        return parse_spec(DETAILED, where="test")
    return parse_spec(f"{{extends: m3di, name: {template}, views: {{text: {{template: {template}}}}}}}", where="test")


def test_captions_name_what_is_there(spec: Spec) -> None:
    drawn = sample(spec, "train", 2_000)
    text = drawn.views["text"]
    for row, caption in enumerate(captions(drawn, "text")):
        words = {name: spec.factors[name].value_name(text[name][row]) for name in text}
        assert re.findall('"(.*?)"', caption) == [words["text_color"]]
        rest = caption.replace(f'"{words["text_color"]}"', "")
        assert re.findall(r"\b(?:teapot|hare|dragon|cow|armadillo|horse|head)\b", rest) == [words["object_shape"]]
        assert re.findall(r"\b(\w+)-(\w+)\b", rest) == [(words["object_ypos"], words["object_xpos"])]
        assert re.match("[A-Z]", caption)
        assert caption.endswith(".")
        assert "  " not in caption


def test_known_captions(spec: Spec) -> None:
    drawn = sample(spec, "train", 5)
    text = drawn.views["text"]
    text["text_phrasing"][:] = range(5)
    text["object_shape"][:] = 4
    text["object_xpos"][:] = 0
    text["object_ypos"][:] = 2
    text["text_color"][:] = spec.factors["text_color"].names.index("xkcd:deep red")
    assert captions(drawn, "text") == [
        'At the bottom-left of the picture sits an armadillo whose color is "xkcd:deep red".',
        'This scene shows an armadillo in "xkcd:deep red", placed at the bottom-left.',
        'An armadillo, colored "xkcd:deep red", can be seen in the bottom-left of the view.',
        'The object at the bottom-left is an armadillo, and its color is "xkcd:deep red".',
        'Look to the bottom-left of this picture: there you see something "xkcd:deep red" in the form of an armadillo.',
    ]


def test_templates_shipped() -> None:
    assert template_names() == ["detailed", "factwise", "german", "m3di", "minimal"]


@pytest.mark.parametrize("template", ["minimal", *slow("m3di", "detailed", "german")])
def test_every_caption_is_read_back(template: str) -> None:
    """All that 20,000 captions say is what was drawn: values, bins of numbers, and every choice."""
    spec = spec_of(template)
    drawn = sample(spec, "train", 20_000)
    text, parser = drawn.views["text"], CaptionParser(spec, "text")
    hue = "object_hue_name" if template == "factwise" else "text_color"
    must = {"object_shape", "object_xpos", "object_ypos", hue, "text_phrasing"}
    for row, caption in enumerate(captions(drawn, "text")):
        said = parser.parse(caption)
        assert must <= set(said), caption
        for name, value in said.items():
            factor = spec.factors[name]
            expected = text[name][row]
            if factor.type == "continuous":
                expected = int(factor.to_unit(expected) * 5)  # each number of `detailed` has five words
            assert value == expected, (caption, name)


def test_choices_are_factors_with_the_weights_of_the_spec() -> None:
    text = sample(spec_of("detailed"), "train", 5_000).views["text"]
    assert text["text_clause_ground"].mean() == 1.0
    assert text["text_clause_rotation"].mean() == pytest.approx(0.2, abs=0.03)
    assert text["text_clause_spotlight"].mean() == pytest.approx(0.5, abs=0.03)
    assert set(text["text_word_stands"]) == {0, 1, 2}
    assert set(text["text_phrasing"]) == {0, 1, 2}


def test_a_phrasing_whose_factors_are_not_seen_is_left_out() -> None:
    spec = parse_spec("{extends: m3di, name: t, views: {text: {template: detailed}}}", where="test")
    assert spec.factors["text_phrasing"].names == ("short",)


def test_phrasings_are_selected_by_the_spec() -> None:
    choice = "{type: categorical, kind: label, values: [shows, look]}"
    spec = parse_spec(f"{{extends: m3di, name: t, factors: {{text_phrasing: {choice}}}}}", where="test")
    texts = captions(sample(spec, "train", 100), "text")
    assert {text.split()[0] for text in texts} == {"This", "Look"}


@pytest.mark.slow
def test_captions_err_as_often_as_the_spec_says() -> None:
    wrong = "{role: style, change: {name: perturb, probability: 0.25}}"
    spec = parse_spec(
        f"{{extends: m3di, name: t, views: {{text: {{factors: {{object_shape: {wrong}}}}}}}}}", where="test"
    )
    drawn = sample(spec, "train", 10_000)
    differs = drawn.views["text"]["object_shape"] != drawn.views["image"]["object_shape"]
    assert differs.mean() == pytest.approx(0.25, abs=0.02)
    parser = CaptionParser(spec, "text")
    said = [parser.parse(caption)["object_shape"] for caption in captions(drawn, "text")]
    np.testing.assert_array_equal(said, drawn.views["text"]["object_shape"])


def test_sentences_are_all_there_is(spec: Spec) -> None:
    for sentence in sentences(spec, "text"):
        assert {place.factor for place in sentence.places} - {None} == {
            *("object_shape", "object_xpos", "object_ypos", "text_color"),
        }
    assert len(sentences(spec_of("detailed"), "text")) == 8 + 8 + 1


def test_no_caption_of_the_view(spec: Spec) -> None:
    with pytest.raises(M3diError, match=r"no caption of the view(?s:.)*a zebra"):
        CaptionParser(spec, "text").parse("Look, a zebra.")


def test_a_caption_with_two_readings(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("t") / "two.yaml"
    path.write_text(
        "{name: two, reads: {object_shape: label}, phrasings: {a: '{{ object_shape }}', b: '{{ object_shape }}'}}"
    )
    spec = parse_spec(f"{{extends: m3di, name: t, views: {{text: {{template: {path}}}}}}}", where="test")
    with pytest.raises(M3diError, match="can be read in two ways"):
        CaptionParser(spec, "text").parse("Cow")


def test_unknown_template() -> None:
    with pytest.raises(UsageError, match=r"no caption template is called 'm3dj'(?s:.)*did you mean 'm3di'"):
        load_template("m3dj")
    with pytest.raises(UsageError, match="no such caption template"):
        load_template("nowhere.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{name: x, reads: {}, phrasings: {a: '{{ b }}'}}", r"phrasings\.a: reads 'b', which is not in `reads`"),
        ("{name: x, reads: {}, phrasings: {a: '{% if %}'}}", r"phrasings\.a: "),
        ("{name: x, phrasings: {a: b}}", "reads: Field required"),
        ("{name: x, reads: {}, phrases: {}}", "phrases: Extra inputs"),
        ("{name: x, reads: {}, words: {w: [one]}, phrasings: {a: b}}", r"words\.w: needs two or more"),
        ("{name: x, reads: {}, lexicon: {f: {upper: {}}}, phrasings: {a: b}}", "a form cannot be called 'upper'"),
    ],
)
def test_bad_templates(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=rf"the caption template has problems:(?s:.)*{message}(?s:.)*mine"):
        parse_template(text, where="mine")


def test_a_number_without_a_range_has_no_bins() -> None:
    text = """
extends: m3di
name: t
factors: {object_alpharot: {range: null, physical: null, mechanism: {name: linear_gaussian, weights: [], std: 1}}}
views:
  image: {factors: {object_alpharot: content}}
  text: {template: t, factors: {object_alpharot: content}}
templates:
  t: {name: t, reads: {object_alpharot: angle}, lexicon: {object_alpharot: {bins: [low, high]}},
      phrasings: {a: '{{ object_alpharot }}'}}
"""
    with pytest.raises(UsageError, match="'object_alpharot' into words by bins of its range, and it has no `range`"):
        parse_spec(text, where="t.yaml")


def test_a_template_that_is_no_yaml() -> None:
    with pytest.raises(UsageError, match=r"template is not valid YAML: the \[ in line 1(?s:.)*mine, line 1"):
        parse_template("a: [", where="mine")


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{name: x, reads: {object_shape: hue}, phrasings: {a: '{{ object_shape }}'}}", "as hue, it is label"),
        ("{name: x, reads: {object_shape: label}, phrasings: {a: '{{ object_shape.dative }}'}}", "no form 'dative'"),
        (
            "{name: x, reads: {object_shape: label}, phrasings: {a: '{% if object_shape == 1 %}x{% endif %}'}}",
            "compares 'object_shape'",
        ),
        (
            "{name: x, reads: {object_shape: label}, lexicon: {object_shape: {word: {cow: Kuh}}}, "
            "phrasings: {a: '{{ object_shape }}'}}",
            "no words in 'object_shape' for word of 'teapot'",
        ),
        (
            "{name: x, reads: {object_alpharot: angle}, phrasings: {a: '{{ object_alpharot }}'}}",
            "no `bins` to put the number 'object_alpharot' into words",
        ),
    ],
)
def test_templates_that_do_not_fit_the_spec(
    tmp_path_factory: pytest.TempPathFactory, template: str, message: str
) -> None:
    path = tmp_path_factory.mktemp("t") / "x.yaml"
    path.write_text(template)
    seen = "{object_alpharot: private}"
    with pytest.raises(UsageError, match=rf"views\.text(?s:.)*{message}"):
        parse_spec(f"{{extends: m3di, name: t, views: {{text: {{template: {path}, factors: {seen}}}}}}}", where="test")


def test_only_the_first_letter_of_a_caption_becomes_a_capital() -> None:
    text = """
extends: m3di
name: t
views: {text: {template: t}}
templates:
  t: {name: t, reads: {object_shape: label}, lexicon: {object_shape: {word: {cow: big Bos taurus}}},
      phrasings: {a: 'big Bos taurus or {{ object_shape }}', b: '{{ object_shape }}, or big Bos taurus'}}
"""
    cow = "{name: constant, value: 0}"
    spec = parse_spec(f"{text}factors: {{object_shape: {{values: [cow], mechanism: {cow}}}}}", where="test")
    assert set(captions(sample(spec, "train", 50), "text")) == {
        "Big Bos taurus or big Bos taurus",
        "Big Bos taurus, or big Bos taurus",
    }


def test_both_ends_of_a_range_have_words() -> None:
    spec = spec_of("detailed")
    low, high = spec.factors["object_alpharot"].bounds
    raw = np.array([low, (low + high) / 2, np.nextafter(high, low), high])
    np.testing.assert_array_equal(word_index(spec.factors["object_alpharot"], raw, 5), [0, 2, 4, 4])
    np.testing.assert_array_equal(word_index(spec.factors["object_alpharot"], raw, 1), [0, 0, 0, 0])


@pytest.mark.parametrize(
    "phrasing",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ object_shape.__class__.__mro__ }}",
        "{{ object_shape.__init__.__globals__ }}",
        "{{ words.__class__.__base__.__subclasses__() }}",
        "{{ ('%s' | attr('format')).__class__ }}",
    ],
)
def test_a_template_gets_at_nothing_of_python(phrasing: str) -> None:
    """A template may come from a stranger."""
    quoted = phrasing.replace("'", "''")
    template = f"{{name: t, reads: {{object_shape: label}}, phrasings: {{a: '{quoted}'}}}}"
    spec = f"{{extends: m3di, name: t, views: {{text: {{template: t}}}}, templates: {{t: {template}}}}}"
    with pytest.raises(UsageError, match=r"(unsafe|form|no part of a phrasing)"):
        parse_spec(spec, where="test")
