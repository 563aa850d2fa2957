"""Caption templates: several phrasings of the same facts, with synonyms, optional clauses and a lexicon.

A template is a YAML file (see `templates/README.md`). Its phrasings are the part of Jinja2 that `phrasings` knows;
factors come in as words, synonyms as `words.NAME`, optional clauses as the truth values `clauses.NAME`. Every choice
(phrasing, synonym, clause) is a factor of its own in the spec, named after the view: `text_phrasing`,
`text_word_NAME`, `text_clause_NAME`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from m3di.errors import UsageError, did_you_mean
from m3di.latents.factor import Factor
from m3di.latents.phrasings import PhrasingError, clauses_read, names_read, rendered
from m3di.latents.problems import Origin, Problem, fault_problems, hint, problems_of, report
from m3di.latents.yaml_text import is_yaml_name, read_text, read_yaml
from m3di.system.shipped import shipped

NAMESPACES = ("words", "clauses")
EXPECTED = "text, {{ words }} and {% if clauses.NAME %}"
NO_FORMS = ("bins", "within")
"""Keys of an entry of a lexicon that are no forms of its words."""
TOLERANCE = 1e-3
"""Share of a range by which its ends may differ from those that `within` has: pi is written with few digits."""
VOWELS = tuple("aeiou")
BARE = "word"  # the form in which a value appears when no form is asked for


class Word(NamedTuple):
    """A value in words: the text itself, and its other forms by name."""

    text: str
    forms: dict[str, str]


class Phrasing(BaseModel):
    """One phrasing: its Jinja2 source, and the factors without which it is not used."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str
    requires: tuple[str, ...] = ()


