"""Spec files: the built-in ones by name, others by path; every problem of a file in one report.

A spec may say `extends: NAME|FILE`: it is then that spec with its own keys laid over it, mapping by mapping. A key
set to null is taken away; a mechanism with a `name`, and the use of a factor with a `role`, replace the other whole.
Name and description are not inherited. Files that a spec names (`extends`, `template`, `plugins`) lie beside it.
"""

from __future__ import annotations

import os
import re
from copy import deepcopy
from functools import cache
from importlib.resources import files
from pathlib import Path as FilePath
from typing import Any

from m3di.errors import UsageError, did_you_mean
from m3di.latents.difference import described_change
from m3di.latents.interventions import do
from m3di.latents.layer import Layer, take_in_files
from m3di.latents.mechanisms import run_plugin
from m3di.latents.problems import UNSET, Origin, Problem, fault_problems, hint, listed, report
from m3di.latents.resolve import TITLE, validated
from m3di.latents.spec import SPEC_NAME, Spec
from m3di.latents.subsets import is_subset
from m3di.latents.yaml_text import Document, Location, Marks, Path, is_yaml_name, read_text, read_yaml

BESIDE = ("plugins", "templates", "texts")  # files as text, by name: replaced whole, never laid over


def spec_names() -> list[str]:
    """Names of the built-in specs."""
    found = (entry.name for entry in files("m3di.latents.specs").iterdir())
    return sorted(name.removesuffix(".yaml") for name in found if name.endswith(".yaml"))


def load_spec(name: str | os.PathLike[str]) -> Spec:
    """The spec with a built-in name, or in a file whose name ends in `.yaml` or `.yml`.

    The plugins of a spec file are run: they are the user's own.

    Raises:
        UsageError: There is no such spec, or the file is no valid spec.

    Example:
        >>> from m3di import load_spec
        >>> load_spec("m3di").factors["object_shape"].names[:3]
        ('teapot', 'hare', 'dragon')
    """
    text = os.fspath(name)
    return _finished(_read(text, (), None), text)


def parse_spec(text: str, *, where: str) -> Spec:
    """Validate the text of a spec file, and run its plugins.

    Raises:
        UsageError: It is not YAML, or no valid spec; the message holds every problem with its place.
    """
    return _finished(_layer(read_yaml(text, where), where, (where,)), where)


def _finished(layer: Layer, where: str) -> Spec:
    plugins = layer.data.get("plugins")
    problems = list(layer.problems)
    registered: dict[str, str] = {}
    for name, text in plugins.items() if isinstance(plugins, dict) else ():
        if not isinstance(text, str):
            continue  # reported with the keys
        place = layer.marks.get(("plugins", name))
        try:
            for mechanism in run_plugin(text, str(name) if place is None else place.file):
                if registered.setdefault(mechanism, str(name)) != name:
                    what = f"{mechanism!r} is registered by {registered[mechanism]!r} already"
                    problems.append(
                        Problem(("plugins", name), what, mechanism, "names that differ", "rename one of them")
                    )
        except UsageError as error:
            details = error.details
            problems.append(
                Problem(
                    ("plugins", name),
                    f"{error.what}: {details.get('where')}",
                    details.get("got"),
                    details.get("expected"),
                    details.get("next"),
                    _line_told(details.get("where", "")),
                )
            )
    origin = Origin(where, layer.marks)
    spec = validated(layer.data, origin, problems, shapes=True)
    if not spec.interventions:
        return spec
    for target, intervention in spec.interventions.items():
        try:
            do(spec, {target: intervention})
        except UsageError as error:
            details = error.details
            path: Path = ("interventions", target)
            problems.append(
                Problem(path, error.what, details.get("got", UNSET), details.get("expected"), details.get("next"))
            )
    if problems:
        raise report(TITLE, problems, layer.data, origin)
    return do(spec, spec.interventions)


