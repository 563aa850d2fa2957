"""YAML as people write it: plain data, the place of every value, and what in the text would be read otherwise.

Two keys of one name are a mistake here (YAML readers take the last), and so is a key that is no text (`yes`, `12`).
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, TypeAlias

import yaml

from m3di.errors import UsageError, near_match

Path: TypeAlias = tuple[str | int, ...]
MAX_VALUES = 200_000  # a spec has some hundreds; aliases of aliases could ask for any number
YAML_ENDINGS = (".yaml", ".yml")
COLLECTIONS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")  # mappings and lists, the only ones of a spec


@dataclass(frozen=True)
class Location:
    """Where a value stands: file, line from 1, and the text of a single value as it is written."""

    file: str
    line: int
    text: str | None = None


Marks: TypeAlias = dict[Path, Location]


@dataclass(frozen=True)
class Fault:
    """Something that YAML allows, and that is a mistake here."""

    path: Path
    what: str
    place: Location
    got: str
    expected: str
    next_step: str


@dataclass
class Document:
    """A file as data.

    Attributes:
        data: Mappings, lists, texts, numbers, truth values.
        marks: The place of each value, by its path.
        faults: What is wrong with the text itself.
    """

    data: Any
    marks: Marks = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, with numbers as YAML 1.2 has them: `1e-3` is one; `010`, `1:30` and dates are texts."""


_NUMBERS = {
    "int": r"^[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F]+)$",
    "float": r"^(?:[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
}
_OWN = {"tag:yaml.org,2002:timestamp", *(f"tag:yaml.org,2002:{name}" for name in _NUMBERS)}
_Loader.yaml_implicit_resolvers = {
    first: [each for each in resolvers if each[0] not in _OWN]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _name, _pattern in _NUMBERS.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(_pattern), list("-+.0123456789"))


def is_yaml_name(name: str) -> bool:
    """Whether a name has the ending of a YAML file."""
    return name.lower().endswith(YAML_ENDINGS)


def read_text(path: FilePath, what: str, *, asked_by: str | None = None, next_step: str | None = None) -> str:
    """The text of a file.

    Args:
        path: The file.
        what: What it should be, for messages.
        asked_by: File and line that name it, for messages.
        next_step: What to do where it is missing.

    Raises:
        UsageError: There is none, or it is no UTF-8 text.
    """
    where = f"{path} ({asked_by})" if asked_by else str(path)
    if not path.exists():
        folder = path.parent
        names = sorted(each.name for each in folder.iterdir()) if os.access(folder, os.R_OK) and folder.is_dir() else []
        near = near_match(path.name, names)
        raise UsageError(
            f"there is no such {what}",
            where=where,
            got="no file of this name" if folder.is_dir() else f"no folder {folder}",
            expected="the path of a .yaml file" if what != "plugin" else "the path of a .py file",
            next_step=f"did you mean {near!r}?" if near else next_step or "check the path",
        )
    if not path.is_file():
        inside = sorted(each.name for each in path.iterdir() if is_yaml_name(each.name)) if path.is_dir() else []
        raise UsageError(
            f"this is no {what}",
            where=where,
            got="a folder" if path.is_dir() else "no regular file",
            expected="a text file",
            next_step=f"name a file in it, such as {path / inside[0]}" if inside else "check the path",
        )
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"the {what} cannot be read",
            where=where,
            got=error.strerror or error,
            expected="a file that you may read",
            next_step=f"chmod u+r {path}",
        ) from None
    return decoded(raw, what, where)


def decoded(raw: bytes, what: str, where: str) -> str:
    """The text in the bytes of a file.

    Raises:
        UsageError: They are no UTF-8 text.
    """
    wide = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = raw.decode("utf-8-sig")
        bad = next((index for index, each in enumerate(text) if not _is_printable(each)), None)
        place = None if bad is None else (1 + text.count("\n", 0, bad), f"the character {text[bad]!r}")
    except UnicodeDecodeError as error:
        place = (1 + raw.count(b"\n", 0, error.start), f"the byte 0x{raw[error.start]:02x}")
    if place is None:
        return text
    line, got = place
    raise UsageError(
        f"the {what} is not UTF-8 text",
        where=f"{where}, line {line}",
        got="UTF-16" if wide else got,
        expected="a text file in UTF-8",
        next_step="save it as UTF-8 in your editor" if wide or b"\0" not in raw else "is this the right file?",
    )


def _is_printable(character: str) -> bool:
    return character in "\t\n\r\x85" or not yaml.reader.Reader.NON_PRINTABLE.match(character)


def read_yaml(text: str, where: str, what: str = "spec", such_as: str = "name: ...") -> Document:
    """The data in a text, with their places.

    Args:
        text: The text.
        where: Where it comes from, for messages.
        what: What it should be, for messages.
        such_as: The first line that it could have, for messages.

    Raises:
        UsageError: It is not YAML.
    """
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                raise UsageError(
                    f"the {what} is not a mapping: the file is empty",
                    where=f"{where}, line 1",
                    got="nothing",
                    expected="key: value lines",
                    next_step=f"write keys, such as `{such_as}`",
                )
            document = Document(None)
            document.data = _Reader(loader, where, document).read(node, ())
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise _not_yaml(error, text, where, what) from None
    except RecursionError:
        raise UsageError(
            f"the {what} is not valid YAML: it is nested too deeply", where=where, next_step="close the brackets"
        ) from None
    if not isinstance(document.data, dict):
        raise UsageError(
            f"the {what} is not a mapping",
            where=f"{where}, line {node.start_mark.line + 1}",
            got="a list" if isinstance(document.data, list) else "a single value",
            expected="key: value lines",
            next_step=f"write keys, such as `{such_as}`, without a dash before them",
        )
    return document


