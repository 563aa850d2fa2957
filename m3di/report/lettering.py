"""Text in any script: fonts that together have most characters, shaped, and in the order in which it is read.

The fonts are those that come with matplotlib and Blender (Noto, for most scripts of the world). Pillow shapes one run
of text in one font; which font a run has, and where a run stands in a line, is decided here.
"""

from __future__ import annotations

import importlib.util
import itertools
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import matplotlib as mpl
from PIL import ImageDraw, ImageFont, features

Ink = tuple[int, int, int]

_LAST = ("Noto Sans CJK", "NotoSansSymbols", "NotoSansMath", "NotoEmoji", "Inter", "DejaVu")
"""Fonts that have letters besides what they are for: they come after those of one script."""
_NO_CHARACTER = "\U0010fffe"
_VIRAMA = 9  # a canonical combining class: the next letter joins


@dataclass(frozen=True)
class Run:
    """Text of one direction in one font."""

    text: str
    font: ImageFont.FreeTypeFont
    is_rtl: bool

    @property
    def width_px(self) -> float:
        """How far the next run is from its start."""
        return self.font.getlength(self.text)


@cache
def font_files() -> tuple[Path, ...]:
    """Files of the fonts by rank: the first one that has a character draws it."""
    found: list[Path] = []
    blender = importlib.util.find_spec("bpy")  # looked at, not imported
    for folder in blender.submodule_search_locations or () if blender else ():
        found += Path(folder).glob("*/datafiles/fonts/*.woff2")
    found.sort(key=lambda path: (next((n for n, name in enumerate(_LAST, 1) if path.name.startswith(name)), 0), path))
    return (Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", *found)


@cache
def _font(rank: int, size_px: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(font_files()[rank]), size_px)


@cache
def _has(rank: int, character: str) -> bool:
    """Whether a font has a character: else it draws what it draws for no character."""
    drawn, nothing = (_unshaped(rank).getmask(each) for each in (character, _NO_CHARACTER))
    return drawn.size != nothing.size or bytes(drawn) != bytes(nothing)


@cache
def _unshaped(rank: int) -> ImageFont.FreeTypeFont:
    """A font that draws character by character: shaping would take some apart."""
    return ImageFont.truetype(str(font_files()[rank]), 16, layout_engine=ImageFont.Layout.BASIC)


@cache
def _rank(character: str) -> int | None:
    """Of the first font that has a character; None if none has."""
    return next((rank for rank in range(len(font_files())) if _has(rank, character)), None)


def _follows(character: str) -> bool:
    """Whether a character is drawn in the font of what is before it: marks, joiners, blanks and punctuation."""
    return unicodedata.category(character)[0] in "MZPC"


def _direction(character: str) -> bool | None:
    """Whether a character is read from right to left; None if that depends on what is around it."""
    kind = unicodedata.bidirectional(character)
    return True if kind in ("R", "AL") else False if kind == "L" else None


def missing_characters(texts: Iterable[str]) -> str:
    """The characters that no font has, each once: boxes are drawn in their place."""
    characters = sorted({each for text in texts for each in text})
    return "".join(each for each in characters if not _follows(each) and _rank(each) is None)


class Lettering:
    """Text of one size.

    Args:
        size_px: Size of the letters.
    """

    def __init__(self, size_px: int) -> None:
        self.size_px = size_px
        self._ascent_px = round(1.05 * size_px)

    @property
    def line_px(self) -> int:
        """From line to line: room for the marks above and below letters that many scripts have."""
        return round(1.4 * self.size_px)

    def width_px(self, text: str) -> float:
        """Width of a line."""
        return sum(run.width_px for run in self.runs(text))

    def draw(
        self, draw: ImageDraw.ImageDraw, corner: tuple[float, float], text: str, ink: Ink, *, rtl: bool = False
    ) -> None:
        """Draw a line by its top left corner, column and row.

        Args:
            draw: What draws on the picture.
            corner: Column and row.
            text: The line.
            ink: Its colour.
            rtl: Whether the text that it is a line of is read from right to left, see `is_rtl`.
        """
        x, y = corner
        for run in self.runs(text, rtl):
            direction = ("rtl" if run.is_rtl else "ltr") if features.check("raqm") else None
            draw.text((x, y + self._ascent_px), run.text, fill=ink, font=run.font, anchor="ls", direction=direction)
            x += run.width_px

    def runs(self, text: str, rtl: bool = False) -> list[Run]:
        """The runs of a line from left to right; `rtl` says whether its text is read from right to left."""
        runs = list(self._in_order(text, rtl))[:: -1 if rtl else 1]
        ordered: list[Run] = []
        for same, group in itertools.groupby(runs, key=lambda run: run.is_rtl):
            # Runs against the direction of the line are read in their own.
            ordered += list(group)[:: 1 if same == rtl else -1]
        return ordered

    def _in_order(self, text: str, whole: bool) -> Iterator[Run]:
        """The runs of a line in the order of its characters."""
        text = unicodedata.normalize("NFC", text)
        looks: list[tuple[int, bool]] = []
        for character, rtl in zip(text, _directions(text, whole), strict=True):
            before = looks[-1][0] if looks else None
            keeps = before is not None and _follows(character) and (_is_mark(character) or _has(before, character))
            looks.append((before if keeps and before is not None else _rank(character) or 0, rtl))
        for (rank, rtl), group in itertools.groupby(zip(looks, text, strict=True), key=lambda each: each[0]):
            yield Run("".join(character for _, character in group), _font(rank, self.size_px), rtl)

    def wrapped(self, pieces: list[str], width_px: int, separator: str = "") -> list[str]:
        """Lines no wider than `width_px` of pieces that stay whole where they fit into a line.

        Args:
            pieces: Parts of the text.
            width_px: Width of a line.
            separator: What is between two pieces of a line.
        """
        lines: list[str] = [""]
        for number, piece in enumerate(pieces):
            joined = lines[-1] + separator * bool(number) + piece
            if self.width_px(joined.rstrip()) <= width_px:
                lines[-1] = joined
                continue
            lines.append("")
            for cluster in clusters(piece):
                if lines[-1] and self.width_px(lines[-1] + cluster) > width_px:
                    lines.append("")
                lines[-1] += cluster
        return [line.rstrip() for line in lines if line.strip()]


def is_rtl(text: str) -> bool:
    """Whether a text is read from right to left: its first letter tells."""
    return next((found for found in map(_direction, text) if found is not None), False)


def _directions(text: str, whole: bool) -> list[bool]:
    """Of each character whether it is read from right to left. What has no direction of its own has that of the letters
    on both sides, or that of the text where they differ: the rules of Unicode, without their levels.
    """
    own = [_direction(character) for character in text]
    before = list(itertools.accumulate(own, lambda last, each: last if each is None else each, initial=whole))[1:]
    after = list(itertools.accumulate(own[::-1], lambda last, each: last if each is None else each, initial=whole))[
        :0:-1
    ]
    return [bool(one if one == other else whole) for one, other in zip(before, after, strict=True)]


def _is_mark(character: str) -> bool:
    return unicodedata.category(character)[0] in "MC"


def clusters(text: str) -> list[str]:
    """The parts of a text that are never drawn apart: a letter and its marks, letters that join."""
    found: list[str] = []
    for character in text:
        joins = found and (unicodedata.combining(found[-1][-1]) == _VIRAMA or found[-1][-1] == "\u200d")
        if found and (joins or _is_mark(character)):
            found[-1] += character
        else:
            found.append(character)
    return found


def words(text: str) -> list[str]:
    """The parts between which a text may be broken, with the blank that follows: words, and letters of scripts that
    are written without blanks, but not before a mark of punctuation.
    """
    found: list[str] = []
    for word in text.split():
        start = len(found)
        for cluster in clusters(word):
            is_wide = unicodedata.east_asian_width(cluster[0]) in "WF"
            follows = len(found) > start and (
                unicodedata.category(cluster[0])[0] == "P"
                or not (is_wide or unicodedata.east_asian_width(found[-1][-1]) in "WF")
            )
            if follows:
                found[-1] += cluster
            else:
                found.append(cluster)
        if len(found) > start:
            found[-1] += " "
    return found
