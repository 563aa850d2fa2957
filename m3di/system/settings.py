"""Settings: fields with their range, words and help, and the messages if a value does not fit.

A class of settings is a pydantic dataclass under `@explained`. A field states all about a setting:

    size_px: Annotated[int, Field(ge=8, le=8192), "Side of the images in pixels.", Option("--size")] = 224

The command line makes its option from it, and `help()` of the class lists it.
"""

from __future__ import annotations

import functools
import re
import textwrap
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, Field, GetCoreSchemaHandler, TypeAdapter, ValidationError
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from m3di.errors import UsageError, did_you_mean

STRICT = ConfigDict(strict=True, extra="forbid")  # True is not a number, "3" is not 3
Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
AnyClass = TypeVar("AnyClass")
KINDS = {bool: "true or false", int: "a whole number", float: "a number", Path: "a path", tuple: "a list"}
LARGE = 10**9  # the help shows no bound that nobody meets


@dataclass(frozen=True)
class Option:
    """How a field appears as an option of the command line, and what its messages add.

    Args:
        flags: As typed: "--size", or "--own/--shared"; None is the field's name.
        metavar: Stands for its value in the help; None names its type or its choices.
        default: The default in words, for a field whose default is None.
        such_as: An example of a list.
        repeated: A list is given by repeating the option, rather than with commas.
        noun: A word for its values, for "unknown NOUN"; None is the field's name.
        why: Reason of the least value, for "is too small".
        what: Replaces all messages about its range.
        offered: Whether the command line has the option.
    """

    flags: str | None = None
    metavar: str | None = None
    default: str | None = None
    such_as: str | None = None
    repeated: bool = False
    noun: str | None = None
    why: str | None = None
    what: str | None = None
    offered: bool = True


@dataclass(frozen=True)
class OneOf:
    """One of some words: a collection, or a function if they can change or are costly to list."""

    known: Iterable[str] | Callable[[], Iterable[str]]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def _check(self, word: str) -> str:
        known = tuple(self.known() if callable(self.known) else self.known)
        if word not in known:
            raise PydanticCustomError("unknown_word", "unknown", {"known": known})
        return word


@dataclass(frozen=True)
class TextOr:
    """A text, or an object of a class that is imported only where one is checked: its module is heavy."""

    source: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._check)

    def _check(self, value: Any) -> Any:
        module, _, name = self.source.partition(":")
        if not isinstance(value, str) and not isinstance(value, getattr(import_module(module), name)):
            raise PydanticCustomError("no_text", "no text")
        return value


@dataclass(frozen=True)
class Setting:
    """A field of a class of settings.

    Args:
        name: Of the field.
        type: Its annotation, with all notes.
        default: `dataclasses.MISSING` if there is none.
        notes: Ranges and other notes of the annotation; a text among them describes it.
        shown: Its name in messages: that of the field, or of the option.
    """

    name: str
    type: Any
    default: Any
    notes: tuple[Any, ...]
    shown: str

    @property
    def description(self) -> str:
        """Its description."""
        return next((each for each in self.notes if isinstance(each, str)), "")

    @property
    def option(self) -> Option:
        """Its `Option`."""
        return next((each for each in self.notes if isinstance(each, Option)), Option())

    @property
    def flags(self) -> str:
        """Its flags as typed; a switch has two."""
        plain = self.name.replace("_", "-")
        return self.option.flags or (f"--{plain}/--no-{plain}" if self.base is bool else f"--{plain}")

    @property
    def base(self) -> Any:
        """Its type without None, notes and item types, such as int, tuple, Literal; the first type of a union."""
        plain = _parts(self.type)[0]
        return get_origin(plain) or plain

    @property
    def choices(self) -> tuple[str, ...]:
        """Its possible words, if they are few and fixed."""
        if self.base is Literal:
            return get_args(_parts(self.type)[0])
        found = next((each.known for each in self.notes if isinstance(each, OneOf)), ())
        return () if callable(found) else tuple(found)

    @property
    def range(self) -> str:
        """Its range in words, or ""."""
        low, high, above = (self._bound(name) for name in ("ge", "le", "gt"))
        if low is not None and high is not None and high < LARGE:
            return f"{low} to {high}"
        return f"{low} or more" if low is not None else f"above {above}" if above is not None else ""

    def _bound(self, name: str) -> Any:
        return next((getattr(each, name) for each in self.notes if getattr(each, name, None) is not None), None)

    @functools.cached_property
    def _lenient(self) -> TypeAdapter[Any]:
        return TypeAdapter(self.type)

    @functools.cached_property
    def _strict(self) -> TypeAdapter[Any]:
        return TypeAdapter(self.type, config=STRICT)

    def read(self, value: Any, *, text: bool) -> Any:
        """Read a value of this setting from texts of the command line, or from a value of a config file.

        Raises:
            ValueError: It has another type; the message names the right one.
            UsageError: It is out of range, or an unknown word.
        """
        try:
            return (self._lenient if text else self._strict).validate_python(_of_python(value))
        except ValidationError as error:
            found = error.errors(include_url=False)[0]
            if found["type"] in _REFUSALS:
                raise self.refusal(found) from None
            raise ValueError(f"is not {self.kind}") from None

    @property
    def kind(self) -> str:
        """Its type in words."""
        return KINDS.get(self.base, "a text")

    def refusal(self, found: Mapping[str, Any]) -> UsageError:
        """Make the message for an error that pydantic found in a value of this setting."""
        got, limit, expected = found["input"], found.get("ctx", {}), self.range or None
        says, step = _REFUSALS.get(found["type"], f"is not {self.kind}"), None
        what = f"{self.shown} {says}"
        if found["type"] not in _REFUSALS:
            got, expected = repr(got), self.kind
        elif says == "unknown":
            known = limit.get("known") or re.findall(r"'([^']*)'", limit["expected"])
            noun = self.option.noun or self.name.replace("_", " ")
            what = f"unknown {noun}" if self.shown == self.name else f"no {noun} is called {got!r}"
            expected, step = (
                ", ".join(map(repr if self.shown != self.name else str, known)),
                did_you_mean(str(got), known),
            )
            got = repr(got)
        elif self.option.what:
            what = self.option.what
        elif self._bound("gt") is not None:
            what, expected = f"{self.shown} must be positive", "a number above 0"
        elif "ge" in limit:
            what, expected = what + f": {self.option.why}" * bool(self.option.why), f"{limit['ge']:.12g} or more"
        elif "lt" in limit:  # infinity; NaN is not below it either
            what = f"{self.shown} is too {'large' if got == got else 'small'}"
            expected = f"{self.range}, and finite"
        elif "le" in limit:
            expected = f"at most {limit['le']}"
        return UsageError(what, where=self.shown, got=got, expected=expected, next_step=step)


