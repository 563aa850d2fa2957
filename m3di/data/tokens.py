"""Captions to token ids. The vocabulary comes from the spec, not from a pass over the data, so all splits share it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from m3di.latents import Spec, sentences

PAD, UNKNOWN = "<pad>", "<unk>"
WORD = re.compile(r"\w+(?:'\w+)?|[^\w\s]")


def words(caption: str) -> list[str]:
    """The tokens of a caption: words in lower case, and punctuation marks."""
    return WORD.findall(caption.lower())


@dataclass(frozen=True)
class Tokenizer:
    """Words to ids.

    Attributes:
        vocabulary: All tokens; the index is the id. Padding is 0, an unknown word 1.
        length: Tokens in the longest caption that the spec can give; shorter ones are padded to it.
    """

    vocabulary: tuple[str, ...]
    length: int

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {word: index for index, word in enumerate(self.vocabulary)}

    def encode(self, caption: str) -> list[int]:
        """Token ids of a caption, padded to `length`; words beyond it are cut off."""
        ids = [self._ids.get(word, 1) for word in words(caption)[: self.length]]
        return ids + [0] * (self.length - len(ids))

    def decode(self, ids: Iterable[int]) -> str:
        """The words of token ids, without padding, joined by spaces."""
        return " ".join(self.vocabulary[index] for index in ids if index != 0)


def build_tokenizer(spec: Spec, view_name: str) -> Tokenizer:
    """The tokenizer of all captions that a text view of this spec can give."""
    vocabulary: set[str] = set()
    longest = 0
    for sentence in sentences(spec, view_name):
        counts = []
        for place in sentence.places:
            tokens = [words(text) for text in place.texts]
            vocabulary.update(*tokens)
            counts.append(max(map(len, tokens)))
        longest = max(longest, sum(counts))
    return Tokenizer((PAD, UNKNOWN, *sorted(vocabulary)), longest)
