"""Does a parameter that varies fit the factors of a spec? Names, labels, texts in arithmetic, labels that lack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from m3di.errors import UsageError
from m3di.latents.expressions import NUMBER, parsed
from m3di.latents.factor import Factor
from m3di.latents.mechanism_use import earlier
from m3di.latents.problems import hint, listed
from m3di.latents.varying import OTHERWISE, Parent, column, labels_of, parts, reference


@dataclass(frozen=True)
class Misfit:
    """What is wrong with a parameter, for one spec."""

    what: str
    got: str
    expected: str
    next_step: str


def misfits(parameter: Any, factors: Mapping[str, Factor]) -> Iterator[Misfit]:
    """What is wrong with a parameter that is sound in itself: names, labels, texts in arithmetic."""
    for kind, part in parts(parameter):
        if kind == "table":
            name, table = part
            yield from _table_misfits(name, table, factors)
        elif kind == "expression":
            yield from expression_misfits(part, factors)


def unknown(name: str, factors: Mapping[str, Factor], origin: str) -> Misfit:
    """A name in an expression that no factor has."""
    known = [each for own, factor in factors.items() for each in (own, *_physical_columns(own, factor))]
    labels = [own for own, factor in factors.items() if factor.type == "categorical" and name in factor.names]
    step = f'write "{name}", in quotes: it is a label of {labels[0]}' if labels else "correct the name"
    return Misfit(f"no factor is called {name!r}{hint(name, known)}", origin, listed(known), step)


def _physical_columns(name: str, factor: Factor) -> tuple[str, ...]:
    return (factor.physical_column(name),) if factor.physical_values is not None else ()


def expression_misfits(text: str, factors: Mapping[str, Factor]) -> Iterator[Misfit]:
    """What is wrong with an expression, for one spec."""
    expression = parsed(text, NUMBER)
    missing = [name for name in expression.names if reference(name, factors) is None]
    yield from (unknown(name, factors, text) for name in missing)
    if missing:
        return
    found = {name: reference(name, factors) for name in expression.names}
    stand_ins = {
        known[0]: Parent(factors[earlier(known[0])[0]], np.zeros(1, dtype=np.int64), known[0])
        for known in found.values()
        if known is not None
    }
    try:
        expression.number(lambda name: column(name, stand_ins, None), 1)
    except UsageError as error:
        details = error.details
        got = details.get("got", text)
        yield Misfit(error.what, got, details.get("expected", NUMBER.expected), details.get("next", "correct it"))


def _table_misfits(name: str, table: Mapping[str, Any], factors: Mapping[str, Factor]) -> Iterator[Misfit]:
    factor = factors.get(earlier(name)[0])
    if factor is None:
        yield unknown(name, factors, name)
        return
    if factor.type != "categorical":
        yield Misfit(
            f"a table is over the labels of a categorical factor, {name} is {factor.type}",
            name,
            listed(each for each, other in factors.items() if other.type == "categorical"),
            "write an expression of it",
        )
        return
    seen: set[str] = set()
    for key in table:
        for label in labels_of(key, factor):
            if label not in factor.names and label != OTHERWISE:
                yield Misfit(
                    f"no value of {name} is called {label!r}{hint(label, factor.names)}",
                    key,
                    listed(factor.names),
                    "correct the label",
                )
            elif label in seen:
                yield Misfit(f"the label {label!r} of {name} is there twice", key, "every label once", "take one away")
            seen.add(label)
    missing = [each for each in factor.names if each not in seen]
    if missing and (OTHERWISE not in table or OTHERWISE in factor.names):
        yield Misfit(
            f"the table over {name} lacks {listed(missing)}",
            listed(table),
            "every label, or `else`",
            f"add {missing[0]}: NUMBER, or else: NUMBER",
        )
