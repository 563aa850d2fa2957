"""Texts of one's own in the place of captions, palettes of one's own, and the words of a language."""

# ruff: noqa: E501 - a mistake and its message are read best side by side
from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from m3di import data, generate
from m3di.errors import M3diError, UsageError
from m3di.latents import (
    CaptionParser,
    Spec,
    captions,
    do,
    load_spec,
    palette,
    parse_spec,
    plain_spec,
    sample,
    spec_from_dict,
)
from m3di.latents.templates import language_lexicon, language_names
from tests.conftest import FakeRenderPool, fake_options, write_fake_dataset

SIZES = {"train": 20, "val": 4, "test": 4}
OWN = "extends: m3di\nname: own\nviews: {text: {texts: texts.csv}}\n"


def rows_by_caption() -> list[tuple[str, ...]]:
    """Two paraphrases of each caption that the small dataset has."""
    spec = load_spec("m3di")
    told = {caption for split, n in SIZES.items() for caption in captions(sample(spec, split, n), "text")}
    return [("caption", "text"), *((each, f"{number}, {each.lower()}") for each in sorted(told) for number in (1, 2))]


def rows_by_sample(seed: int = 0) -> list[tuple[str, ...]]:
    keys = [(str(seed), split, str(index)) for split, n in SIZES.items() for index in range(n)]
    return [
        ("index", "seed", "split", "text"),
        *((i, s, split, f"Picture {split} {i}, as I see it.") for s, split, i in keys),
    ]


def written(folder: Path, rows: list[tuple[str, ...]], more: str = "") -> Path:
    with (folder / "texts.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)
    (folder / "own.yaml").write_text(OWN + more)
    return folder / "own.yaml"


def test_paraphrases_stand_for_the_captions_of_the_template(tmp_path: Path) -> None:
    spec = load_spec(written(tmp_path, rows_by_caption()))
    drawn, published = sample(spec, "train", 20), sample(load_spec("m3di"), "train", 20)
    chosen = drawn.views["text"]["text_paraphrase"] // 2**30
    expected = [f"{1 + which}, {each.lower()}" for which, each in zip(chosen, captions(published, "text"), strict=True)]
    assert captions(drawn, "text") == expected
    assert set(chosen) == {0, 1}
    assert all((drawn.views["image"][name] == each).all() for name, each in published.views["image"].items())
    parser, text = CaptionParser(spec, "text"), drawn.views["text"]
    for row, caption in enumerate(expected):
        read = parser.parse(caption)
        assert all(value == text[name][row] for name, value in read.items())
        assert "object_shape" in read
    with pytest.raises(M3diError, match="this is no caption of the view"):
        parser.parse("something else")


def test_a_text_for_each_sample(tmp_path: Path) -> None:
    spec = load_spec(written(tmp_path, rows_by_sample()))
    assert captions(sample(spec, "val", 2, start=1), "text") == [
        "Picture val 1, as I see it.",
        "Picture val 2, as I see it.",
    ]
    again = spec_from_dict(plain_spec(spec), where="test", stored=True)
    assert captions(sample(again, "val", 1), "text") == ["Picture val 0, as I see it."]
    with pytest.raises(
        UsageError, match=r"1 of 3 samples have no text(?s:.)*no row of sample 4 of val, seed 0: 0/val/4"
    ):
        captions(sample(spec, "val", 3, start=2), "text")
    with pytest.raises(UsageError, match=r"4 of 4 samples have no text(?s:.)*1/val/0"):
        captions(sample(spec, "val", 4, seed=1), "text")
    with pytest.raises(M3diError, match="texts of samples cannot be read back"):
        CaptionParser(spec, "text")


def test_texts_of_samples_do_not_hold_in_another_world(tmp_path: Path) -> None:
    spec = load_spec(written(tmp_path, rows_by_sample()))
    with pytest.raises(UsageError, match="texts by sample do not hold under `interventions`"):
        do(spec, object_xpos="left")
    with pytest.raises(UsageError, match="texts by sample do not hold under `pairs`"):
        load_spec(written(tmp_path, rows_by_sample(), "pairs: {counterfactual: [object_color]}\n"))
    by_caption = load_spec(written(tmp_path, rows_by_caption()))
    moved = sample(do(by_caption, object_xpos="left"), "train", 20)
    with pytest.raises(UsageError, match=r"samples have no text(?s:.)*no text for the caption of sample \d+ of train"):
        captions(moved, "text")
    before = sample(do(by_caption, object_zpos=0), "train", 20)  # captions do not tell it: they are the same
    assert captions(before, "text") == captions(sample(by_caption, "train", 20), "text")


@pytest.mark.slow
@pytest.mark.parametrize("rows", [rows_by_caption, rows_by_sample])
def test_a_dataset_with_texts_is_verified_and_loaded(tmp_path: Path, rows: object) -> None:
    from m3di import Multimodal3DIdent

    assert callable(rows)
    root = write_fake_dataset(tmp_path / "made", spec=str(written(tmp_path, rows())))
    data.verify(root)
    loaded = Multimodal3DIdent(root, split="train")
    texts = {row[-1] for row in rows()[1:]}
    assert {each["caption"] for each in loaded} <= texts
    assert all(1 not in each["text"] for each in loaded)  # no unknown word
    assert "characters, in dataset.json" in (root / "README.md").read_text()
    data.subset(root, tmp_path / "part", where="image.object_xpos == 0")
    data.verify(tmp_path / "part")


@pytest.mark.usefixtures("pools")
def test_a_missing_text_is_told_before_anything_is_rendered(tmp_path: Path) -> None:
    path = written(tmp_path, rows_by_caption()[:-10])
    with pytest.raises(UsageError, match="samples have no text"):
        generate.render(fake_options(tmp_path / "made", spec=str(path)))
    assert not (tmp_path / "made").exists()
    assert sum(pool.n_rendered for pool in FakeRenderPool.made) == 0


MISTAKES = {
    "caption;text\na;b\n": r"the file of texts has other columns: texts\.csv, line 1(?s:.)*got: +caption;text(?s:.)*caption,text or seed,split,index,text",
    "key,text\na,b\n": r"other columns",
    "caption,text,note\na,b,c\n": r"other columns",
    "": r"other columns",
    "caption,text\n": r"has no row",
    "caption,text\na\n": r"a row has not the columns of the header: texts\.csv, line 2(?s:.)*1 fewer",
    "caption,text\na,b,c\n": r"1 more than the header has",
    "caption,text\na,   \n": r"a text is empty",
    'caption,text\na,"b\u200b"\n': r"a character that is not printed",
    'caption,text\na,"b"c\n': r"this is no CSV",
    "seed,split,index,text\n0,train,1,a\n0,train,01,b\n": r"a sample has two texts(?s:.)*0/train/1",
    "seed,split,index,text\n0,trian,1,a\n": r"a row names no sample(?s:.)*split 'trian'",
    "seed,split,index,text\n0,train,-1,a\n": r"a row names no sample",
}


@pytest.mark.parametrize("content", MISTAKES)
def test_mistakes_in_a_file_of_texts(tmp_path: Path, content: str) -> None:
    written(tmp_path, [])
    (tmp_path / "texts.csv").write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=MISTAKES[content]) as caught:
        load_spec(tmp_path / "own.yaml")
    assert "1 problem:" in str(caught.value)


