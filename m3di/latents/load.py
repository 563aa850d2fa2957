"""Spec files: the built-in ones by name, anybody's by path; every problem of a file in one report."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from m3di.errors import UsageError, near_match
from m3di.latents.captions import check_template
from m3di.latents.spec import Spec


def spec_names() -> list[str]:
    """Names of the built-in specs."""
    return sorted(
        entry.name.removesuffix(".yaml")
        for entry in files("m3di.latents.specs").iterdir()
        if entry.name.endswith(".yaml")
    )


def load_spec(name: str | os.PathLike[str]) -> Spec:
    """The spec with a built-in name, or in a file whose name ends in `.yaml` or `.yml`.

    Raises:
        UsageError: There is no such spec, or the file is no valid spec.
    """
    text = os.fspath(name)
    if text.endswith((".yaml", ".yml")):
        path = Path(text)
        if not path.is_file():
            raise UsageError("there is no such spec file", where=text, next_step="check the path given to --spec")
        return parse_spec(path.read_text(encoding="utf-8"), where=text)
    if text not in spec_names():
        near = near_match(text, spec_names())
        raise UsageError(
            f"no spec is called {text!r}",
            where="--spec",
            expected=f"one of {', '.join(spec_names())}, or the path of a .yaml file",
            next_step=f"did you mean {near!r}?" if near else None,
        )
    return parse_spec((files("m3di.latents.specs") / f"{text}.yaml").read_text(encoding="utf-8"), where=text)


def parse_spec(text: str, *, where: str) -> Spec:
    """Validate the text of a spec file.

    Raises:
        UsageError: It is not YAML, or no valid spec; the message holds every problem with its place.
    """
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError("the spec is not valid YAML", where=where, got=error) from None
    if not isinstance(data, dict):
        raise UsageError("the spec is not a mapping", where=where, got=type(data).__name__, expected="key: value lines")
    return spec_from_dict(data, where=where)


def spec_from_dict(data: dict[str, Any], *, where: str) -> Spec:
    """Validate a spec given as plain data (the form in `dataset.json`)."""
    try:
        spec = Spec.model_validate(data)
    except ValidationError as error:
        problems = []
        for problem in error.errors():
            place = ".".join(str(part) for part in problem["loc"])
            message = problem["msg"].removeprefix("Value error, ")
            if problem["type"] == "extra_forbidden":
                message = "unknown key"
            problems += [f"{place}: {line}" if place else line for line in message.splitlines()]
        raise _invalid(problems, where) from None
    problems = [
        f"views.{name}: {problem}"
        for name, view in spec.views_of("text").items()
        for problem in check_template(spec, view)
    ]
    if problems:
        raise _invalid(problems, where)
    return spec


def _invalid(problems: list[str], where: str) -> UsageError:
    listed = "".join(f"\n  - {problem}" for problem in problems)
    return UsageError(f"the spec has {len(problems)} problem{'s'[: len(problems) > 1]}:{listed}", where=where)
