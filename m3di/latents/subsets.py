"""A random subset of names, as a spec says it: which style factors change, which clauses are there, what is misstated.

Each use of one declares an integer factor that no view sees (the subset, by one uniform number), and a factor of two
values for each name, which the view has in the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, model_validator

from m3di.latents.builtin.memberships import MAX_MEMBERS
from m3di.latents.builtin.weighted import FixedShares
from m3di.latents.factor import Strict, is_stored
from m3di.latents.problems import Problem, custom_error, hint, listed
from m3di.latents.yaml_text import Path

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=0)]
SUBSETS = ("changes", "mentions", "misstates")
"""Keys of a view that say how a subset is drawn."""


class Subset(Strict):
    """Which of some names are chosen in each sample, by chance: independently, or one of the `sets`.

    Attributes:
        probability: Probability that a name is chosen: a number for all names that there are, or one by name, for all
            of them (in `misstates`, those not named are never chosen); 0.5 if neither this nor `sets` is given.
        at_least: Least number of names chosen. Other subsets are left out, the rest keep their ratios.
        at_most: Greatest number of names chosen.
        sets: Instead of these: the subsets that there are, each a list of names. A name in no set is never chosen.
        weights: Probabilities of `sets` (their sum is 1), or ratios in whole numbers; equal if not given.
    """

    probability: Probability | dict[str, Probability] | None = None
    at_least: Count = 0
    at_most: Count | None = None
    sets: tuple[tuple[str, ...], ...] | None = None
    weights: FixedShares | None = None

    @model_validator(mode="after")
    def _consistent(self, info: ValidationInfo) -> Subset:
        if is_stored(info):
            return self
        if self.sets is not None:
            for key in ("probability", "at_least", "at_most"):
                if key in self.model_fields_set:
                    raise custom_error(
                        f"both `sets` and `{key}`: which of them says how a subset is chosen?",
                        key=key,
                        expected="one of the two",
                        next_step=f"leave `{key}` out, and give `weights` to `sets`",
                    )
            self._check_sets(self.sets)
        elif self.weights is not None:
            raise custom_error(
                "`weights` belong to `sets`", key="weights", expected="`sets`", next_step="leave `weights` out"
            )
        if self.probability == {}:
            raise custom_error(
                "`probability` names nothing",
                key="probability",
                expected="a number, or numbers by name",
                next_step="name what can be chosen",
            )
        return self

    def _check_sets(self, sets: tuple[tuple[str, ...], ...]) -> None:
        if not any(sets):
            raise custom_error(
                "`sets` chooses nothing, ever",
                key="sets",
                expected="lists of names, one of them not empty: [[a], [a, b]]",
                next_step="name what can be chosen",
            )
        if len({frozenset(each) for each in sets}) < len(sets) or any(len(set(each)) < len(each) for each in sets):
            raise custom_error(
                "`sets` has a subset, or a name in one, twice",
                key="sets",
                expected="every one once",
                next_step="take one away, and change its `weights`",
            )
        if self.weights is not None and len(self.weights) != len(sets):
            raise custom_error(
                f"{len(sets)} weights are needed, one a set, got {len(self.weights)}",
                key="weights",
                expected=f"{len(sets)} numbers",
                next_step="give each set its weight",
            )

    def named(self) -> list[str] | None:
        """The names that it names; None where it has one probability for all."""
        if self.sets is not None:
            return [name for each in self.sets for name in each]
        return list(self.probability) if isinstance(self.probability, dict) else None

    def members(self, eligible: Sequence[str], *, only_named: bool = False) -> tuple[str, ...]:
        """The names that it decides on, in the order of those that there are.

        Those of `probability`; with `sets`, all: one that is in no set is never chosen, or left out by `only_named`.
        """
        named = self.named()
        if named is None:
            return tuple(eligible)
        every = self.sets is not None and not only_named
        unknown = [name for name in named if name not in eligible]
        return tuple(dict.fromkeys([*(name for name in eligible if every or name in named), *unknown]))

    def mechanism(self, members: Sequence[str]) -> dict[str, Any]:
        """The mechanism `subset` of some members, as a spec file would declare it."""
        if self.sets is not None:
            sets = [sum(1 << members.index(name) for name in each) for each in self.sets]
            return {"name": "subset", "sets": sets, **({"weights": self.weights} if self.weights else {})}
        given = self.probability
        chances = [(given[name] if isinstance(given, dict) else 0.5 if given is None else given) for name in members]
        at_most = {} if self.at_most is None else {"at_most": self.at_most}
        return {"name": "subset", "probabilities": chances, "at_least": self.at_least, **at_most}


def is_subset(key: Any, value: Any) -> bool:
    """Whether what a view has under a key says how a subset is drawn; `mentions` may hold probabilities by clause."""
    return key in SUBSETS and isinstance(value, dict) and not value.keys().isdisjoint(Subset.model_fields)


def subset_factor(subset: Subset, members: Sequence[str]) -> dict[str, Any]:
    """The factor whose value is the subset, as a spec file would declare it."""
    largest = 2 ** min(len(members), MAX_MEMBERS) - 1
    return {"type": "integer", "kind": "label", "range": [0, largest], "mechanism": subset.mechanism(members)}


def member_factor(parent: str, number: int, values: Sequence[str]) -> dict[str, Any]:
    """The factor that says whether one name is in a subset."""
    mechanism = {"name": "member", "parents": [parent], "number": number}
    return {"type": "categorical", "kind": "label", "values": list(values), "mechanism": mechanism}


def always_chosen(parameters: Mapping[str, Any], number: int) -> bool:
    """Whether the mechanism `subset`, by its parameters, has a name in it in every sample."""
    sets, chances = parameters.get("sets"), parameters.get("probabilities") or ()
    if sets is not None:
        weights = parameters.get("weights") or [1.0] * len(sets)
        return all(int(each) >> number & 1 for each, weight in zip(sets, weights, strict=False) if weight)
    whole = parameters.get("at_least", 0) >= sum(each > 0.0 for each in chances)
    return chances[number] == 1.0 or (whole and chances[number] > 0.0)


def never_chosen(parameters: Mapping[str, Any], number: int) -> bool:
    """Whether the mechanism `subset`, by its parameters, has a name in it in no sample."""
    sets, chances = parameters.get("sets"), parameters.get("probabilities") or ()
    if sets is not None:
        weights = parameters.get("weights") or [1.0] * len(sets)
        return not any(int(each) >> number & 1 for each, weight in zip(sets, weights, strict=False) if weight)
    return bool(chances[number] == 0.0) or parameters.get("at_most") == 0


def _name_problems(
    subset: Subset, path: Path, eligible: Sequence[str], what: str, step: str, *, needs_all: bool
) -> Iterator[Problem]:
    """What is wrong with the names of a subset; see `subset_problems`."""
    if not eligible:
        yield Problem(path, f"there is nothing to choose from: {what} is needed", expected=what, next_step=step)
    members = subset.members(eligible)
    key = "sets" if subset.sets is not None else "probability"
    for name in members:
        if name not in eligible:
            yield Problem(
                (*path, key),
                f"{name!r} is not {what}{hint(name, eligible)}",
                repr(name),
                listed(eligible),
                f"correct the name; or {step}",
            )
    left_out = [name for name in eligible if name not in members]
    if needs_all and left_out:
        whole = f"probabilities for all of {listed(eligible)}; 0 is never, 1 is always"
        told = f"it does not name {listed(left_out)}"
        yield Problem((*path, key), told, listed(members), whole, f"add {left_out[0]} with its probability")
    if len(members) > MAX_MEMBERS:
        yield Problem(path, f"{len(members)} names are too many", expected=f"at most {MAX_MEMBERS}", next_step=step)


def subset_problems(
    subset: Subset, path: Path, eligible: Sequence[str], what: str, step: str, *, needs_all: bool = False
) -> Iterator[Problem]:
    """What is wrong with a subset where a spec has it.

    Args:
        subset: The subset.
        path: Where it is.
        eligible: The names that there are.
        what: What one of them is, in words: "a factor with `change`".
        step: What to do where there is none.
        needs_all: Probabilities by name must name them all: what the others do would be recorded nowhere.
    """
    wrong = next(_name_problems(subset, path, eligible, what, step, needs_all=needs_all), None)
    if wrong is not None:
        yield wrong
        return
    members = subset.members(eligible)
    if subset.sets is not None:
        return
    chances = subset.mechanism(members)["probabilities"]
    sure, possible = sum(each == 1.0 for each in chances), sum(each > 0.0 for each in chances)
    most = len(members) if subset.at_most is None else subset.at_most
    if subset.at_least > min(possible, most) or sure > most:
        yield Problem(
            path,
            f"no subset fits: {sure} to {possible} of {', '.join(members)} can be chosen",
            f"at_least {subset.at_least}, at_most {most}",
            f"at_least <= {possible}, and at_most >= {sure} and no less than at_least",
            "change `at_least`, `at_most` or the probabilities",
        )


def never_chosen_problems(subsets: Iterable[tuple[Path, object]]) -> Iterator[Problem]:
    """Subsets that are always empty. A split may have one: it keeps the columns, and nothing is chosen there.

    Args:
        subsets: What a spec has where a subset may stand, with the path.
    """
    for path, subset in subsets:
        if not isinstance(subset, Subset) or subset.sets is not None or subset.at_least:
            continue
        given = subset.probability
        possible = any(given.values()) if isinstance(given, dict) else given != 0.0
        if not possible or subset.at_most == 0:
            yield Problem(
                path,
                "nothing is ever chosen",
                expected="a probability above 0 and at_most of 1 or more; in a split with a process of its own, 0 too",
                next_step="change it, or leave it out",
            )
