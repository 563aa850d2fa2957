"""Captions in any script: which font draws a character, in which order, and where a line ends."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from PIL import Image, ImageDraw

from m3di.report import lettering as module
from m3di.report import missing_characters
from m3di.report.lettering import Lettering, clusters, font_files, is_rtl, words

SCRIPTS = {
    "Cyrillic": "Посмотрите в середину рисунка: «синий» чайник.",
    "Greek": "Δες στο κέντρο: μπλε τσαγιέρα.",
    "Vietnamese": "Ấm trà màu xanh ở giữa ảnh.",
    "Chinese": "看图片的中间：那里有一个“蓝色”的茶壶。",
    "Japanese": "図の中央に青いティーポットがあります。",
    "Korean": "그림 가운데에 파란 찻주전자가 있습니다.",
    "Arabic": "في وسط الصورة إبريق شاي أزرق.",
    "Hebrew": "קומקום כחול במרכז התמונה.",
    "Hindi": "चित्र के बीच में एक नीली चायदानी है।",
    "Bengali": "ছবির মাঝখানে একটি নীল চায়ের পাত্র।",
    "Tamil": "படத்தின் நடுவில் நீல தேநீர்ப் பாத்திரம்.",
    "Thai": "กาน้ำชาสีน้ำเงินอยู่กลางภาพ",
    "Georgian": "სურათის შუაში ლურჯი ჩაიდანია.",
    "emoji": "🐄 → 🍵",
}
LETTERS = Lettering(14)


def drawn(text: str) -> np.ndarray:
    sheet = Image.new("L", (400, 30), 255)
    LETTERS.draw(ImageDraw.Draw(sheet), (5, 5), text, 0, rtl=is_rtl(text))  # type: ignore[arg-type]
    return np.asarray(sheet)


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_has_its_letters_and_fits_into_its_line(script: str) -> None:
    text = SCRIPTS[script]
    assert missing_characters([text]) == ""
    ink = np.argwhere(drawn(text[:20]) < 128)
    assert len(ink) > 100
    top, left = ink.min(axis=0)
    bottom, right = ink.max(axis=0)
    assert top + 2 >= 5
    assert bottom < 5 + LETTERS.line_px + 2
    assert left >= 3
    assert right <= 5 + LETTERS.width_px(text[:20]) + 2


def test_what_no_font_has_is_told_once_and_marks_are_not() -> None:
    assert missing_characters(["an 𓀀, another 𓀀", "ok\u200d", "𓀁"]) == "𓀀𓀁"


def test_without_blender_there_is_still_the_font_of_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    caches = (font_files, module._font, module._unshaped, module._has, module._rank)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    try:
        for each in caches:
            each.cache_clear()
        assert [path.name for path in font_files()] == ["DejaVuSans.ttf"]
        assert missing_characters([SCRIPTS["Cyrillic"], SCRIPTS["Greek"]]) == ""
        assert missing_characters(["茶 a"]) == "茶"
        assert (drawn("茶") < 128).any()  # the box that stands for it
    finally:
        monkeypatch.undo()
        for each in caches:
            each.cache_clear()


def order(text: str, of: str = "") -> list[str]:
    """What stands in a line of a text from left to right."""
    return [run.text.strip() for run in LETTERS.runs(text, is_rtl(of or text)) if run.text.strip()]


def test_runs_from_left_to_right() -> None:
    assert order("a pot, x=3.") == ["a pot, x=3."]
    assert order('чайник "blue"') == ['чайник "blue"']
    assert order("a קומקום here") == ["a", "קומקום", "here"]
    assert order("קומקום blue כאן") == ["כאן", "blue", "קומקום"]
    assert order("קומקום dark blue כאן") == ["כאן", "dark blue", "קומקום"]
    # Quotes in a Hebrew text belong to it, not to what they enclose.
    assert order('קומקום "blue" כאן') == ['" כאן', "blue", 'קומקום "']
    # A later line of it begins with a word that is read the other way.
    assert order("blue כאן", of="קומקום blue כאן") == ["כאן", "blue"]
    # Two fonts in one direction, against that of the line: letters that only Noto has are left of what they follow.
    assert order("a شاي \u08a0\u08a1 b") == ["a", "\u08a0\u08a1", "شاي", "b"]


def test_letters_are_shaped() -> None:
    joined, apart = LETTERS.width_px("شاي"), sum(LETTERS.width_px(letter) for letter in "شاي")
    assert joined < 0.9 * apart
    # The vowel sign i is written before its consonant.
    assert not np.array_equal(drawn("कि"), drawn("क"))
    decomposed = unicodedata.normalize("NFD", "Ấm trà")
    np.testing.assert_array_equal(drawn(decomposed), drawn("Ấm trà"))


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("width_px", [40, 120, 300])
def test_lines_are_narrow_enough_and_lose_nothing(script: str, width_px: int) -> None:
    text = f"{SCRIPTS[script]} {SCRIPTS[script]} incomprehensibilities"
    lines = LETTERS.wrapped(words(text), width_px)
    assert all(LETTERS.width_px(line) <= width_px for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_where_lines_end() -> None:
    assert LETTERS.wrapped(words("one two three four"), 60) == ["one two", "three", "four"]
    assert words("茶壶。two ones") == ["茶", "壶。", "two ", "ones "]
    assert LETTERS.wrapped(["a 1", "b 2", "c 3"], 70, ",  ") == ["a 1,  b 2", "c 3"]
    assert LETTERS.wrapped(words(""), 60) == []


def test_clusters() -> None:
    assert clusters("abc") == ["a", "b", "c"]
    assert clusters("क्षि") == ["क्षि"]
    assert clusters("e\u0301a") == ["e\u0301", "a"]
    assert clusters("👩\u200d🚀!") == ["👩\u200d🚀", "!"]


def test_the_direction_is_that_of_the_first_letter() -> None:
    assert is_rtl("12 «קומקום» blue")
    assert not is_rtl("12 blue קומקום")
    assert not is_rtl("12")
