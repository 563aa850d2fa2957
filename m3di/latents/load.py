"""Spec files: the built-in ones by name, others by path; every problem of a file in one report.

A spec may say `extends: NAME|FILE`: it is then that spec with its own keys laid over it, mapping by mapping. A key
set to null is taken away; a mechanism with a `name`, and the use of a factor with a `role`, replace the other whole.
Name and description are not inherited. Files that a spec names (`extends`, `template`, `plugins`) lie beside it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from importlib.resources import files
from pathlib import Path as FilePath

from m3di.errors import UsageError, did_you_mean
from m3di.latents.conditions import late_condition
from m3di.latents.difference import described_change
from m3di.latents.interventions import do
from m3di.latents.layer import Layer, take_in_files
from m3di.latents.mechanisms import run_plugin
from m3di.latents.overlay import keep_proportions, laid_over
from m3di.latents.problems import UNSET, Origin, Problem, fault_problems, report
from m3di.latents.resolve import TITLE, validated
from m3di.latents.spec import SPEC_NAME, Spec
from m3di.latents.splits import in_every_split
from m3di.latents.subsets import SUBSETS, never_chosen_problems
from m3di.latents.yaml_text import Document, Location, Path, is_yaml_name, read_text, read_yaml


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
    problems += never_chosen_problems(_subsets(spec.base))  # of a split, it may be meant
    problems += [*_undoable(spec.base, ()), *_given_afterwards(spec.base, ())]
    for split, variant in spec.variants.items() if not problems else ():
        problems += [*_undoable(variant, ("splits", split)), *_given_afterwards(variant, ("splits", split))]
    if problems:
        raise report(TITLE, problems, layer.data, origin)
    return in_every_split(spec, lambda each: do(each, each.interventions) if each.interventions else each)


def _subsets(spec: Spec) -> Iterator[tuple[Path, object]]:
    """Where a spec may say how a random subset is drawn."""
    for name, view in spec.views.items():
        for key in SUBSETS:
            yield ("views", name, key), getattr(view, key)
    for name, regime in spec.regimes.items():
        yield ("regimes", name, "chosen"), regime.chosen


def _undoable(spec: Spec, below: Path) -> Iterator[Problem]:
    """Interventions of a spec that do not fit it."""
    for target, intervention in spec.interventions.items():
        try:
            do(spec, {target: intervention})
        except UsageError as error:
            details = error.details
            path: Path = (*below, "interventions", target)
            yield Problem(path, error.what, details.get("got", UNSET), details.get("expected"), details.get("next"))


def _given_afterwards(spec: Spec, below: Path) -> Iterator[Problem]:
    """A condition that was added to a resolved spec: its interventions have replaced what it is looked at in."""
    if spec.given is None or spec.given.factual is not None:
        return
    for target, intervention in spec.interventions.items():
        try:
            done = do(spec, {target: intervention}).plain
        except UsageError:
            continue  # reported
        if all(done[key] == spec.plain[key] for key in ("factors", "views")):
            yield from late_condition(spec, below)
            return


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
    data = laid_over(below, own.data, (), own, marks, problems)
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
    keep_proportions(base.data.get("splits"), own.data.get("splits"), data.get("splits"))
    return Layer(data, marks, problems)
