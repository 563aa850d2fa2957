from __future__ import annotations

from m3di.data import build_tokenizer
from m3di.data.format.tokens import words
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
    tokenizer = build_tokenizer(spec, "text")
    for split in ("train", "test"):
        for caption in captions(sample(spec, split, 3_000), "text"):
            ids = tokenizer.encode(caption)
            assert len(ids) == tokenizer.length
            assert 1 not in ids
            assert tokenizer.decode(ids).split() == words(caption)


def test_length_is_that_of_the_longest_caption_and_no_more(spec: Spec) -> None:
    tokenizer = build_tokenizer(spec, "text")
    drawn = sample(spec, "train", 5_000)
    template, values = load_template("m3di"), drawn.views["text"]
    every = []
    for phrasing in range(len(template.phrasings)):
        for color in range(spec.factors["text_color"].n):
            values["text_phrasing"][color], values["text_color"][color] = phrasing, color
        every += [words(caption) for caption in captions(drawn, "text")[: spec.factors["text_color"].n]]
    assert tokenizer.length == max(map(len, every))
    assert {*tokenizer.vocabulary} > {word for caption in every for word in caption}


def test_unknown_words_and_overlong_captions(spec: Spec) -> None:
    tokenizer = build_tokenizer(spec, "text")
    assert tokenizer.encode("zebra cow")[:3] == [1, tokenizer.vocabulary.index("cow"), 0]
    assert len(tokenizer.encode("cow " * 100)) == tokenizer.length
    assert tokenizer.vocabulary[:2] == ("<pad>", "<unk>")
