"""What is wrong with a text view and its template: what it reads and does not see, and what its captions cannot say."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from m3di.errors import UsageError
from m3di.latents.captioning import absent_clauses, possible_sentences, template_of
from m3di.latents.choice_checks import choice_problems
from m3di.latents.problems import Problem, hint, listed
from m3di.latents.said import clause_factor, phrasing_factor, said_factor
from m3di.latents.spec import Spec
from m3di.latents.subsets import Subset, never_chosen
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
    """A phrasing that cannot be rendered; what it would state wrongly, and does not."""
    try:
        yield from _misstating_problems(spec, name, template)
    except UsageError as error:
        details = error.details
        yield Problem(
            ("views", name, "template"),
            f"template {template.name!r}: {error.what}",
            expected=details.get("expected"),
            next_step=details.get("next", "correct the template"),
        )


def _misstating_problems(spec: Spec, name: str, template: Template) -> Iterator[Problem]:
    """A wrong value that no caption tells, or that one tells by the words of the true one."""
    possible, path = possible_sentences(spec, name), ("views", name, "misstates")
    for read in template.reads if spec.views[name].misstates is not None else ():
        said = said_factor(name, read)
        if said not in spec.views[name].factors or _never_misstated(spec, said):
            continue
        # By sentence, what it says of each value; where it says the same of all of them, it tells none.
        told = [
            list(zip(*(place.texts for place in sentence.places if place.factor == said), strict=True))
            for sentence in possible
        ]
        told = [each for each in told if len(set(each)) > 1]
        if not told:
            yield Problem(
                path,
                f"no caption tells {read}: it would be recorded as stated wrongly, and nothing states it",
                expected="factors that captions tell, by the phrasings and clauses that are drawn",
                next_step="let captions have its clause (`mentions`), or name the others: probability: {FACTOR: 0.5}",
            )
        shared = next((each for each in told if len(set(each)) < len(each)), None)
        if shared is not None:
            yield Problem(
                path,
                f"two values of {read} are told by one word: a wrong value might be told by the true word",
                listed(" ... ".join(texts) for texts in shared),
                "a word for each value in every sentence that tells some of them apart",
                "change the `lexicon` or the phrasings of the template, or leave the factor out of `misstates`",
            )


def _never_misstated(spec: Spec, said: str) -> bool:
    """Whether the subset that says what is stated wrongly never has a factor: a split may say so."""
    use = spec.factors[said].mechanism
    if use.name != "misstated" or spec.replaced(said):
        return False
    drawn = spec.mechanisms_of(use.parents[1])
    return all(each.name == "subset" and never_chosen(each.parameters, use.parameters["number"]) for each in drawn)


def clause_notes(spec: Spec, view: str) -> Iterator[str]:
    """Clauses that are drawn for captions whose phrasing has none of that name."""
    template = template_of(spec, view)
    drawn = [clause for clause in template.clauses if clause not in absent_clauses(spec, view, template)]
    for phrasing in spec.factors[phrasing_factor(view)].names:
        lacking = [clause for clause in drawn if clause not in template.clauses_of(phrasing)]
        if lacking:
            columns = listed(clause_factor(view, clause) for clause in lacking)
            yield (
                f"Captions of {view} in the phrasing {phrasing} never have {listed(lacking)}: there, {columns} "
                f"{'says' if len(lacking) == 1 else 'say'} what was drawn, not what is told. A factor "
                f"{phrasing_factor(view)} with fewer values leaves phrasings out."
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
                template.vocabulary(read, spec.factors[read])
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
