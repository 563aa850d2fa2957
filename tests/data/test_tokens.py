from __future__ import annotations

from m3di.data import build_tokenizer
from m3di.data.tokens import words
from m3di.latents import Spec, captions, load_template, sample


def test_words() -> None:
    assert words('A cow, colored "xkcd:robin\'s egg", at the top-left.') == [
        *(
            "a",
            "cow",
            ",",
            "colored",
            '"',
            "xkcd",
            ":",
            "robin's",
            "egg",
            '"',
            ",",
            "at",
            "the",
            "top",
            "-",
            "left",
            ".",
        ),
    ]


def test_every_caption_round_trips(spec: Spec) -> None:
    tokenizer = build_tokenizer(spec, spec.views["text"])
    for split in ("train", "test"):
        for caption in captions(sample(spec, split, 3_000), "text"):
            ids = tokenizer.encode(caption)
            assert len(ids) == tokenizer.length
            assert 1 not in ids
            assert tokenizer.decode(ids).split() == words(caption)


def test_length_is_that_of_the_longest_caption_and_no_more(spec: Spec) -> None:
    tokenizer = build_tokenizer(spec, spec.views["text"])
    template = load_template("m3di")
    values = {"object_shape": "cow", "object_xpos": "left", "object_ypos": "top"}
    every = [
        words(template.render(phrasing, {**values, "text_color": name}))
        for phrasing in template.phrasings
        for name in spec.factors["text_color"].names
    ]
    assert tokenizer.length == max(map(len, every))
    assert {*tokenizer.vocabulary} > {word for caption in every for word in caption}


def test_unknown_words_and_overlong_captions(spec: Spec) -> None:
    tokenizer = build_tokenizer(spec, spec.views["text"])
    assert tokenizer.encode("zebra cow")[:3] == [1, tokenizer.vocabulary.index("cow"), 0]
    assert len(tokenizer.encode("cow " * 100)) == tokenizer.length
    assert tokenizer.vocabulary[:2] == ("<pad>", "<unk>")
