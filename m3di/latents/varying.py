"""Parameters of mechanisms that vary with the parents: each a number, an expression, or a table over labels.

`0.5`, `-sin(spotlight_pos_rad)`, or `{FACTOR: {LABEL: ..., else: ...}}`, whose entries are again any of the three. A
mechanism's function declares such a parameter as `Varying` and gets an array with one number a sample.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin

import numpy as np
from numpy.typing import NDArray
from pydantic import PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from m3di.errors import UsageError
from m3di.latents.expressions import NUMBER, Side, UndefinedError, parsed
from m3di.latents.factor import Factor
from m3di.latents.mechanism_use import earlier
from m3di.latents.problems import custom_error, listed

OTHERWISE = "else"
"""The key of a table that stands for all labels that it does not name."""

MAX_TABLES = 6
"""Tables in each other."""

KINDS = ("number", "expression", "table")


@dataclass(frozen=True)
class Varies:
    """Marks a keyword parameter of a mechanism that may vary from sample to sample.

    Attributes:
        above: What it is greater than.
        least: What it is at least.
        most: What it is at most.
        is_list: It is a list of such numbers, of one length: the function gets [n, length].
        check: Looks at a list of numbers alone, and raises ValueError.
    """

    above: float = -math.inf
    least: float = -math.inf
    most: float = math.inf
    is_list: bool = False
    check: Callable[[Any], Any] | None = None

    def within(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Where numbers are finite and within the limits."""
        return np.isfinite(values) & (values > self.above) & (values >= self.least) & (values <= self.most)

    @property
    def expected(self) -> str:
        """The limits in words."""
        limits = ((">", self.above), (">=", self.least), ("<=", self.most))
        told = [f"{sign} {limit:g}" for sign, limit in limits if math.isfinite(limit)]
        return f"a finite number {', '.join(told)}".strip()


Varying = Annotated[NDArray[np.float64], Varies()]
"""A parameter that may vary from sample to sample: float64 [n]."""


def varies_of(annotation: Any) -> Varies | None:
    """The mark of a parameter by its annotation, `Annotated[..., Varies(...)]` or that or None."""
    if get_origin(annotation) is Annotated:
        return next((each for each in get_args(annotation)[1:] if isinstance(each, Varies)), None)
    return next((found for each in get_args(annotation) if (found := varies_of(each)) is not None), None)


def model_type(varies: Varies) -> Any:
    """The type of the parameter in a spec, for pydantic."""
    kinds: list[dict[str, Any]] = [{"type": "number"}, {"type": "string"}, {"type": "object"}]
    if varies.is_list:
        kinds = [{"type": "array", "items": {"anyOf": kinds}}, {"type": "object"}]

    def checked(value: Any) -> Any:
        _check(value, varies, ())
        return value

    return Annotated[
        Any, PlainValidator(checked), WithJsonSchema({"anyOf": kinds, "description": _words(varies), "x-varying": True})
    ]


def _words(varies: Varies) -> str:
    one = f"{', '.join(KINDS[:-1])} or {KINDS[-1]}"
    limits = varies.expected.removeprefix("a finite number").strip()
    return f"{f'list, one {one} a value, or table of lists' if varies.is_list else one}{f' {limits}' if limits else ''}"


def _check(value: Any, varies: Varies, within: tuple[str, ...]) -> None:
    """Raise where a parameter is none of what it may be, the factors not looked at."""
    place = f", in {': '.join(within)}" if within else ""
    if isinstance(value, dict):
        _check_table(value, varies, within, place)
    elif varies.is_list and isinstance(value, list) and value:
        for each in value:
            _check(each, Varies(varies.above, varies.least, varies.most), within)
        if varies.check is not None and all(isinstance(each, (int, float)) for each in value):
            varies.check(value)
    elif varies.is_list:
        raise _fault(f"this is no list{place}", value, "a list with one number or expression a value of the factor")
    elif isinstance(value, str):
        try:
            parsed(value, NUMBER)
        except UsageError as error:
            next_step = error.details.get("next", "correct it")
            if value.count("(") > value.count(")"):  # YAML has cut it off at a comma
                next_step = "within { } and [ ], quote an expression that has a comma"
            raise _fault(f"{error.what}{place}", value, error.details["expected"], next_step) from None
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _fault(f"a parameter is a number, an expression or a table by label{place}", value, _FORMS)
    elif not varies.within(np.asarray(float(value))):
        raise _fault(f"{value:g} is out of range{place}", value, varies.expected, "change the number")


_FORMS = "for example 0.5, or -sin(spotlight_pos_rad), or {object_shape: {cow: 0.35, else: 0}}"


def _check_table(value: dict[Any, Any], varies: Varies, within: tuple[str, ...], place: str) -> None:
    factor, table = next(iter(value.items())) if len(value) == 1 else (None, None)
    if not isinstance(table, dict) or not table:
        raise _fault(
            f"a table has one key, the factor, and below it the labels{place}",
            ", ".join(map(str, value)) if len(value) != 1 else value,
            "{FACTOR: {LABEL: NUMBER, ..., else: NUMBER}}",
        )
    if len(within) >= 2 * MAX_TABLES:
        raise _fault(f"more than {MAX_TABLES} tables in each other", value, f"at most {MAX_TABLES}")
    for label, entry in table.items():
        _check(entry, varies, (*within, str(factor), str(label)))


def _fault(what: str, got: object, expected: str, next_step: str = "write one of these") -> PydanticCustomError:
    text = " ".join(str(got).split())
    return custom_error(
        what, got=text if len(text) <= 60 else f"{text[:57]}...", expected=expected, next_step=next_step
    )