def _line_told(where: str) -> Location | None:
    """The place that a message names as `FILE, line N`."""
    file, _, line = where.rpartition(", line ")
    return Location(file, int(line)) if file and line.isdigit() else None


def _read(name: str, chain: tuple[str, ...], asked_by: Location | None) -> Layer:
    """The data of a spec by name or path, with what it extends.

    Args:
        name: Built-in name or path.
        chain: The files that extend it, the first one first.
        asked_by: Where it is named.
    """
    by = f"{asked_by.file}, line {asked_by.line}" if asked_by else None
    if is_yaml_name(name):
        step = "check the path in `extends`: it is relative to the spec" if by else "check the path given to --spec"
        stem = FilePath(name).stem
        if stem in spec_names() and not FilePath(name).exists():
            raise UsageError(
                f"there is no spec file {name!r} here",
                where=by or "--spec",
                got=repr(name),
                expected="the path of a .yaml file, or the name of a built-in spec without an ending",
                next_step=f"for the built-in spec, write {stem}",
            )
        text = read_text(FilePath(name), "spec file", asked_by=f"extended by {by}" if by else None, next_step=step)
        return _layer(read_yaml(text, name), name, (*chain, name))
    if name not in spec_names():
        path = FilePath(asked_by.file).parent / name if asked_by else FilePath(name)
        if name and path.is_dir():
            read_text(path, "spec file", asked_by=f"extended by {by}" if by else None)  # says that it is a folder
        is_file = path.is_file()
        raise UsageError(
            f"no spec is called {name!r}",
            where=by or "--spec",
            got=repr(name),
            expected="a name that `m3di specs list` shows, or the path of a .yaml file",
            next_step=f"rename the file: {name}.yaml"
            if is_file
            else did_you_mean(name, spec_names(), otherwise="m3di specs list"),
        )
    kept = _builtin(name)  # copied: what is laid over it changes it
    return _layer(Document(deepcopy(kept.data), {**kept.marks}, [*kept.faults]), name, (*chain, name))


@cache
def _builtin(name: str) -> Document:
    """A built-in spec, parsed once: half of the time that loading one takes."""
    return read_yaml((files("m3di.latents.specs") / f"{name}.yaml").read_text(encoding="utf-8"), name)


def _layer(document: Document, where: str, chain: tuple[str, ...]) -> Layer:
    if "phrasings" in document.data and "factors" not in document.data:
        raise UsageError(
            "this is a caption template, not a spec",
            where=f"{where}, line {document.marks[('phrasings',)].line}",
            got="phrasings",
            expected="a spec, with `extends` or `factors`",
            next_step=f"name it in a spec: views: {{text: {{template: {FilePath(where).name}}}}}",
        )
    own = Layer(document.data, document.marks, fault_problems(document))
    take_in_files(own, FilePath(where).parent)
    if "extends" not in own.data:
        return own
    base = own.data.pop("extends")
    place = own.marks.get(("extends",), Location(where, 1))
    if not isinstance(base, str):
        raise UsageError(
            "`extends` is not a name",
            where=f"{where}, line {place.line}",
            got=place.text or ("nothing" if base is None else type(base).__name__),
            expected="the name of a built-in spec, or the path of a .yaml file",
            next_step="name one: extends: m3di",
        )
    name = str(FilePath(where).parent / base) if is_yaml_name(base) else base
    if any(_is_same(name, each) for each in chain):
        circle = " -> ".join((*chain, name))
        raise UsageError(
            f"the spec extends itself{', in a circle' if len(chain) > 1 else ''}",
            where=f"{where}, line {place.line}",
            got=circle,
            expected="specs that go back to one that extends no other",
            next_step="take one `extends` away",
        )
    return _extended(_read(name, chain, place), own, where, base)


def _is_same(name: str, other: str) -> bool:
    if is_yaml_name(name) and is_yaml_name(other):
        return FilePath(name).resolve() == FilePath(other).resolve()
    return name == other