@dataclass
class _Reader:
    """Turns nodes into data, and notes where they were."""

    loader: _Loader
    where: str
    document: Document
    active: set[int] = field(default_factory=set)
    n_values: int = 0

    def read(self, node: yaml.Node, path: Path) -> Any:
        self.n_values += 1
        place = self._place(node)
        if id(node) in self.active or self.n_values > MAX_VALUES:
            what = "an alias holds itself" if id(node) in self.active else "aliases make it too large"
            raise yaml.composer.ComposerError(None, None, what, node.start_mark)
        self.document.marks[path] = place
        if not isinstance(node, yaml.ScalarNode) and node.tag not in COLLECTIONS:
            what = f"could not determine a constructor for the tag {node.tag!r}"
            raise yaml.constructor.ConstructorError(None, None, what, node.start_mark)
        if isinstance(node, yaml.MappingNode):
            self.active.add(id(node))
            found = {key: self.read(value, (*path, key)) for key, value in self._entries(node, path).items()}
            for key, line in self._lines(node):
                mark = self.document.marks.get((*path, key))
                if mark is not None:
                    self.document.marks[(*path, key)] = Location(mark.file, line, mark.text)
            self.active.discard(id(node))
            return found
        if isinstance(node, yaml.SequenceNode):
            self.active.add(id(node))
            values = [self.read(value, (*path, index)) for index, value in enumerate(node.value)]
            self.active.discard(id(node))
            return values
        value = self.loader.construct_object(node)
        if isinstance(value, str):
            self.document.marks[path] = Location(place.file, place.line, repr(value))
        return value

    def _place(self, node: yaml.Node) -> Location:
        text = node.value if isinstance(node, yaml.ScalarNode) else None
        return Location(self.where, node.start_mark.line + 1, text)

    def _lines(self, node: yaml.MappingNode) -> Iterator[tuple[str, int]]:
        """The line of each key: that of a value that is a block starts below it."""
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                yield str(key.value), key.start_mark.line + 1

    def _entries(self, node: yaml.MappingNode, path: Path) -> dict[str, yaml.Node]:
        own: dict[str, int] = {}
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            place = self._place(key)
            name = place.text
            value = self.loader.construct_object(key) if isinstance(key, yaml.ScalarNode) else None
            if name is None or not isinstance(value, str):
                what = "a truth value" if isinstance(value, bool) else "no text"
                self._fault(
                    (*path, name or "?"), f"the key {name or '?'} is {what}", place, name or "?", "a text as key",
                    f"quote it: '{name}'",
                )  # fmt: skip
            elif name in own:
                lines = f"lines {own[name]} and {place.line}"
                self._fault(
                    (*path, name), f"the key {name!r} is there twice, in {lines}", place, f"{name}: in {lines}",
                    "every key once", "keep one of them",
                )  # fmt: skip
            own.setdefault(str(name), place.line)
        self.loader.flatten_mapping(node)
        return {str(key.value): value for key, value in node.value}

    def _fault(self, path: Path, what: str, place: Location, got: str, expected: str, next_step: str) -> None:
        self.document.faults.append(Fault(path, what, place, got, expected, next_step))


def _not_yaml(error: yaml.YAMLError, text: str, where: str, what: str) -> UsageError:
    """What PyYAML found, in words for those who do not know its own."""
    mark = getattr(error, "problem_mark", None)
    problem = str(getattr(error, "problem", None) or error)
    opened = getattr(error, "context_mark", None)
    line = mark.line if mark is not None else 0
    lines = text.splitlines() or [""]
    shown = lines[min(line, len(lines) - 1)].strip()
    context = str(getattr(error, "context", None) or "")
    expected, next_step = "YAML: key: value lines, indented by spaces", f"look at line {line + 1} and the one before it"
    if "'\\t'" in problem or "\t" in lines[min(line, len(lines) - 1)][: mark.column + 1 if mark else 0]:
        problem, next_step = "a tab indents a line", "use spaces in place of the tab"
    elif "mapping values are not allowed" in problem:
        problem, next_step = "a second `: ` in a line", "quote the text that has a colon in it: key: 'text: more text'"
    elif opened is not None and "flow" in context:
        bracket = "{" if "mapping" in context else "["
        closing = {"{": "}", "[": "]"}[bracket]
        problem = f"the {bracket} in line {opened.line + 1} is not closed"
        line, next_step = opened.line, f"add the {closing}, or a comma between its entries"
        shown = lines[min(line, len(lines) - 1)].strip()
    elif "quoted scalar" in context and opened is not None:
        problem, next_step = f"the quote in line {opened.line + 1} is not closed", "close the quote"
        line = opened.line
        shown = lines[min(line, len(lines) - 1)].strip()
    elif "undefined alias" in problem:
        next_step = "a name after * must stand after & before; quote a text that begins with *"
    elif "cannot start any token" in problem or "unknown escape" in problem:
        next_step = "quote the text: single quotes keep everything as it is"
    elif "document" in problem:
        next_step = "keep one document a file: no line --- inside it"
    elif "constructor for the tag" in problem:
        next_step = "leave tags (!...) out: a spec is plain data"
    elif "could not find expected ':'" in problem or "expected <block end>" in problem:
        next_step = "write `key: value`, and indent keys of one mapping alike"
    return UsageError(
        f"the {what} is not valid YAML: {problem}",
        where=f"{where}, line {line + 1}",
        got=shown[:100] or "an empty line",
        expected=expected,
        next_step=next_step,
    )
