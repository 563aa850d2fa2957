"""Captions read back: which factors and choices a caption of a text view states."""

from __future__ import annotations

import re
from dataclasses import dataclass

from m3di.errors import M3diError
from m3di.latents.captioning import Sentence, sentences
from m3di.latents.spec import Spec
from m3di.latents.texts import texts_of


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
        readings = [
            values for each in meant for pattern in self._patterns if (values := pattern.match(each)) is not None
        ]
        if len(readings) != 1:
            raise M3diError(
                "the caption can be read in two ways" if readings else "this is no caption of the view",
                where=self.where,
                got=repr(caption),
                expected=f"a caption of template {self.template!r}",
            )
        return readings[0]


@dataclass(frozen=True)
class _Pattern:
    """A sentence as a regular expression."""

    expression: re.Pattern[str]
    groups: dict[str, tuple[str, dict[str, set[int]]]]  # group -> factor, and the values that each text can mean
    choices: dict[str, int]

    def match(self, caption: str) -> dict[str, int] | None:
        found = self.expression.fullmatch(caption)
        if found is None:
            return None
        meant: dict[str, set[int]] = {}
        for group, (name, meanings) in self.groups.items():
            meaning = meanings[found[group]]
            meant[name] = meant.get(name, meaning) & meaning
        if not all(meant.values()):
            return None
        # A form that many values share (an article) tells nothing by itself.
        return {**self.choices, **{name: min(values) for name, values in meant.items() if len(values) == 1}}


def _pattern(sentence: Sentence) -> _Pattern:
    groups: dict[str, tuple[str, dict[str, set[int]]]] = {}
    expression = ""
    for place in sentence.places:
        if place.factor is None:
            expression += re.escape(place.texts[0])
            continue
        meanings: dict[str, set[int]] = {}
        for index, text in enumerate(place.texts):
            meanings.setdefault(text, set()).add(index)
        group = f"g{len(groups)}"
        groups[group] = (place.factor, meanings)
        longest_first = sorted(meanings, key=len, reverse=True)
        expression += f"(?P<{group}>{'|'.join(map(re.escape, longest_first))})"
    return _Pattern(re.compile(expression), groups, sentence.choices)
