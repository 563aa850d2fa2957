"""Captions read back: which factors and choices a caption of a text view states."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from m3di.errors import M3diError
from m3di.latents.captioning import Sentence, sentences
from m3di.latents.spec import Spec
from m3di.latents.texts import texts_of

Meanings = dict[str, frozenset[int]]  # by factor, the values that it can have


class CaptionParser:
    """Reads the captions of a text view.

    Args:
        spec: The spec.
        view_name: The text view.
    """

    def __init__(self, spec: Spec, view_name: str) -> None:
        self.where = f"view {view_name!r} of spec {spec.name!r}"
        self.template = str(spec.observed[view_name].view.template)
        texts = texts_of(spec, view_name)
        self._captions: dict[str, set[str]] = {}  # by text in place of it
        if texts is not None and texts.by == "sample":
            raise M3diError(
                "texts of samples cannot be read back: only their writer knows what they state",
                where=self.where,
                expected="captions of a template, or paraphrases of them",
            )
        for caption, each in texts.found.items() if texts is not None else ():
            for text in each:
                self._captions.setdefault(text, set()).add(caption)
        self._patterns = [_pattern(sentence) for sentence in sentences(spec, view_name)]

    def parse(self, caption: str) -> dict[str, int]:
        """What a caption says.

        Returns:
            By factor, the raw value of a categorical factor or the bin of a number, and the choices (phrasing,
            synonyms, clauses). Only what the caption says is there.

        Raises:
            M3diError: It is no caption of this view, or can be read in two ways.
        """
        meant = self._captions.get(caption, set()) if self._captions else {caption}
        readings: list[dict[str, int]] = []
        every = (pattern.readings(each) for each in sorted(meant) for pattern in self._patterns)
        for values in itertools.chain.from_iterable(every):
            if values not in readings:
                readings.append(values)
            if len(readings) > 1:
                break
        if len(readings) != 1:
            raise M3diError(
                "the caption can be read in two ways" if readings else "this is no caption of the view",
                where=self.where,
                got=repr(caption),
                expected=f"a caption of template {self.template!r}",
            )
        return readings[0]


@dataclass(frozen=True)
class _Words:
    """The words of a place.

    Attributes:
        factor: The factor whose words they are.
        meanings: The values that each text can mean.
        lengths: Numbers of characters that they have.
    """

    factor: str
    meanings: dict[str, frozenset[int]]
    lengths: tuple[int, ...]


@dataclass(frozen=True)
class _Pattern:
    """A sentence, to be found in captions."""

    expression: re.Pattern[str]
    places: tuple[str | _Words, ...]
    choices: dict[str, int]

    def readings(self, caption: str) -> Iterator[dict[str, int]]:
        """What a caption says, if it is this sentence; two words in a row may be cut in several ways."""
        if self.expression.fullmatch(caption) is None:  # most captions are another sentence: this is told faster
            return
        for meant in self._meanings(caption):
            # A form that many values share (an article) tells nothing by itself.
            yield {**self.choices, **{name: min(values) for name, values in meant.items() if len(values) == 1}}

    def _meanings(self, caption: str) -> Iterator[Meanings]:
        """What the places can mean, for each way to cut the caption into their texts."""
        begun: list[tuple[int, int, Meanings]] = [(0, 0, {})]  # where the next place starts, its number, what is meant
        while begun:
            start, number, meant = begun.pop()
            if number == len(self.places):
                if start == len(caption):
                    yield meant
                continue
            place = self.places[number]
            if isinstance(place, str):
                if caption.startswith(place, start):
                    begun.append((start + len(place), number + 1, meant))
                continue
            for length in place.lengths:
                meaning = place.meanings.get(caption[start : start + length], frozenset())
                both = meaning & meant.get(place.factor, meaning)
                if both and start + length <= len(caption):
                    begun.append((start + length, number + 1, {**meant, place.factor: both}))


def _pattern(sentence: Sentence) -> _Pattern:
    places: list[str | _Words] = []
    expression = ""
    for place in sentence.places:
        if place.factor is None:
            places.append(place.texts[0])
            expression += re.escape(place.texts[0])
            continue
        meanings: dict[str, frozenset[int]] = {}
        for index, text in enumerate(place.texts):
            meanings[text] = meanings.get(text, frozenset()) | {index}
        places.append(_Words(place.factor, meanings, tuple(sorted({len(text) for text in meanings}))))
        expression += f"(?:{'|'.join(map(re.escape, meanings))})"
    return _Pattern(re.compile(expression), tuple(places), sentence.choices)