@dataclass(frozen=True)
class Parent:
    """A parent as a mechanism sees it: its declaration, its raw values [n], and its name, with `@-K`."""

    factor: Factor
    values: NDArray[Any]
    name: str = ""

    @property
    def unit(self) -> NDArray[np.float64]:
        """The values on the unit interval, see `Factor.to_unit`.

        Raises:
            ValueError: The parent has no range, so no value of it has a place in one.
        """
        if not np.isfinite(self.factor.bounds).all():
            raise ValueError("it reads where in its range a parent lies: that parent needs `range`")
        return self.factor.to_unit(self.values)


def reference(column: str, factors: Mapping[str, Factor]) -> tuple[str, bool] | None:
    """The factor that a name in an expression stands for, with its `@-K`; and whether by its physical value."""
    name, lag = earlier(column)
    behind = f"@-{lag}" if lag else ""
    if name in factors:
        return f"{name}{behind}", False
    for each, factor in factors.items():
        if factor.physical_values is not None and factor.physical_column(each) == name:
            return f"{each}{behind}", True
    return None


def parts(parameter: Any) -> Iterator[tuple[str, Any]]:
    """What a sound parameter consists of: `("number", 0.5)`, `("expression", TEXT)`, `("table", (FACTOR, {...}))`."""
    if isinstance(parameter, dict):
        for factor, table in parameter.items():
            yield "table", (factor, table)
            for entry in table.values():
                yield from parts(entry)
    elif isinstance(parameter, list):
        for entry in parameter:
            yield from parts(entry)
    else:
        yield "expression" if isinstance(parameter, str) else "number", parameter


def references(parameter: Any, factors: Mapping[str, Factor]) -> list[str]:
    """The factors that a parameter names, those that there are, each once."""
    found: dict[str, None] = {}
    for kind, part in parts(parameter):
        columns = parsed(part, NUMBER).names if kind == "expression" else (part[0],) if kind == "table" else ()
        for column in columns:
            known = reference(column, factors)
            if known is not None:
                found[known[0]] = None
    return list(found)


def labels_of(key: str, factor: Factor) -> list[str]:
    """The labels that a key of a table names."""
    return [key] if key in factor.names else [each.strip() for each in key.split(",")]


def computed(
    parameter: Any, varies: Varies, parents: Mapping[str, Parent], n: int, *, name: str, strict: bool
) -> NDArray[np.float64]:
    """The values of a parameter, float64 [n], or [n, length] of a list; read-only where they are all one number.

    Args:
        parameter: It, sound.
        varies: Its limits.
        parents: The parents by name, with `@-K`.
        n: Number of samples.
        name: Its name, for messages.
        strict: A value that is undefined or out of the limits is an error; otherwise it is NaN.

    Raises:
        UndefinedError: One is undefined or out of the limits.
    """
    found = _computed(parameter, parents, None, n, strict)
    inside = varies.within(found)
    if inside.all():
        return found
    if not strict:
        return np.where(inside, found, np.nan)
    place = tuple(np.argwhere(~inside)[0])
    shown = f"{name} ({parameter})" if isinstance(parameter, str) else name
    raise UndefinedError(f"{shown} = {found[place]:g}", int(place[0]), varies.expected)


def _computed(
    parameter: Any, parents: Mapping[str, Parent], rows: NDArray[np.int64] | None, n: int, strict: bool
) -> NDArray[np.float64]:
    """Values [n] for the rows of the parents given, or all."""
    if isinstance(parameter, (int, float)):
        return np.broadcast_to(np.float64(parameter), n)
    if isinstance(parameter, str):
        try:
            return parsed(parameter, NUMBER).number(lambda name: column(name, parents, rows), n, strict=strict)
        except UndefinedError as error:
            row = error.row or 0
            raise UndefinedError(error.part, row if rows is None else int(rows[row])) from None
    if isinstance(parameter, list):
        return np.stack([_computed(each, parents, rows, n, strict) for each in parameter], axis=1)
    ((name, table),) = parameter.items()
    parent = parents[name]
    entries = _by_value(table, parent.factor)
    values = parent.values if rows is None else parent.values[rows]
    if all(isinstance(entry, (int, float)) for entry in entries):
        return np.asarray(entries, dtype=np.float64)[values]
    found: NDArray[np.float64] | None = None
    for entry in {id(each): each for each in entries}.values():
        here = np.flatnonzero(np.isin(values, [value for value, each in enumerate(entries) if each is entry]))
        part = _computed(entry, parents, here if rows is None else rows[here], len(here), strict)
        found = np.empty((n, *part.shape[1:])) if found is None else found
        found[here] = part
    return np.zeros(n) if found is None else found


def _by_value(table: Mapping[str, Any], factor: Factor) -> list[Any]:
    """The entry of each value of a factor."""
    found = {label: entry for key, entry in table.items() for label in labels_of(key, factor)}
    return [found[name] if name in found else found[OTHERWISE] for name in factor.names]


def column(name: str, parents: Mapping[str, Parent], rows: NDArray[np.int64] | None) -> Side:
    """The values of a name in an expression."""
    known = reference(name, {earlier(each)[0]: parent.factor for each, parent in parents.items()})
    if known is None or known[0] not in parents:
        raise UsageError(f"{name!r} is no parent", where=name, got=name, expected=listed(parents))
    parent = parents[known[0]]
    values = parent.values if rows is None else parent.values[rows]
    if known[1]:
        return Side(name, parent.factor.physical(values))
    return Side(name, values, parent.factor.names if parent.factor.type == "categorical" else ())
