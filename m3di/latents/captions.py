"""Captions: what a text view says, put into words.

A template's phrasings are rendered once, with marks where words go: that gives the `sentences` of a view. Captions
fill their places; the tokenizer takes its vocabulary from them, and the parser reads captions by them.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jinja2
import numpy as np

from m3di.errors import UsageError
from m3di.latents.sample import Samples
from m3di.latents.spec import Spec, hint
from m3di.latents.templates import Template, Word, load_template, word_index

YES_NO = ("out", "in")
OPEN, CLOSE = "\ue000", "\ue001"  # private use: no template or value holds them


def phrasing_factor(view: str) -> str:
    """Name of the factor that draws a text view's phrasing."""
    return f"{view}_phrasing"


def word_factor(view: str, word: str) -> str:
    """Name of the factor that draws a synonym."""
    return f"{view}_word_{word}"


def clause_factor(view: str, clause: str) -> str:
    """Name of the factor that draws whether an optional clause is there."""
    return f"{view}_clause_{clause}"


def choice_factors(name: str, view: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The factors that a text view's template draws, as a spec file would declare them.

    Args:
        name: Name of the view.
        view: Its declaration, not validated yet.

    Raises:
        UsageError: There is no such template.
    """
    template = load_template(str(view.get("template")))
    seen = frozenset(view.get("factors") or {})
    factors: dict[str, dict[str, Any]] = {
        phrasing_factor(name): {"values": list(template.usable(seen)) or list(template.phrasings)},
        **{word_factor(name, word): {"values": list(each)} for word, each in template.words.items()},
    }
    for clause in template.clauses:
        probability = float((view.get("mentions") or {}).get(clause, 0.5))
        weights = {"name": "categorical", "weights": [1.0 - probability, probability]}
        factors[clause_factor(name, clause)] = {"values": list(YES_NO), "mechanism": weights}
    return {factor: {"type": "categorical", "kind": "label", **each} for factor, each in factors.items()}


def check_template(spec: Spec, name: str) -> Iterator[str]:
    """What is wrong with a text view's template: unknown, reading unseen factors, of other choices."""
    view = spec.views[name]
    try:
        template = load_template(str(view.template))
    except UsageError as error:
        yield f"template: {error}"
        return
    unknown = set(view.mentions) - set(template.clauses)
    problems = [f"mentions: no clause is called {each!r}{hint(each, template.clauses)}" for each in sorted(unknown)]
    choices = {phrasing_factor(name): tuple(template.phrasings)}
    choices |= {word_factor(name, word): each for word, each in template.words.items()}
    choices |= {clause_factor(name, clause): YES_NO for clause in template.clauses}
    for factor, expected in choices.items():
        foreign = [value for value in spec.factors[factor].names if value not in expected]
        if foreign:
            known = ", ".join(expected)
            problems.append(f"factors.{factor}: template {template.name!r} has {known}, not {', '.join(foreign)}")
    if not problems:
        problems = list(_reading_problems(spec, name, template))
    if not problems:
        try:
            sentences(spec, name)
        except (UsageError, jinja2.TemplateError) as error:
            problems = [f"template {template.name!r}: {error}"]
    yield from problems


def _reading_problems(spec: Spec, name: str, template: Template) -> Iterator[str]:
    phrasings = spec.factors[phrasing_factor(name)].names
    for read in sorted({read for phrasing in phrasings for read in template.reads_of(phrasing)}):
        reads = f"template {template.name!r} reads {read!r}"
        if read not in spec.views[name].factors:
            yield f"{reads}, which the view does not see"
        elif spec.factors[read].kind != template.reads[read]:
            yield f"{reads} as {template.reads[read]}, it is {spec.factors[read].kind}"
        else:
            try:
                template.vocabulary(read, spec.factors[read])
            except UsageError as error:
                yield error.what


@dataclass(frozen=True)
class Place:
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
    places: tuple[Place, ...]


def sentences(spec: Spec, view_name: str) -> list[Sentence]:
    """Every sentence that a text view can say.

    Raises:
        UsageError: A phrasing compares a word, or asks for a form that the lexicon does not have.
    """
    observed = spec.observed[view_name]
    view, declared = observed.view, observed.declared
    template = load_template(str(view.template))
    words = {read: template.vocabulary(read, spec.factors[read]) for read in template.reads if read in view.factors}
    for word in template.words:
        factor = word_factor(declared, word)
        words[factor] = tuple(Word(name, {}) for name in spec.factors[factor].names)
    slots = {name: _Slot(name, each) for name, each in words.items()}
    context: dict[str, Any] = {name: slots[name] for name in template.reads if name in slots}
    context["words"] = {word: slots[word_factor(declared, word)] for word in template.words}
    found = []
    for index, phrasing in enumerate(spec.factors[phrasing_factor(declared)].names):
        clauses = [clause for clause in template.clauses if f"clauses.{clause}" in template.phrasings[phrasing].text]
        for present in itertools.product(range(2), repeat=len(clauses)):
            context["clauses"] = dict(zip(clauses, map(bool, present), strict=True))
            rendered = template.render(phrasing, context)
            choices = {clause_factor(declared, clause): each for clause, each in zip(clauses, present, strict=True)}
            places = tuple(_places(rendered, words))
            found.append(Sentence({phrasing_factor(declared): index, **choices}, places))
    return found


def captions(samples: Samples, view_name: str) -> list[str]:
    """The caption of every sample in a text view."""
    spec, columns = samples.spec, samples.views[view_name]
    result = np.full(samples.n, "", dtype=object)
    for sentence in sentences(spec, view_name):
        chosen = np.ones(samples.n, dtype=bool)
        for factor, choice in sentence.choices.items():
            chosen &= columns[factor] == choice
        rows = np.flatnonzero(chosen)
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


def _places(rendered: str, words: dict[str, tuple[Word, ...]]) -> Iterator[Place]:
    """The places of a rendered phrasing; its first letter, in a literal or a word, is a capital."""
    pieces = re.findall(f"([^{OPEN}]+)|{OPEN}([^{CLOSE}]*){CLOSE}", rendered)
    for number, (literal, mark) in enumerate(pieces):
        name, _, form = mark.partition(".")
        texts = tuple(word.forms[form] if form else word.text for word in words[name]) if mark else (literal,)
        if number == 0:
            texts = tuple(text[0].upper() + text[1:] for text in texts)
        yield Place(name or None, texts)
