"""A spec file as it is read: its data with their places, and the text of the files that it names, beside it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath
from typing import Any

from m3di.errors import UsageError
from m3di.latents.problems import Problem, fault_problems
from m3di.latents.yaml_text import Location, Marks, Path, is_yaml_name, read_text, read_yaml


@dataclass
class Layer:
    """A spec file with what it extends: data, the places of its values, and what is wrong with them."""

    data: dict[str, Any]
    marks: Marks
    problems: list[Problem] = field(default_factory=list)


def take_in_files(layer: Layer, folder: FilePath) -> None:
    """Put the text of plugins and templates in the place of their paths, which are relative to the spec."""
    data = layer.data
    plugins = data.get("plugins")
    if isinstance(plugins, (list, str)):
        data["plugins"] = {}
        for number, name in enumerate(plugins if isinstance(plugins, list) else [plugins]):
            place = layer.marks.get(("plugins", number)) or layer.marks[("plugins",)]
            _take_in_plugin(layer, folder, name, place)
    for view_name, view in data["views"].items() if isinstance(data.get("views"), dict) else ():
        template = view.get("template") if isinstance(view, dict) else None
        if isinstance(template, str) and is_yaml_name(template) and template not in data.get("templates", {}):
            _take_in_template(layer, folder, ("views", view_name, "template"), template)
        texts = view.get("texts") if isinstance(view, dict) else None
        if isinstance(texts, str) and texts not in (data.get("texts") or {}):
            _take_in_texts(layer, folder, ("views", view_name, "texts"), texts)


def _take_in_plugin(layer: Layer, folder: FilePath, name: Any, place: Location) -> None:
    by = f"named in {place.file}, line {place.line}"
    if not isinstance(name, str) or not name.endswith(".py"):
        layer.problems.append(
            Problem(
                ("plugins",),
                "a plugin is a Python file",
                place.text or repr(name),
                "plugins: [FILE.py]",
                "name a .py file beside the spec",
                place,
            )
        )
        return
    path = folder / name
    try:
        text = read_text(path, "plugin", asked_by=by, next_step="check the path: it is relative to the spec")
    except UsageError as error:
        layer.problems.append(_as_problem(("plugins",), error, place))
        return
    if layer.data["plugins"].get(path.name, text) != text:
        layer.problems.append(_two_of_one_name(("plugins",), "plugins", name, place))
    layer.data["plugins"][path.name] = text
    layer.marks[("plugins", path.name)] = Location(str(path), 1, path.name)


def _take_in_template(layer: Layer, folder: FilePath, where: Path, name: str) -> None:
    place = layer.marks[where]
    path = folder / name
    try:
        text = read_text(
            path,
            "caption template",
            asked_by=f"named in {place.file}, line {place.line}",
            next_step="check the path: it is relative to the spec",
        )
        document = read_yaml(text, str(path), "caption template")
    except UsageError as error:
        layer.problems.append(_as_problem(where, error, place))
        return
    key = ("templates", path.name)
    templates = layer.data.setdefault("templates", {})
    if templates.get(path.name, document.data) != document.data:
        layer.problems.append(_two_of_one_name(where, "templates", name, place))
    templates[path.name] = document.data
    layer.data["views"][str(where[1])]["template"] = path.name
    layer.marks.update({(*key, *each): mark for each, mark in document.marks.items()})
    layer.problems += fault_problems(document, key)


def _take_in_texts(layer: Layer, folder: FilePath, where: Path, name: str) -> None:
    place, path = layer.marks[where], folder / name
    by = f"named in {place.file}, line {place.line}"
    try:
        text = read_text(path, "file of texts", asked_by=by, next_step="check the path: it is relative to the spec")
    except UsageError as error:
        layer.problems.append(_as_problem(where, error, place))
        return
    texts = layer.data.setdefault("texts", {})
    if texts.get(path.name, text) != text:
        layer.problems.append(_two_of_one_name(where, "files of texts", name, place))
    texts[path.name] = text
    layer.data["views"][str(where[1])]["texts"] = path.name


def _two_of_one_name(where: Path, what: str, name: str, place: Location) -> Problem:
    said = f"two {what} are called {FilePath(name).name!r}"
    return Problem(where, said, repr(name), "names that differ", "rename one of them", place)


def _as_problem(path: Path, error: UsageError, place: Location) -> Problem:
    details = error.details
    where = details.get("where", "")
    return replace(
        Problem(path, f"{error.what}: {where}", at=place),
        got=details.get("got"),
        expected=details.get("expected"),
        next_step=details.get("next"),
    )
