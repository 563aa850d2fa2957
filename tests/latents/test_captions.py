from __future__ import annotations

import re

import pytest

from m3di.errors import UsageError
from m3di.latents import Spec, captions, load_template, sample


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


def test_all_phrasings_are_drawn_and_differ(spec: Spec) -> None:
    template = load_template("m3di")
    values = {"object_shape": "armadillo", "object_xpos": "left", "object_ypos": "top", "text_color": "red"}
    rendered = {template.render(name, values) for name in template.phrasings}
    assert len(rendered) == 5
    assert all("an armadillo" in caption.lower() for caption in rendered)
    drawn = sample(spec, "train", 200).views["text"]["text_phrasing"]
    assert set(drawn) == {0, 1, 2, 3, 4}


def test_articles() -> None:
    template = load_template("m3di")
    values = {"object_shape": "cow", "object_xpos": "left", "object_ypos": "top", "text_color": "red"}
    assert template.render("colored", values) == 'A cow, colored "red", can be seen in the top-left of the view.'


def test_unknown_template() -> None:
    with pytest.raises(UsageError, match=r"no caption template is called 'm3dj'(?s:.)*did you mean 'm3di'"):
        load_template("m3dj")