_REFUSALS = {  # pydantic's kinds of errors, and our words for them
    "greater_than": "must be positive",
    "greater_than_equal": "is too small",
    "less_than_equal": "is too large",
    "finite_number": "is not a finite number",
    "less_than": "is too large",
    "literal_error": "unknown",
    "unknown_word": "unknown",
}


def settings_of(cls: type) -> dict[str, Setting]:
    """Return the settings of a class under `@explained`, by name."""
    found: dict[str, Setting] = cls.__settings__  # type: ignore[attr-defined]
    return found


def explained(*, by_option: bool = False) -> Callable[[type[AnyClass]], type[AnyClass]]:
    """Decorate a pydantic dataclass: its errors become a `UsageError`, and its docstring lists the fields.

    Args:
        by_option: Messages name the option, not the field.
    """

    def decorate(cls: Any) -> Any:
        hints = get_type_hints(cls, include_extras=True)
        settings = {each.name: _setting(each.name, hints[each.name], each.default, by_option) for each in fields(cls)}
        inner = cls.__init__

        @functools.wraps(inner)
        def __init__(self: Any, *values: Any, **named: Any) -> None:
            try:
                inner(self, *map(_of_python, values), **{name: _of_python(value) for name, value in named.items()})
            except ValidationError as error:
                raise _refused(error, settings, cls.__name__) from None

        cls.__init__, cls.__settings__ = __init__, settings
        cls.__doc__ = _with_fields(cls.__doc__ or "", settings.values())
        return cls

    return decorate


def _setting(name: str, hint: Any, default: Any, by_option: bool) -> Setting:
    notes = tuple(each for note in _parts(hint)[1] for each in (note, *getattr(note, "metadata", ())))
    setting = Setting(name, hint, default, notes, name)
    return replace(setting, shown=setting.flags.split("/")[0]) if by_option else setting


def _refused(error: ValidationError, settings: Mapping[str, Setting], name: str) -> Exception:
    errors = error.errors(include_url=False)
    found = next((each for each in errors if each["type"] == "unexpected_keyword_argument"), errors[0])
    field = str(found["loc"][0]) if found["loc"] else ""
    if found["type"] == "unexpected_keyword_argument":
        step = did_you_mean(field, settings)
        return UsageError(f"{name} has no setting {field!r}", where=field, expected=", ".join(settings), next_step=step)
    if field not in settings or found["type"].startswith(("missing", "multiple", "unexpected")):
        return TypeError(f"{name}: {found['msg']}" + f": {field}" * bool(field))
    return settings[field].refusal(found)


def _of_python(value: Any) -> Any:
    """Turn lists into tuples, and NumPy's numbers into Python's."""
    if isinstance(value, list):
        return tuple(value)
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def _parts(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return a type without None (the first type of a union), and the notes on it."""
    notes = getattr(hint, "__metadata__", ())
    hint = get_args(hint)[0] if notes else hint
    if get_origin(hint) in (Union, types.UnionType):
        hint, inner = _parts(next(each for each in get_args(hint) if each is not type(None)))
        return hint, (*notes, *inner)
    return hint, notes


def _with_fields(text: str, settings: Iterable[Setting]) -> str:
    """Insert the section Args into a docstring, before its first section."""
    entries = []
    for each in settings:
        told = f"{each.name}: {each.description}" + f" {each.range[:1].upper()}{each.range[1:]}." * bool(each.range)
        told += f" By default {each.option.default}." if each.option.default else ""
        entries.append(textwrap.fill(told, 112, initial_indent=" " * 8, subsequent_indent=" " * 12))
    head, *tail = re.split(r"\n    (?=(?:Raises|Example):)", text, maxsplit=1)
    return "\n".join([head.rstrip(), "", "    Args:", *entries, *(["", f"    {tail[0]}"] if tail else ["    "])])
