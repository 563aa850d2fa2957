"""What a text view draws beside its factors: phrasing, synonyms, clauses, and what it states wrongly.

Each is a factor of its own, which a spec may declare itself; those that are not are declared here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from m3di.latents.factor import Factor
from m3di.latents.problems import Problem
from m3di.latents.stood_for import contradictions
from m3di.latents.subsets import Subset, is_subset, member_factor, subset_factor, subset_problems
from m3di.latents.templates import Template
from m3di.latents.yaml_text import Path

if TYPE_CHECKING:
    from m3di.latents.view import View

OUT_IN = ("out", "in")
NO_YES = ("no", "yes")


def phrasing_factor(view: str) -> str:
    """Name of the factor that draws a text view's phrasing."""
    return f"{view}_phrasing"


def word_factor(view: str, word: str) -> str:
    """Name of the factor that draws a synonym."""
    return f"{view}_word_{word}"


def clause_factor(view: str, clause: str) -> str:
    """Name of the factor that draws whether an optional clause is there."""
    return f"{view}_clause_{clause}"


def mentions_factor(view: str) -> str:
    """Name of the factor that draws a subset of the clauses."""
    return f"{view}_mentions"


def misstates_factor(view: str) -> str:
    """Name of the factor that draws which factors a caption states wrongly."""
    return f"{view}_misstates"


def said_factor(view: str, name: str) -> str:
    """Name of the factor that a caption states in place of one that it may misstate."""
    return f"{view}_said_{name}"


def misstated_factor(view: str, name: str) -> str:
    """Name of the factor that says whether what a caption states of a factor is wrong."""
    return f"{view}_misstated_{name}"


def set_in_vain(views: Mapping[str, View], name: str) -> dict[str, str] | None:
    """Why it is in vain to set a factor: it only says whether a caption is wrong. What to set instead, as a message."""
    for view, declared in views.items():
        prefix = misstated_factor(view, "")
        if declared.misstates is not None and name.startswith(prefix):
            read = name.removeprefix(prefix)
            return {
                "what": f"{name!r} only says whether what the caption states is wrong: to set it changes no caption",
                "expected": f"what the caption states, {said_factor(view, read)}; or the subset of what it misstates, "
                f"{misstates_factor(view)}",
                "next": f"set {said_factor(view, read)}",
            }
    return None


def choice_factors(
    name: str, view: dict[str, Any], template: Template, data: dict[str, Any]
) -> tuple[dict[str, dict[str, Any]], list[Problem]]:
    """The factors that a text view's template draws, as a spec file would declare them, and where it does otherwise.

    Args:
        name: Name of the view.
        view: Its declaration, not validated yet.
        template: Its template.
        data: The plain data of the spec; a factor that the view does not see is added here.
    """
    seen = frozenset(view.get("factors") or {})
    factors: dict[str, dict[str, Any]] = {
        phrasing_factor(name): {"values": list(template.usable(seen)) or list(template.phrasings)},
        **{word_factor(name, word): {"values": list(each)} for word, each in template.words.items()},
    }
    mentions = view.get("mentions") or {}
    subset = _subset(view, "mentions")
    members = subset.members(template.clauses) if subset is not None else ()
    path: Path = ("views", name, "mentions")
    problems: list[Problem] = []
    if subset is not None:
        whole = subset_factor(subset, members)
        problems += contradictions(data, mentions_factor(name), whole, path)
        data["factors"].setdefault(mentions_factor(name), whole)
    for clause in template.clauses:
        if clause in members:
            meant = member_factor(mentions_factor(name), members.index(clause), OUT_IN)
            problems += contradictions(data, clause_factor(name, clause), meant, path)
            factors[clause_factor(name, clause)] = meant
            continue
        given = mentions.get(clause) if isinstance(mentions, dict) and subset is None else None
        # What is no probability is reported where the view is checked.
        named = float(given) if isinstance(given, (int, float)) and 0.0 <= given <= 1.0 else None
        probability = 0.5 if named is None else named
        weights = {"name": "categorical", "weights": [1.0 - probability, probability]}
        factors[clause_factor(name, clause)] = {"values": list(OUT_IN), "mechanism": weights}
        if named is not None:
            meant = factors[clause_factor(name, clause)]
            problems += contradictions(data, clause_factor(name, clause), meant, (*path, clause))
    return {factor: {"type": "categorical", "kind": "label", **each} for factor, each in factors.items()}, problems


