"""Turn captions into token ids. The vocabulary comes from the spec, not from the data, so all splits share it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from m3di.latents import Spec, sentences
from m3di.latents.captioning import Slot
from m3di.latents.texts import texts_of

PAD, UNKNOWN = "<pad>", "<unk>"
Quoted = Literal["words", "unit"]
PATTERNS: dict[str, re.Pattern[str]] = {
    "words": re.compile(r"\w+(?:'\w+)?|[^\w\s]"),
    "unit": re.compile(r"(?<=\")[^\"]+(?=\")|\w+(?:'\w+)?|[^\w\s]"),
}


def words(caption: str, quoted: Quoted = "words") -> list[str]:
    """Split a caption into tokens: words in lower case, and punctuation marks.

    Args:
        caption: The caption.
        quoted: `unit` keeps what stands between double quotes, such as a colour name of several words, in one piece.
    """
    return PATTERNS[quoted].findall(caption.lower())


@dataclass(frozen=True)
class Tokenizer:
    """Turns words into ids.

    Attributes:
        vocabulary: All tokens; the index is the id. Padding is 0, an unknown word 1.
        length: Tokens in the longest caption that the spec can give; shorter ones are padded to it.
        quoted: Whether a quoted name is one token, see `words`.
    """

    vocabulary: tuple[str, ...]
    length: int
    quoted: Quoted = "words"

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {word: index for index, word in enumerate(self.vocabulary)}

    def encode(self, caption: str) -> list[int]:
        """Return the token ids of a caption, padded or cut to `length`."""
        ids = [self._ids.get(word, 1) for word in words(caption, self.quoted)[: self.length]]
        return ids + [0] * (self.length - len(ids))

    def decode(self, ids: Iterable[int]) -> str:
        """Return the words of token ids, without padding, joined by spaces."""
        return " ".join(self.vocabulary[index] for index in ids if index != 0)


def build_tokenizer(spec: Spec, view_name: str, quoted: Quoted = "words") -> Tokenizer:
    """Build the tokenizer of all captions that a text view of this spec can give.

    Args:
        spec: The spec.
        view_name: Its text view.
        quoted: Whether a quoted name is one token, see `words`.
    """
    texts = texts_of(spec, view_name)
    if texts is not None:
        return tokenizer_of(texts.every, quoted)
    vocabulary: set[str] = set()
    longest = 0
    for sentence in sentences(spec, view_name):
        counts = []
        for place, within in _places(sentence.places):
            if within and quoted == "unit":
                tokens = [[text.lower()] for text in place]
            else:
                tokens = [words(text) for text in place]
            vocabulary.update(*tokens)
            counts.append(max(map(len, tokens)))
        longest = max(longest, sum(counts))
    return Tokenizer((PAD, UNKNOWN, *sorted(vocabulary)), longest, quoted)


def _places(places: Iterable[Slot]) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Yield the texts of each place of a sentence, and whether double quotes enclose them."""
    all_places = list(places)
    for number, place in enumerate(all_places):
        before = all_places[number - 1].texts[0] if number else ""
        after = all_places[number + 1].texts[0] if number + 1 < len(all_places) else ""
        yield place.texts, place.factor is not None and before.endswith('"') and after.startswith('"')


def tokenizer_of(captions: Iterable[str], quoted: Quoted = "words") -> Tokenizer:
    """Build a tokenizer from captions that no spec describes."""
    vocabulary: set[str] = set()
    longest = 0
    for caption in captions:
        found = words(caption, quoted)
        vocabulary.update(found)
        longest = max(longest, len(found))
    return Tokenizer((PAD, UNKNOWN, *sorted(vocabulary)), longest, quoted)