class Template(BaseModel):
    """A caption template.

    Attributes:
        name: Its name.
        language: Language of the captions. `en` knows the forms `a`, `the` (noun with its article) and `it` of any
            word; another language has the words of `templates/lexicons/LANGUAGE.yaml`.
        reads: Kind of each factor that some phrasing reads.
        words: Synonyms by name.
        clauses: Names of the optional clauses.
        lexicon: For each factor, for each form, the text of each value. The form `word` is the text itself; `bins`
            lists the words of a number, whose range they divide evenly (of a categorical factor, one for each value).
            `within: [least, greatest]` says for which physical values the bins hold: a factor with another range is
            refused, and a value of a categorical factor is told by the bin of its physical value.
        phrasings: Phrasings by name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    language: str = "en"
    reads: dict[str, str]
    words: dict[str, tuple[str, ...]] = {}
    clauses: tuple[str, ...] = ()
    lexicon: dict[str, dict[str, Any]] = {}
    phrasings: dict[str, Phrasing]

    @field_validator("phrasings", mode="before")
    @classmethod
    def _plain_text(cls, value: dict[str, Any]) -> dict[str, Any]:
        return {name: {"text": each} if isinstance(each, str) else each for name, each in value.items()}

    @field_validator("lexicon")
    @classmethod
    def _texts_by_value(cls, lexicon: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for factor, forms in lexicon.items():
            for form, texts in forms.items():
                if form == "bins" and not (isinstance(texts, list) and texts):
                    raise ValueError(f"`bins` of {factor!r} is no list of words")
                if form == "within" and not ("bins" in forms and _is_range(texts)):
                    raise ValueError(f"`within` of {factor!r} is no range of its `bins`: within: [least, greatest]")
                if form not in NO_FORMS and not isinstance(texts, dict):
                    raise ValueError(f"the form {form!r} of {factor!r} is no mapping from values to texts")
        return lexicon

    def usable(self, seen: frozenset[str]) -> tuple[str, ...]:
        """Names of the phrasings whose required factors are all seen."""
        return tuple(name for name, each in self.phrasings.items() if seen.issuperset(each.requires))

    def reads_of(self, phrasing: str, absent: frozenset[str] = frozenset()) -> frozenset[str]:
        """The factors that a phrasing reads, where some clauses are never there."""
        return names_read(self.phrasings[phrasing].text, absent) - set(NAMESPACES)

    def clauses_of(self, phrasing: str) -> tuple[str, ...]:
        """The clauses that a phrasing has, in the order of the template."""
        found = clauses_read(self.phrasings[phrasing].text)
        return tuple(clause for clause in self.clauses if clause in found)

    def vocabulary(self, name: str, factor: Factor) -> tuple[Word, ...]:
        """The word of each value of a factor, or of each bin of a number.

        Raises:
            UsageError: The lexicon lacks a value, or the number has no bins.
        """
        entry = dict(self.lexicon.get(name, {}))
        bins, within = (entry.pop(key, None) for key in NO_FORMS)
        if bins is None and factor.type == "categorical":
            shared = language_lexicon(self.language).get(name, {})
            whole = {form: each for form, each in shared.items() if each.keys() >= set(factor.names)}
            if BARE in shared and not factor.palettes:
                # Without it, values would be told by their names in the spec, in another language than the rest.
                whole[BARE] = shared[BARE]
            entry = whole | entry
        if bins is None and factor.type != "categorical":
            raise UsageError(f"template {self.name!r} has no `bins` to put the number {name!r} into words")
        values = factor.names if bins is None else self._binned(name, factor, tuple(map(str, bins)), within)
        missing = [f"{form} of {value!r}" for form, texts in entry.items() for value in values if value not in texts]
        if missing:
            raise UsageError(f"template {self.name!r} has no words in {name!r} for {', '.join(missing)}")
        forms = tuple((form, tuple(str(texts[value]) for value in values)) for form, texts in entry.items())
        return _words(values, forms, self.language == "en")

    def _binned(
        self, name: str, factor: Factor, bins: tuple[str, ...], within: tuple[float, float] | None
    ) -> tuple[str, ...]:
        """The words of bins: one for each bin of a number, or for each value of a categorical factor."""
        says = f"template {self.name!r} puts {name!r} into words by bins"
        if factor.type != "categorical" and not np.isfinite(factor.bounds).all():
            raise UsageError(f"{says} of its range, and it has no `range`")
        if within is None:
            if factor.type == "categorical" and factor.n != len(bins):
                raise UsageError(
                    f"{says}, of which it has {len(bins)}, and {name} has {factor.n} values",
                    expected="a word for each value",
                    next_step=f"give the values their words in the `lexicon`: {name}: {{word: {{VALUE: WORD}}}}",
                )
            return bins
        low, high = within
        shown = factor.physical(np.arange(factor.n) if factor.type == "categorical" else factor.bounds)
        slack = TOLERANCE * (high - low)
        if factor.type == "categorical":
            fits = bool(((shown >= low - slack) & (shown <= high + slack)).all())
        else:
            fits = np.allclose(shown, within, rtol=0.0, atol=slack)
        if not fits:
            raise UsageError(
                f"{says} that hold from {low:.4g} to {high:.4g}, and {name} goes from {shown.min():.4g} to "
                f"{shown.max():.4g}",
                expected=f"a factor whose physical values are those: physical: [{low:.6g}, {high:.6g}]",
                next_step="change `physical` of the factor, or write a template with `bins` for it",
            )
        if factor.type != "categorical":
            return bins
        index = np.clip((shown - low) / (high - low) * len(bins), 0, len(bins) - 1).astype(np.int64)
        return tuple(bins[each] for each in index)

    def render(self, phrasing: str, context: dict[str, Any]) -> str:
        """One phrasing, rendered; white space is folded.

        Raises:
            UsageError: It is no phrasing, or an expression in it has no value.
        """
        try:
            return " ".join(rendered(self.phrasings[phrasing].text, context).split())
        except PhrasingError as error:
            raise UsageError(f"phrasing {phrasing!r}: {error}", expected=EXPECTED, next_step="correct it") from None


def _is_range(value: Any) -> bool:
    numbers = isinstance(value, (list, tuple)) and all(type(each) in (int, float) for each in value)
    return numbers and len(value) == 2 and bool(np.isfinite(value).all()) and value[0] < value[1]


@lru_cache(maxsize=256)
def _words(
    values: tuple[str, ...], forms: tuple[tuple[str, tuple[str, ...]], ...], is_english: bool
) -> tuple[Word, ...]:
    """The words of values, of which a palette has a thousand, by the texts of each form."""
    found = []
    for number, value in enumerate(values):
        own = {form: texts[number] for form, texts in forms}
        text = own.get(BARE, value)
        if is_english:
            own.setdefault("a", f"{'an' if text.startswith(VOWELS) else 'a'} {text}")
            own.setdefault("the", f"the {text}")
            own.setdefault("it", "it")
        found.append(Word(text, own))
    return tuple(found)


def word_index(factor: Factor, raw: NDArray[Any], n_words: int) -> NDArray[np.int64]:
    """Which word of `Template.vocabulary` belongs to each raw value [n]."""
    if factor.type == "categorical":
        return np.asarray(raw, dtype=np.int64)
    return np.clip((factor.to_unit(raw) * n_words).astype(np.int64), 0, n_words - 1)


@cache
def language_lexicon(language: str) -> dict[str, dict[str, dict[str, str]]]:
    """The words of a language that m3di has, as `lexicon` of a template; empty where there is none."""
    if language not in language_names():
        return {}
    path = shipped("templates") / "lexicons" / f"{language}.yaml"
    return dict(read_yaml(path.read_text(encoding="utf-8"), str(path), "lexicon").data)


def language_names() -> list[str]:
    """Names of the languages whose words m3di has, beside `en`."""
    return sorted(path.stem for path in (shipped("templates") / "lexicons").glob("*.yaml"))


def template_names() -> list[str]:
    """Names of the built-in templates."""
    return sorted(path.stem for path in shipped("templates").glob("*.yaml"))


@cache
def load_template(name: str) -> Template:
    """The built-in template with this name, or the one in a file whose name ends in `.yaml` or `.yml`.

    Raises:
        UsageError: There is none, or the file is no valid template.
    """
    if is_yaml_name(name):
        return parse_template(read_text(Path(name), "caption template"), where=name)
    known = template_names()
    if name not in known:
        raise UsageError(
            f"no caption template is called {name!r}",
            expected=f"{', '.join(known)}, or the path of a .yaml file",
            next_step=did_you_mean(name, known),
        )
    return parse_template((shipped("templates") / f"{name}.yaml").read_text(encoding="utf-8"), where=name)


def builtin_template(name: str) -> Template:
    """The built-in template with this name. No file is looked for: the spec may come from a stranger.

    Raises:
        UsageError: There is none.
    """
    if is_yaml_name(name):
        raise UsageError(
            f"the spec does not hold its caption template {name!r}",
            expected="its text, in `templates`",
            next_step="load the spec from its file, which takes the template in",
        )
    return load_template(name)


def parse_template(text: str, *, where: str) -> Template:
    """Validate the text of a template file.

    Raises:
        UsageError: It is no valid template; the message holds every problem with its place.
    """
    document = read_yaml(text, where, "caption template")
    origin = Origin(where, document.marks)
    problems = fault_problems(document)
    try:
        template = Template.model_validate(document.data)
    except ValidationError as error:
        problems += [_named(each) for each in problems_of(error, document.data, origin)]
        raise report(TITLE, problems, document.data, origin) from None
    problems += template_problems(template)
    if problems:
        raise report(TITLE, problems, document.data, origin)
    return template


TITLE = "the caption template has problems:"


def _named(problem: Problem) -> Problem:
    if problem.what.startswith("Extra inputs"):
        key = str(problem.path[-1])
        return replace(
            problem,
            expected=", ".join(Template.model_fields),
            next_step=f"take it away{hint(key, Template.model_fields)}",
        )
    return problem


def template_problems(template: Template) -> list[Problem]:
    """Problems of a template that do not depend on the spec."""
    problems = []
    known = {*template.reads, *NAMESPACES}
    for name, phrasing in template.phrasings.items():
        path = ("phrasings", name)
        try:
            unknown = names_read(phrasing.text) - known
        except PhrasingError as error:
            problems.append(Problem(path, str(error), expected=EXPECTED, next_step="correct its brackets and words"))
            continue
        problems += [
            Problem(
                path,
                f"reads {each!r}, which is not in `reads`{hint(each, known)}",
                expected=", ".join(sorted(known)),
                next_step=f"add `{each}` with its kind to `reads`, or correct the name",
            )
            for each in sorted(unknown)
        ]
    forms = {form for entry in template.lexicon.values() for form in entry if form not in NO_FORMS}
    problems += [
        Problem(
            ("lexicon",),
            f"a form cannot be called {form!r}",
            expected="no name of a method of Python's str",
            next_step="call it otherwise",
        )
        for form in sorted(forms)
        if hasattr(str, form)
    ]
    problems += [
        Problem(
            ("words", name),
            "needs two or more",
            expected="two or more different words",
            next_step="add a synonym, or write the word into the phrasings",
        )
        for name, each in template.words.items()
        if len(set(each)) < 2
    ]
    if not template.phrasings:
        problems.append(Problem(("phrasings",), "there is no phrasing", expected="one or more", next_step="add one"))
    return problems