def _subset(view: Mapping[str, Any], key: str) -> Subset | None:
    """The subset under a key of a view; None where there is none, or one that is reported with the view."""
    given = view.get(key)
    if not is_subset(key, given) and not (given == {} and key == "misstates"):
        return None
    try:
        return Subset.model_validate(given)
    except ValidationError:
        return None


def mention_problems(name: str, view: Mapping[str, Any], template: Template) -> Iterator[Problem]:
    """What is wrong with a subset of clauses."""
    subset = _subset(view, "mentions")
    if subset is not None:
        step = "take a template with `clauses`"
        yield from subset_problems(
            subset,
            ("views", name, "mentions"),
            template.clauses,
            f"a clause of template {template.name!r}",
            step,
            needs_all=True,
        )


def told_bins(template: Template, read: str, factor: Factor) -> dict[str, int]:
    """The parameter `bins` of mechanisms that compare what is said with what is true: numbers in one bin are alike."""
    bins = template.lexicon.get(read, {}).get("bins")
    return {"bins": len(bins)} if bins and factor.type != "categorical" else {}


def _left_over(name: str, view: dict[str, Any], data: dict[str, Any]) -> Iterator[Problem]:
    """Factors that say what captions state, in a view whose captions state what is true: `misstates` was taken away."""
    for each in view["factors"]:
        own = data["factors"].get(each)
        use = own.get("mechanism") if isinstance(own, dict) else None
        is_said = isinstance(use, dict) and use.get("name") == "misstated" and str(each).startswith(f"{name}_said_")
        if is_said:
            left = [key for key in view["factors"] if str(key).startswith((f"{name}_said_", f"{name}_misstated_"))]
            yield Problem(
                ("views", name, "factors", each),
                f"{each} would say what captions state, and without `misstates` they state what is true",
                expected="`misstates` in the view, or none of its factors",
                next_step=f"write `misstates`, or take {', '.join(left)} out of the view",
                related=(("views", name),),
            )
            return


def misstated_factors(
    name: str, view: dict[str, Any], template: Template, data: dict[str, Any]
) -> tuple[dict[str, Any], list[Problem]]:
    """The factors of what captions state wrongly, as a spec file would declare them, and what is wrong with the subset.

    Args:
        name: Name of the view.
        view: Its declaration, not validated yet.
        template: Its template.
        data: The plain data of the spec; the subset, which the view does not see, is added to its factors here.
    """
    subset = _subset(view, "misstates")
    if subset is None:
        return {}, list(_left_over(name, view, data)) if view.get("misstates") is None else []
    declared: dict[str, Any] = data["factors"]
    own: dict[str, Factor] = {}
    for read in template.reads:
        try:
            if read in view["factors"] and read in declared:
                own[read] = Factor.model_validate(declared[read])
        except ValidationError:
            continue  # reported with the factor
    told = [read for read, factor in own.items() if factor.type != "integer"]
    whole, path = misstates_factor(name), ("views", name, "misstates")
    what, step = "a factor that the template reads", "let the view see a factor that its template reads"
    problems = list(subset_problems(subset, path, told, what, step))
    if problems:
        return {}, problems
    members = subset.members(told, only_named=True)
    problems += contradictions(data, whole, subset_factor(subset, members), path)
    declared.setdefault(whole, subset_factor(subset, members))
    factors: dict[str, Any] = {}
    for number, each in enumerate(members):
        binned = told_bins(template, each, own[each])
        said = {"name": "misstated", "parents": [each, whole], "number": number, **binned}
        differs = {"name": "unequal", "parents": [each, said_factor(name, each)], **binned}
        factors[said_factor(name, each)] = {**declared[each], "mechanism": said}
        factors[misstated_factor(name, each)] = {
            "type": "categorical",
            "kind": "label",
            "values": list(NO_YES),
            "mechanism": differs,
        }
    for each, meant in factors.items():
        problems += contradictions(data, each, meant, path)
    return factors, problems
