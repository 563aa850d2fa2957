"""What is wrong with a spec or a template: each problem with what, where (file and line), got, expected, next step."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from m3di.errors import UsageError, near_match
from m3di.latents.yaml_text import Document, Location, Marks, Path

MAX_SHOWN = 60  # characters of a value in a message
MAX_NAMES = 24  # names in a message; more are counted


class _Unset:
    """Stands for a `got` that is looked up in the data."""


UNSET = _Unset()


@dataclass(frozen=True)
class Problem:
    """One problem.

    Attributes:
        path: Keys that lead to it, from the top of the file.
        what: What is wrong, without a final period.
        got: What was found; if not given, the value at the path is shown.
        expected: What would be right.
        next_step: What the user can do about it.
        at: Where it is, if that is not what the path leads to.
        related: Paths of what it is about besides: where the path leads into a file that is extended, the mistake is
            in the one of these that the user's own file has.
    """

    path: Path
    what: str
    got: object = UNSET
    expected: str | None = None
    next_step: str | None = None
    at: Location | None = None
    related: tuple[Path, ...] = ()

    @property
    def place(self) -> str:
        """The path as a text."""
        return ".".join(map(str, self.path))


@dataclass(frozen=True)
class Origin:
    """Where data come from, for messages.

    Attributes:
        where: The file, or what stands for one.
        marks: File, line and text of each value, by its path.
    """

    where: str
    marks: Marks = field(default_factory=dict)

    def place(self, path: Path) -> Location | None:
        """The place of a value; where it has none (it is missing), that of what it should be in."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.marks:
                return self.marks[path[:length]]
        return None

    def place_of(self, problem: Problem) -> Location | None:
        """The place of a problem: in the user's own file, where what it is about stands there."""
        place = problem.at or self.place(problem.path)
        if place is None or place.file == self.where:
            return place
        lines = [
            each.line
            for other in problem.related
            for path, each in self.marks.items()
            if each.file == self.where and path[: len(other)] == other
        ]
        return (
            Location(f"{place.file}, line {place.line}, by what is changed in {self.where}", max(lines))
            if lines
            else place
        )


def fault_problems(document: Document, below: Path = ()) -> list[Problem]:
    """What is wrong with the text of a file that stands at a path."""
    return [
        Problem((*below, *each.path), each.what, each.got, each.expected, each.next_step, each.place)
        for each in document.faults
    ]


def custom_error(
    what: str, *, key: str = "", expected: str = "", next_step: str = "", got: str = ""
) -> PydanticCustomError:
    """An error of a pydantic validator with the parts of a `Problem`; `key` is the key of the model that is wrong."""
    context = {"what": what, "key": key, "expected": expected, "next_step": next_step, "got": got}
    return PydanticCustomError("m3di", "{what}", context)


def report(title: str, problems: Iterable[Problem], data: Any, origin: Origin) -> UsageError:
    """One error for all problems, in the order of the file."""
    unique = list(dict.fromkeys(problems))
    count = f"{len(unique)} problem{'s'[: len(unique) > 1]}"
    listed = "".join(_shown(problem, data, origin) for problem in unique)
    return UsageError(title.format(count=count) + listed, where=origin.where)


def _shown(problem: Problem, data: Any, origin: Origin) -> str:
    place = origin.place_of(problem)
    got = problem.got
    if isinstance(got, _Unset):
        got = found_at(problem.path, data, origin)
    parts = {
        "where": f"{place.file}, line {place.line}" if place else None,
        "got": got,
        "expected": problem.expected,
        "next": problem.next_step,
    }
    first = f"{problem.place}: {problem.what}" if problem.place else problem.what
    lines = [f"\n  - {first}"]
    lines += [f"\n      {name + ':':9} {part}" for name, part in parts.items() if part]
    return "".join(lines)


def found_at(path: Path, data: Any, origin: Origin) -> str | None:
    """What the data hold at a path, as it stands in the file; None where there is nothing to show."""
    place = origin.marks.get(path)
    value = value_at(path, data)
    if place is not None and place.text is not None and not isinstance(value, (dict, list)):
        return shortened(place.text)
    return None if value is UNSET or not path else shortened(json.dumps(value, ensure_ascii=False, default=str))


def value_at(path: Path, data: Any) -> Any:
    """The value that a path leads to, or UNSET."""
    for key in path:
        if isinstance(data, (list, tuple)):
            data = dict(enumerate(data))
        if not isinstance(data, dict) or key not in data:
            return UNSET
        data = data[key]
    return data


def shortened(text: str) -> str:
    """A text that fits a line of a message."""
    folded = " ".join(text.split())
    return folded if len(folded) <= MAX_SHOWN else f"{folded[: MAX_SHOWN - 3]}..."


def listed(names: Iterable[object]) -> str:
    """Names in a message; of many, the first ones."""
    every = [str(name) for name in names]
    more = f" and {len(every) - MAX_NAMES} more" if len(every) > MAX_NAMES else ""
    return ", ".join(every[:MAX_NAMES]) + more