def _extended(base: Layer, own: Layer, where: str, base_name: str) -> Layer:
    """A spec laid over the one that it extends."""
    marks = dict(base.marks)
    problems = [*base.problems, *own.problems]
    below = {key: value for key, value in base.data.items() if key not in ("name", "description")}
    for key in ("name", "description"):
        marks.pop((key,), None)
    data = _laid_over(below, own.data, (), own, marks, problems)
    if "name" not in data and not any(problem.path == ("name",) for problem in problems):
        stem = FilePath(where).stem
        problems.append(
            Problem(
                ("name",),
                "the spec has no name",
                "nothing: the name of what it extends is not inherited",
                "name: NAME",
                f"add `name: {stem if re.fullmatch(SPEC_NAME, stem) else 'my-spec'}`",
                Location(where, 1),
            )
        )
    if not data.get("description"):
        data["description"] = described_change(base_name, base.data, data)
    return Layer(data, marks, problems)


def _laid_over(below: Any, above: Any, path: Path, own: Layer, marks: Marks, problems: list[Problem]) -> Any:
    """Own data over those below; `marks` become those of the result."""
    is_case = len(path) == 5 and path[0] == "regimes"  # the mechanism of a factor in a case
    is_whole = isinstance(above, dict) and (
        ("role" in above and len(path) == 4 and path[0] == "views")
        or ("name" in above and (path[-1:] in (("mechanism",), ("change",)) or is_case))
        or (len(path) == 2 and path[0] in (*BESIDE, "interventions"))
        or (len(path) == 3 and path[0] == "views" and is_subset(path[2], above))
        or (len(path) == 3 and path[::2] == ("regimes", "chosen"))
    )
    if is_whole or not (isinstance(below, dict) and isinstance(above, dict)):
        if len(path) == 2 and path[0] in BESIDE and below is not None and below != above:
            problems.append(
                Problem(
                    path,
                    f"two different files are called {path[1]!r}, one of them in what it extends",
                    repr(path[1]),
                    "names that differ",
                    "rename one of them",
                    own.marks.get(path),
                )
            )
        for each in [each for each in marks if each[: len(path)] == path]:
            del marks[each]
        marks.update({each: place for each, place in own.marks.items() if each[: len(path)] == path})
        return above if not isinstance(above, dict) else _without_null(above)
    merged = {**below}
    for key, value in above.items():
        place = (*path, key)
        if value is None:
            _take_away(merged, place, own, marks, problems)
            continue
        merged[key] = _laid_over(below.get(key), value, place, own, marks, problems)
        if place in own.marks:
            marks[place] = own.marks[place]
    return merged


def _without_null(above: dict[str, Any]) -> dict[str, Any]:
    """What replaces something whole: there, null stands for a key that is left out."""
    return {key: value for key, value in above.items() if value is not None}


def _take_away(merged: dict[str, Any], path: Path, own: Layer, marks: Marks, problems: list[Problem]) -> None:
    """Take a key away that is null. One that is not there was to be another; a whole section is a slip."""
    is_name = (len(path) == 2 and path[0] in ("factors", "views")) or (len(path) == 4 and path[2] == "factors")
    if path in (("factors",), ("views",), ("splits",), ("name",)) or (len(path) == 3 and path[2] == "factors"):
        problems.append(
            Problem(
                path,
                "the key is empty",
                "nothing",
                "entries below it, indented",
                "write its entries, or leave the key out",
                own.marks.get(path),
            )
        )
    elif is_name and path[-1] not in merged:
        known = [str(key) for key in merged]
        kind = "view" if path[0] == "views" and len(path) == 2 else "factor"
        problems.append(
            Problem(
                path,
                f"there is no {kind} {path[-1]!r} to take away{hint(str(path[-1]), known)}",
                "null",
                listed(known),
                "correct the name",
                own.marks.get(path),
            )
        )
    else:
        merged.pop(str(path[-1]), None)
        marks[path] = own.marks[path]
