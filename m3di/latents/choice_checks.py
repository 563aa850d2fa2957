"""Factors that m3di declares for a text view, where a spec declares them itself: their names say what they hold.

What a template chooses (phrasing, synonyms, clauses), what a caption states, and whether that is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator

from m3di.latents.factor import WHENCE, Factor
from m3di.latents.problems import Problem, listed
from m3di.latents.said import (
    NO_YES,
    OUT_IN,
    clause_factor,
    misstated_factor,
    phrasing_factor,
    said_factor,
    told_bins,
    word_factor,
)
from m3di.latents.spec import Spec
from m3di.latents.templates import Template
from m3di.latents.texts import paraphrase_factor, text_factors

_SAME = tuple(key for key in Factor.model_fields if key not in WHENCE)
"""What a factor has in common with the one that it stands for: all but where its value comes from."""


def choice_problems(spec: Spec, view: str, template: Template) -> Iterator[Problem]:
    """Factors of a text view that have other values than their names say."""
    choices = {phrasing_factor(view): tuple(template.phrasings)}
    choices |= {word_factor(view, word): each for word, each in template.words.items()}
    choices |= {clause_factor(view, clause): OUT_IN for clause in template.clauses}
    for name, expected in choices.items():
        if name in spec.factors:  # else it is a problem of its own
            yield from _of_a_choice(name, spec.factors[name], expected, template)
    for read in spec.views[view].factors:
        if said_factor(view, read) in spec.views[view].factors:
            yield from _of_what_is_said(spec, view, read)
            if spec.views[view].misstates is not None:
                yield from _of_what_is_wrong(spec, view, read, template)
    drawn = paraphrase_factor(view)
    if spec.views[view].texts is not None and drawn in spec.factors:
        wanted = Factor.model_validate(text_factors(view)[drawn])
        if (spec.factors[drawn].type, spec.factors[drawn].range) != (wanted.type, wanted.range):
            what = f"{drawn} draws one of several texts, by a number out of all that it can be"
            expected_ = f"type: integer, range: [{', '.join(f'{each:.0f}' for each in wanted.bounds)}]"
            yield Problem(("factors", drawn), what, expected=expected_, next_step="write that, or leave it out")


def _of_a_choice(name: str, factor: Factor, expected: tuple[str, ...], template: Template) -> Iterator[Problem]:
    known = ", ".join(expected)
    if factor.type != "categorical":
        what = f"{name} is a choice of template {template.name!r}, and {factor.type}"
        yield Problem(
            ("factors", name, "type"), what, expected=f"categorical: {known}", next_step="write `categorical`"
        )
        return
    foreign = [value for value in factor.names if value not in expected]
    if foreign:
        what = f"template {template.name!r} has {known}, not {', '.join(foreign)}"
        yield Problem(("factors", name), what, expected=known, next_step="take the others away")


def _of_what_is_said(spec: Spec, view: str, read: str) -> Iterator[Problem]:
    """A caption tells it by the words of the factor that it stands for."""
    said = said_factor(view, read)
    own, true = spec.factors.get(said), spec.factors.get(read)
    if own is None or true is None:
        return
    unlike = [key for key in _SAME if getattr(own, key) != getattr(true, key)]
    if unlike:
        keys = listed(Factor.model_fields[key].alias or key for key in unlike)
        yield Problem(
            ("factors", said),
            f"a caption of {view} states {said} by the words of {read}, and it differs from that in {keys}",
            expected=f"{keys} as {read} has it",
            next_step="write the same, and another `mechanism` only; or leave the factor out: m3di declares it",
        )


def _of_what_is_wrong(spec: Spec, view: str, read: str, template: Template) -> Iterator[Problem]:
    """It compares what is said with what is true, and nothing else."""
    wrong, said = misstated_factor(view, read), said_factor(view, read)
    use, own = spec.views[view].factors.get(wrong), spec.factors.get(wrong)
    if use is None or own is None:
        return
    bins = told_bins(template, read, spec.factors[read])
    mechanism = use.mechanism or own.mechanism
    compares = mechanism.name == "unequal" and mechanism.parents == (read, said) and mechanism.parameters == bins
    if own.names != NO_YES or use.role == "constant" or not compares:
        yield Problem(
            ("factors", wrong),
            f"{wrong} says whether what a caption states of {read} is wrong, and is declared as another one",
            expected=f"values: [{', '.join(map(repr, NO_YES))}], the mechanism unequal of {read} and {said}",
            next_step="leave it out: m3di declares it",
        )