def test_a_file_of_texts_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(OWN)
    with pytest.raises(UsageError, match=r"there is no such file of texts"):
        load_spec(tmp_path / "own.yaml")
    (tmp_path / "text.csv").write_bytes(b"caption,text\n\xff,b\n")
    (tmp_path / "own.yaml").write_text(OWN.replace("texts.csv", "text.csv"))
    with pytest.raises(UsageError, match="UTF-8"):
        load_spec(tmp_path / "own.yaml")
    with pytest.raises(UsageError, match=r"the spec does not hold its texts 'texts\.csv'"):
        spec_from_dict(
            {
                **plain_spec(load_spec("m3di")),
                "views": {"text": {**plain_spec(load_spec("m3di"))["views"]["text"], "texts": "texts.csv"}},
            },
            where="t",
        )
    written(tmp_path, rows_by_sample())
    with pytest.raises(UsageError, match="`texts` belongs to the modality `text`"):
        parse_spec("{extends: m3di, name: t, views: {image: {texts: texts.csv}}}", where=str(tmp_path / "t.yaml"))


COLORS = "{workshop: {Rot: '#ff0000', Grün: '#00ff00', Blau: '#0000FF'}}"


def palettes(colors: str, names: str = "[workshop, tableau]") -> Spec:
    factors = f"{{text_palette: {{values: {names}}}, text_color: {{palettes: {names}, colors: {colors}}}}}"
    return parse_spec(f"{{extends: m3di, name: t, factors: {factors}}}", where="t")


def test_a_palette_of_ones_own_names_hues() -> None:
    spec = palettes(COLORS)
    drawn = sample(spec, "train", 3_000)
    text, hue = drawn.views["text"], drawn.views["image"]["object_color"]
    own = text["text_palette"] == 0
    assert own.mean() == pytest.approx(0.5, abs=0.05)
    # The three primaries are a third of the wheel apart: the nearest one is the nearest in hue.
    assert (text["text_color"][own] == np.round(hue[own] * 3).astype(int) % 3).all()
    assert (text["text_color"][~own] == 3 + palette("tableau").nearest(_rgb(hue[~own]))).all()
    assert set(drawn.columns()["text"]["text_color_hex"][own]) == {"#ff0000", "#00ff00", "#0000ff"}
    told = captions(drawn, "text")
    assert all(
        f'"{name}"' in caption for name, caption in zip(drawn.columns()["text"]["text_color_name"], told, strict=True)
    )
    parser = CaptionParser(spec, "text")
    assert all(
        parser.parse(caption)["text_color"] == value
        for caption, value in zip(told[:100], text["text_color"][:100], strict=True)
    )
    assert sample(spec_from_dict(plain_spec(spec), where="t", stored=True), "train", 5).n == 5


