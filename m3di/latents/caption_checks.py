"""What is wrong with a text view and its template: what it reads and does not see, and what its captions cannot say."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from m3di.errors import UsageError
from m3di.latents.captioning import absent_clauses, sentences, template_of
from m3di.latents.choice_checks import choice_problems
from m3di.latents.problems import Problem, hint, listed
from m3di.latents.said import phrasing_factor, said_factor
from m3di.latents.spec import Spec
from m3di.latents.subsets import Subset
from m3di.latents.templates import Template

MISSPELT = 0.85  # similarity of two names of which one is a slip; of object_xpos and object_alpharot it is 0.69


def caption_problems(spec: Spec, name: str) -> Iterator[Problem]:
    """What is wrong with a text view and its template: unseen factors that it reads, choices that it does not have."""
    template = template_of(spec, name)
    problems = [*_unknown_clauses(spec, name, template), *choice_problems(spec, name, template)]
    problems = problems or list(_reading_problems(spec, name, template))
    yield from problems or _sentence_problems(spec, name, template)


def _unknown_clauses(spec: Spec, name: str, template: Template) -> Iterator[Problem]:
    mentions = spec.views[name].mentions
    for each in sorted(set() if isinstance(mentions, Subset) else set(mentions) - set(template.clauses)):
        yield Problem(
            ("views", name, "mentions", each),
            f"no clause is called {each!r}{hint(each, template.clauses)}",
            expected=", ".join(template.clauses) or f"no clause: template {template.name!r} has none",
            next_step="correct the name, or take it away",
        )


def _sentence_problems(spec: Spec, name: str, template: Template) -> Iterator[Problem]:
    """A phrasing that cannot be rendered."""
    try:
        sentences(spec, name)
    except UsageError as error:
        details = error.details
        yield Problem(
            ("views", name, "template"),
            f"template {template.name!r}: {error.what}",
            expected=details.get("expected"),
            next_step=details.get("next", "correct the template"),
        )


def _reading_problems(spec: Spec, name: str, template: Template) -> Iterator[Problem]:
    seen = spec.views[name].factors
    phrasings = spec.factors[phrasing_factor(name)].names
    every = {read for phrasing in template.phrasings for read in template.reads_of(phrasing)}
    absent = absent_clauses(spec, name, template)
    for read in sorted({read for phrasing in phrasings for read in template.reads_of(phrasing, absent)}):
        reads = f"template {template.name!r} reads {read!r}"
        if read not in seen:
            near = hint(read, set(seen) - every)
            yield Problem(
                ("views", name, "factors"),
                f"{reads}, which the view does not see{near}",
                listed(seen),
                "every factor that the template reads",
                f"add `{read}: content`",
            )
        elif spec.factors[read].kind != template.reads[read]:
            kind = spec.factors[read].kind
            yield Problem(
                ("factors", read, "kind"),
                f"views.{name}: {reads} as {template.reads[read]}, it is {kind}",
                expected=template.reads[read],
                next_step="change the kind, or `reads` of the template",
            )
        else:
            try:
                found = template.vocabulary(read, spec.factors[read])
                if said_factor(name, read) in seen and len({word.text for word in found}) < len(found):
                    yield Problem(
                        ("views", name, "misstates"),
                        f"two values of {read} are told by one word: a wrong value might be told by the true word",
                        listed(word.text for word in found),
                        "a word for each value",
                        "change the `lexicon` of the template, or leave the factor out of `misstates`",
                    )
            except UsageError as error:
                yield Problem(
                    ("views", name, "template"),
                    error.what,
                    expected=error.details.get("expected", "words for all values"),
                    next_step=error.details.get("next", "add them to the `lexicon` of the template"),
                )
    unread = [read for read in every if read not in seen]
    for factor, use in seen.items():
        close = difflib.get_close_matches(factor, unread, n=1, cutoff=MISSPELT)
        if close and factor not in every and not use.recorded:
            yield Problem(
                ("views", name, "factors", factor),
                f"template {template.name!r} reads no {factor!r}; did you mean {close[0]!r}?",
                expected=", ".join(sorted(every)),
                next_step="correct the name, or say `recorded: true` if no caption is to tell it",
            )
