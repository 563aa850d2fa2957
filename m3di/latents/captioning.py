"""Captions: what a text view says, put into words.

A template's phrasings are rendered once, with marks where words go: that gives the `sentences` of a view. Captions
fill their places; the tokenizer takes its vocabulary from them, and the parser reads captions by them.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from m3di.errors import UsageError
from m3di.latents.mechanism_use import MechanismUse
from m3di.latents.phrasings import CLOSE, OPEN
from m3di.latents.said import OUT_IN, clause_factor, phrasing_factor, said_factor, word_factor
from m3di.latents.sampling import Samples
from m3di.latents.spec import Spec
from m3di.latents.subsets import never_chosen
from m3di.latents.templates import Template, Word, builtin_template, word_index
from m3di.latents.texts import texts_of, told_by_texts

MAX_SENTENCES = 4096
"""Sentences of a view: each phrasing with every combination of its clauses."""


def template_of(spec: Spec, view: str) -> Template:
    """The template of a text view: one of the spec's own, or a built-in one.

    Raises:
        UsageError: There is no such template.
    """
    name = str(spec.observed[view].view.template)
    return spec.templates.get(name) or builtin_template(name)


def caption_languages(spec: Spec) -> list[str]:
    """The languages of the captions, as their templates name them: `["en"]`; none where there are no captions."""
    return sorted({_language_of(spec, view) for view in spec.told})


def _language_of(spec: Spec, view: str) -> str:
    try:
        return template_of(spec, view).language
    except UsageError:  # the published captions: their template is not ours
        return "en"


def absent_clauses(spec: Spec, view: str, template: Template) -> frozenset[str]:
    """The clauses of a template that no caption of a view has, by the mechanisms of their factors."""
    out, in_ = OUT_IN
    found = set()
    for clause in template.clauses:
        name = clause_factor(view, clause)
        names = spec.factors[name].names
        if in_ not in names or (
            out in names and all(_never(spec, use, names.index(in_)) for use in spec.mechanisms_of(name))
        ):
            found.add(clause)
    return frozenset(found)


def _never(spec: Spec, use: MechanismUse, index: int) -> bool:
    """Whether a mechanism never gives a value; of two values where it is `member`."""
    parameters = use.parameters
    if use.name == "categorical" and isinstance(parameters.get("weights"), list):
        return bool(parameters["weights"][index] == 0)
    if use.name != "member" or index != 1 or use.parents[0] not in spec.factors:
        return False
    return all(
        each.name == "subset" and never_chosen(each.parameters, parameters["number"])
        for each in spec.mechanisms_of(use.parents[0])
    )


@dataclass(frozen=True)
class Slot:
    """A place of a sentence: a literal (no factor, one text), or a factor's word, one text for each that there is."""

    factor: str | None
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Sentence:
    """A phrasing with some of its clauses.

    Attributes:
        choices: The phrasing and the clauses that it stands for, by factor.
        places: Its places in order; put together, one text of each, they are a caption.
    """

    choices: dict[str, int]
    places: tuple[Slot, ...]


def sentences(spec: Spec, view_name: str) -> list[Sentence]:
    """Every sentence that a text view can say.

    Raises:
        UsageError: A phrasing compares a word, or asks for a form that the lexicon does not have; or there are more
            sentences than `MAX_SENTENCES`.
    """
    observed = spec.observed[view_name]
    view, declared = observed.view, observed.declared
    template = template_of(spec, view_name)
    said = {read: said_factor(declared, read) for read in template.reads if read in view.factors}
    said = {read: each if each in view.factors else read for read, each in said.items()}
    words = {each: template.vocabulary(read, spec.factors[read]) for read, each in said.items()}
    for word in template.words:
        factor = word_factor(declared, word)
        words[factor] = tuple(Word(name, {}) for name in spec.factors[factor].names)
    slots = {name: _Slot(name, each) for name, each in words.items()}
    context: dict[str, Any] = {read: slots[each] for read, each in said.items()}
    context["words"] = {word: slots[word_factor(declared, word)] for word in template.words}
    texts = cache(lambda name, form: tuple(word.forms[form] if form else word.text for word in words[name]))
    found: list[Sentence] = []
    for index, phrasing in enumerate(spec.factors[phrasing_factor(declared)].names):
        clauses = template.clauses_of(phrasing) if phrasing in template.phrasings else ()
        # A clause that is never there has no sentence where it would read what the view does not see.
        reads_all = template.reads_of(phrasing) <= said.keys()
        idle = frozenset[str]() if reads_all else absent_clauses(spec, declared, template)
        if len(found) + 2 ** len(clauses) > MAX_SENTENCES:
            raise UsageError(
                f"template {template.name!r} has too many sentences: phrasing {phrasing!r} has {len(clauses)} clauses",
                expected=f"at most {MAX_SENTENCES} of all phrasings with every combination of their clauses",
                next_step="take clauses away",
            )
        for present in _presences(spec, declared, clauses, idle):
            context["clauses"] = {clause: each == OUT_IN[1] for clause, each in present.items()}
            rendered = template.render(phrasing, context)
            chosen = ((clause_factor(declared, clause), each) for clause, each in present.items())
            choices = {name: spec.factors[name].names.index(each) for name, each in chosen}
            places = tuple(_places(rendered, texts))
            found.append(Sentence({phrasing_factor(declared): index, **choices}, places))
    return found


