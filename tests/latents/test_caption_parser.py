"""Captions read back: every reading is found, and one that is not alone is refused."""

from __future__ import annotations

import pytest

from m3di.errors import M3diError
from m3di.latents import CaptionParser, Spec, captions, parse_spec, sample


def own(phrasings: str, factors: str, lexicon: str = "{}") -> Spec:
    template = (
        f"{{name: t, reads: {{text_color: label, object_xpos: position, object_shape: label}}, lexicon: {lexicon}, "
        f"phrasings: {phrasings}}}"
    )
    colors = "{palettes: null, values: [dark, dark red, blue], mechanism: {name: uniform, parents: []}}"
    text = f"extends: m3di\nname: t\nviews: {{text: {{template: t}}}}\ntemplates: {{t: {template}}}\n"
    return parse_spec(f"{text}factors: {{text_color: {colors}, {factors}}}\n", where="t.yaml")


FREE = "object_color: {mechanism: {name: uniform, parents: []}}"
POSITIONS = f"object_xpos: {{values: [left, red left], physical: [-3, 3]}}, {FREE}"


def test_words_that_can_be_cut_in_two_ways_are_refused() -> None:
    spec = own("{a: 'a {{ text_color }} {{ object_xpos }}'}", POSITIONS)
    drawn, parser = sample(spec, "train", 200), CaptionParser(spec, "text")
    text, refused = drawn.views["text"], set()
    for row, caption in enumerate(captions(drawn, "text")):
        if caption == "A dark red left":
            refused.add((int(text["text_color"][row]), int(text["object_xpos"][row])))
            with pytest.raises(M3diError, match=r"(?s)can be read in two ways.*'A dark red left'"):
                parser.parse(caption)
            continue
        assert all(value == text[name][row] for name, value in parser.parse(caption).items())
    assert refused == {(0, 1), (1, 0)}  # dark, red left; and dark red, left


def test_a_second_mention_decides_between_two_cuts() -> None:
    """The first cut that fits the text need not fit what is said elsewhere in it."""
    spec = own("{a: 'a {{ text_color }} {{ object_xpos }}: {{ object_xpos }}'}", POSITIONS)
    parser = CaptionParser(spec, "text")
    assert parser.parse("A dark red left: left") == {"text_phrasing": 0, "text_color": 1, "object_xpos": 0}
    assert parser.parse("A dark red left: red left") == {"text_phrasing": 0, "text_color": 0, "object_xpos": 1}
    with pytest.raises(M3diError, match="this is no caption of the view"):
        parser.parse("A blue left: red left")


def test_cuts_that_say_the_same_are_one_reading() -> None:
    forms = "{near: {a: x, b: xx, c: x, d: xx}, far: {a: xx, b: x, c: xx, d: x}}"
    factors = f"object_xpos: {{values: [a, b, c, d], physical: [0, 1, 2, 3]}}, {FREE}"
    phrasings = "{a: '{{ text_color }} {{ object_xpos.near }}{{ object_xpos.far }}'}"
    spec = own(phrasings, factors, f"{{object_xpos: {forms}}}")
    assert CaptionParser(spec, "text").parse("Blue xxx") == {"text_phrasing": 0, "text_color": 2}  # of no value alone


def test_a_phrasing_of_very_many_words_is_read() -> None:
    spec = own(f"{{a: '{'{{ object_xpos }}, ' * 500}{{{{ text_color }}}}'}}", POSITIONS)
    caption = captions(sample(spec, "train", 1), "text")[0]
    assert caption.count(",") == 500 and "text_color" in CaptionParser(spec, "text").parse(caption)
