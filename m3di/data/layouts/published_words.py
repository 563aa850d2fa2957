"""Split captions as the published loader does, which fails at a word of val or test that train does not have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from m3di.data.format.manifest import Manifest
from m3di.errors import M3diError
from m3di.latents import captions, sample

_WORD = re.compile(r"'s\b|[\w/-]+|[^\w\s]")  # hyphens and slashes join words; 's is a word
_STEP, _MOST = 10_000, 300_000
_SHOWN = 5


def published_words(texts: Iterable[str]) -> set[str]:
    """Return the words and marks of captions."""
    return {word for text in texts for word in _WORD.findall(text)}


def unknown_words_note(manifest: Manifest, view: str, texts: Mapping[str, Sequence[str]]) -> str | None:
    """Write a note if the published loader cannot read all captions; None if it can.

    Args:
        manifest: The dataset.
        view: Its text view.
        texts: Captions of each split.
    """
    known = published_words(texts.get("train", ()))
    words = {split: published_words(each) - known for split, each in texts.items() if split != "train"}
    unknown = sorted(set().union(*words.values()))
    if not unknown:
        return None
    where = " and ".join(split for split, each in words.items() if each)
    shown = ", ".join(map(repr, unknown[:_SHOWN])) + (f" and {len(unknown) - _SHOWN} more" * (len(unknown) > _SHOWN))
    note = f"{where} have words that train does not have ({shown}): the published loader stops there"
    general = f"{note}; it takes more samples of train"
    if manifest.source != "rendered":  # its samples are not the first ones of a stream
        return general
    try:
        n = _samples_with(manifest, view, set(unknown) | known)
    except M3diError:  # further samples cannot be drawn: a text by sample is missing, or a mechanism is not here
        return general
    needed = f"the first {n:,} samples of train have them all" if n else f"more than {_MOST:,} samples are needed"
    return f"{note}; {needed}"


def _samples_with(manifest: Manifest, view: str, words: set[str]) -> int | None:
    """Count how many first samples of train have all of some words; None if even many do not."""
    missing = set(words)
    for start in range(0, _MOST, _STEP):
        drawn = sample(manifest.parsed_spec, "train", _STEP, seed=manifest.seed, start=start)
        for row, text in enumerate(captions(drawn, view), start + 1):
            missing -= published_words([text])
            if not missing:
                return row
    return None