def _presences(spec: Spec, view: str, clauses: Sequence[str], idle: frozenset[str]) -> Iterator[dict[str, str]]:
    """Every combination of clauses that are out or in, as far as their factors have these values."""
    allowed = [
        [
            each
            for each in OUT_IN
            if each in spec.factors[clause_factor(view, clause)].names and not (each == OUT_IN[1] and clause in idle)
        ]
        for clause in clauses
    ]
    for present in itertools.product(*allowed):
        yield dict(zip(clauses, present, strict=True))


def possible_sentences(spec: Spec, view: str) -> list[Sentence]:
    """The sentences of a declared view that its mechanisms draw: without clauses and phrasings that never are."""
    return [
        sentence
        for sentence in sentences(spec, view)
        if not any(
            all(_never(spec, use, choice) for use in spec.mechanisms_of(factor))
            for factor, choice in sentence.choices.items()
            if spec.factors[factor].n > 1
        )
    ]


def captions(samples: Samples, view_name: str) -> list[str]:
    """The caption of every sample in a text view; with `texts`, the text in place of it.

    Example:
        >>> from m3di import captions, load_spec, sample
        >>> print(captions(sample(load_spec("m3di"), "train", 1), "text")[0])
        Look to the mid-center of this picture: there you see something "dodgerblue" in the form of a head.
    """
    told, texts = captions_of_template(samples, view_name), texts_of(samples.spec, view_name)
    return told if texts is None else told_by_texts(samples, view_name, texts, told)


def captions_of_template(samples: Samples, view_name: str) -> list[str]:
    """The caption of every sample in a text view as its template gives it."""
    spec, columns = samples.spec, samples.views[view_name]
    result = np.full(samples.n, "", dtype=object)
    for sentence in sentences(spec, view_name):
        chosen = np.ones(samples.n, dtype=bool)
        for factor, choice in sentence.choices.items():
            chosen &= columns[factor] == choice
        rows = np.flatnonzero(chosen)
        if not rows.size:
            continue
        for place in sentence.places:
            if place.factor is None:
                result[rows] += place.texts[0]
            else:
                index = word_index(spec.factors[place.factor], columns[place.factor][rows], len(place.texts))
                result[rows] += np.array(place.texts, dtype=object)[index]
    return list(result)


class _Slot(str):
    """Stands for a word while a phrasing is rendered: leaves a mark, another one for each form."""

    _name: str
    _words: tuple[Word, ...]

    def __new__(cls, name: str, words: tuple[Word, ...], form: str = "") -> _Slot:
        slot = super().__new__(cls, f"{OPEN}{name}.{form}{CLOSE}")
        slot._name, slot._words = name, words
        return slot

    def __getattr__(self, form: str) -> _Slot:
        if form.startswith("_"):
            raise AttributeError(form)
        if not all(form in word.forms for word in self._words):
            known = ", ".join(self._words[0].forms) or "none"
            raise UsageError(f"{self._name!r} has no form {form!r}", expected=f"one of the lexicon's: {known}")
        return _Slot(self._name, self._words, form)

    def __eq__(self, other: object) -> bool:
        raise UsageError(
            f"a phrasing compares {self._name!r}; what it says may depend on clauses only",
            next_step="give each value its own words in the lexicon instead",
        )

    __hash__ = str.__hash__

    def __bool__(self) -> bool:
        return self == ""  # asked by an `if`: as bad as a comparison


def _places(rendered: str, texts_of: Callable[[str, str], tuple[str, ...]]) -> Iterator[Slot]:
    """The places of a rendered phrasing; its first letter, in a literal or a word, is a capital."""
    pieces = re.findall(f"([^{OPEN}]+)|{OPEN}([^{CLOSE}]*){CLOSE}", rendered)
    for number, (literal, mark) in enumerate(pieces):
        name, _, form = mark.partition(".")
        texts = texts_of(name, form) if mark else (literal,)
        if number == 0:
            texts = tuple(text[:1].upper() + text[1:] for text in texts)
        yield Slot(name or None, texts)