def hint(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name."""
    near = near_match(word, known)
    return f"; did you mean {near!r}?" if near else ""


def problems_of(error: ValidationError, data: Any, origin: Origin, below: Path = ()) -> Iterator[Problem]:
    """A problem for each error that pydantic found.

    Args:
        error: What pydantic found.
        data: What was validated, from the top of the file.
        origin: Where the data come from.
        below: Path of what was validated.
    """
    for each in error.errors():
        path = _in_data((*below, *each["loc"]), data, each["type"])
        if each["type"] == "float_type" and isinstance(value_at(path, data), dict):
            continue  # one of several types that it may have; the mapping is told of
        if each["type"] == "dict_type" and str(each["loc"][-1]).startswith("dict[") and _is_number(path, data):
            continue  # the other way round: a number or a mapping of numbers
        if path[:1] == ("interventions",) and len(path) == 2:
            if each["type"] in ("float_type", "finite_number"):
                yield Problem(
                    path,
                    "an intervention is a value of the factor, a mechanism, or a mapping",
                    expected="a number, the name of a value or of a mechanism, or {strength: 0.5}",
                    next_step="write one of these; a name that YAML reads otherwise is quoted: 'yes'",
                )
            continue
        context: Mapping[str, Any] = each.get("ctx", {})
        if each["type"] == "m3di":
            key = (context["key"],) if context["key"] and value_at((*path, context["key"]), data) is not UNSET else ()
            yield Problem(
                (*path, *key),
                context["what"],
                context["got"] or UNSET,
                context["expected"] or None,
                context["next_step"] or None,
                related=(path,),
            )
        elif each["type"] == "value_error":
            yield Problem(path, each["msg"].removeprefix("Value error, "))
        else:
            yield _typed(each["type"], each["msg"], path, context, value_at(path, data), origin)


def _is_number(path: Path, data: Any) -> bool:
    return isinstance(value_at(path, data), (int, float))


def _in_data(path: Path, data: Any, kind: str) -> Path:
    """The path of an error without what pydantic adds to it: names of functions, of types, of a role's own key."""
    found: Path = ()
    for number, part in enumerate(path):
        is_last = number == len(path) - 1
        if value_at((*found, part), data) is not UNSET or (is_last and kind in ("missing", "m3di")):
            found = (*found, part)
    return found


_SHAPES = {
    "dict_type": "a mapping: key: value lines",
    "model_type": "a mapping: key: value lines",
    "tuple_type": "a list: [a, b]",
    "list_type": "a list: [a, b]",
    "model_attributes_type": "a mapping: key: value lines",
}


def _typed(kind: str, message: str, path: Path, context: Mapping[str, Any], value: Any, origin: Origin) -> Problem:
    """A problem of pydantic's own kinds: a type, a choice, a bound, an unknown or a missing key."""
    place = origin.marks.get(path)
    text = place.text if place is not None and place.text is not None else str(value)
    if kind == "missing" and isinstance(path[-1], int):
        return Problem(path[:-1], "an entry is missing", expected=f"{path[-1] + 1} entries", next_step="add it")
    if kind == "missing":
        return Problem(path, "Field required", "nothing", f"the key `{path[-1]}`", f"add `{path[-1]}: ...`")
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", context["expected"])
        near = near_match(text, choices)
        next_step = f"did you mean {near!r}?" if near else f"choose one of these: {', '.join(choices)}"
        return Problem(path, message, expected=" or ".join(choices), next_step=next_step)
    if kind in ("string_type", "string_pattern_mismatch") and not isinstance(value, (dict, list, str, _Unset)):
        return _no_text(path, text, value)
    if kind.startswith(("float_", "int_")):
        whole = "whole " if kind.startswith("int_") else ""
        next_step = f"write a {whole}number"
        if isinstance(value, str) and re.fullmatch(r"[-+.\deE_]+", value.strip()):
            next_step += ", without quotes"
        return Problem(path, message, expected=f"a {whole}number", next_step=next_step)
    bounds = {"greater_than": ">", "greater_than_equal": ">=", "less_than": "<", "less_than_equal": "<="}
    if kind in bounds:
        limit = context[{">": "gt", ">=": "ge", "<": "lt", "<=": "le"}[bounds[kind]]]
        return Problem(path, message, expected=f"a number {bounds[kind]} {limit:g}", next_step="change the number")
    if kind == "dict_type" and path[-1:] == ("factors",) and path[0] != "splits" and isinstance(value, list):
        return Problem(
            path, message, expected="FACTOR: ROLE lines", next_step=f"write {value[0] if value else 'NAME'}: content"
        )
    simple = {
        "string_type": ("a text", "write a text"),
        "finite_number": ("a finite number", "write a number"),
        "bool_type": ("true or false", "write true or false, without quotes"),
        "bool_parsing": ("true or false", "write true or false"),
        "string_pattern_mismatch": (
            "letters, digits, '.', '_' and '-', the first one a letter or a digit",
            "change it",
        ),
        "string_too_long": (f"at most {context.get('max_length')} characters", "shorten it"),
        "too_long": (f"{context.get('max_length')} entries", "take the others away"),
        "too_short": (f"{context.get('min_length')} entries or more", "add what is missing"),
    }
    if kind in simple:
        return Problem(path, message, expected=simple[kind][0], next_step=simple[kind][1])
    expected = _SHAPES.get(kind)
    if expected is None:
        return Problem(path, message, expected="what docs/spec-reference.md says of the key", next_step="correct it")
    next_step = f"write {expected}"
    if place is not None and place.text is not None and value is not None:
        if kind == "tuple_type":
            inner = str(value).strip("[]() ") if isinstance(value, str) else text
            next_step = f"write it in square brackets: [{inner}]"
        elif path[-1:] in (("mechanism",), ("change",)):
            next_step = f"write {{name: {value}}}"
    return Problem(path, message, expected=expected, next_step=next_step)


def _no_text(path: Path, text: str, value: Any) -> Problem:
    """YAML has read something else where a text is wanted."""
    what = "a truth value" if isinstance(value, bool) else "nothing" if value is None else "a number"
    if not isinstance(value, (bool, int, float)) and value is not None:
        what = "a date"
    next_step = f"quote it: '{text}'" if value is not None else "write a text, or leave the key out"
    return Problem(
        path,
        f"Input should be a valid string: without quotes, YAML reads {text} as {what}",
        expected="a text",
        next_step=next_step,
    )