def _rgb(hue: np.ndarray) -> np.ndarray:
    from m3di.latents import hsv_to_rgb

    return hsv_to_rgb(hue, 1.0, 1.0)


PALETTE_MISTAKES = {
    ("{}", "[workshop]"): r"no palette is called 'workshop'(?s:.)*tableau, css4, xkcd",
    (COLORS, "[workshp, tableau]"): r"no palette is called 'workshp'; did you mean 'workshop'",
    (COLORS, "[tableau, css4]"): r"`palettes` does not name 'workshop'",
    ("{tableau: {a: '#000000', b: '#ffffff'}}", "[tableau]"): r"'tableau' is a palette of m3di",
    ("{workshop: {a: '#000000', b: '#000000'}}", "[workshop]"): r"'workshop' has less than two colours",
    ("{workshop: {a: '#000', b: '#ffffff'}}", "[workshop]"): r"colors\.workshop\.a: ",
    ("{workshop: {a: red, b: '#ffffff'}}", "[workshop]"): r"colors\.workshop\.a: ",
    ("{workshop: {'a  b': '#000000', b: '#ffffff'}}", "[workshop]"): r"a name that a caption cannot show as it is",
    (
        "{workshop: {'tab:blue': '#000000', b: '#ffffff'}}",
        "[workshop, tableau]",
    ): r"two palettes have a colour called 'tab:blue'",
}


@pytest.mark.parametrize(("colors", "names"), PALETTE_MISTAKES)
def test_mistakes_in_a_palette(colors: str, names: str) -> None:
    with pytest.raises(UsageError, match=PALETTE_MISTAKES[colors, names]):
        palettes(colors, names)


def test_a_template_refers_to_the_words_of_its_language(tmp_path: Path) -> None:
    text = "name: own\nlanguage: {}\nreads: {{object_shape: label, object_xpos: position}}\nphrasings: {{one: '{{{{ object_shape.the }}}} {}: {{{{ object_shape.it }}}} {}.'}}\n"
    (tmp_path / "spec.yaml").write_text("extends: m3di\nname: t\nviews: {text: {template: own.yaml}}\n")
    found = {}
    for language, one, other in (
        ("de", "steht {{ object_xpos }}", "glänzt"),
        ("en", "is at the {{ object_xpos }}", "shines"),
    ):
        (tmp_path / "own.yaml").write_text(text.format(language, one, other))
        drawn = sample(load_spec(tmp_path / "spec.yaml"), "train", 1)
        drawn.views["text"]["object_shape"][:], drawn.views["text"]["object_xpos"][:] = 1, 0
        found[language] = captions(drawn, "text")[0]
    assert found == {"de": "Der Hase steht links: er glänzt.", "en": "The hare is at the left: it shines."}


def test_own_words_come_first_and_a_value_without_words_is_told_of(tmp_path: Path) -> None:
    template = "name: own\nlanguage: de\nreads: {object_shape: label}\nlexicon: {object_shape: {word: {teapot: Kanne, hare: Hase, cow: Kuh}}}\nphrasings: {one: '{{ object_shape }}, {{ object_shape.the }}'}\n"
    (tmp_path / "own.yaml").write_text(template)
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "extends: m3di\nname: t\nfactors: {object_shape: {values: [teapot, hare, cow]}}\nviews: {text: {template: own.yaml}}\n"
    )
    assert set(captions(sample(load_spec(spec), "train", 50), "text")) == {
        "Kanne, die Teekanne",
        "Hase, der Hase",
        "Kuh, die Kuh",
    }
    spec.write_text(
        "extends: m3di\nname: t\nfactors: {object_shape: {values: [teapot, hare, sphere]}}\nviews: {text: {template: own.yaml}}\n"
    )
    (tmp_path / "own.yaml").write_text(template.replace("cow: Kuh", "sphere: Kugel"))
    with pytest.raises(UsageError, match="'object_shape' has no form 'the'"):
        load_spec(spec)


@pytest.mark.parametrize("language", language_names())
def test_the_words_of_a_language_are_whole(language: str) -> None:
    factors = load_spec("m3di").factors
    for name, forms in language_lexicon(language).items():
        for form, texts in forms.items():
            assert set(texts) >= set(factors[name].names), (name, form)
    assert {"word", "a", "the", "it"} <= language_lexicon(language)["object_shape"].keys()


def test_texts_of_samples_are_of_splits_that_the_spec_has(tmp_path: Path) -> None:
    (tmp_path / "texts.csv").write_text("seed,split,index,text\n0,cows,0,a cow\n", encoding="utf-8")
    text = "extends: m3di\nname: t\nviews: {text: {texts: texts.csv}}\n"
    (tmp_path / "t.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="texts of a split that the spec does not have: 'cows'"):
        load_spec(tmp_path / "t.yaml")
    (tmp_path / "t.yaml").write_text(
        f'{text}splits: {{cows: {{n: 1, given: object_shape == "cow"}}}}\n', encoding="utf-8"
    )
    assert captions(sample(load_spec(tmp_path / "t.yaml"), "cows", 1), "text") == ["a cow"]
