"""Spec files: the built-in ones by name, anybody's by path; every problem of a file in one report.

A spec may say `extends: NAME|FILE`: it is then that spec with its own keys laid over it, mapping by mapping. A key
set to null is taken away; a mechanism with a `name`, and the use of a factor with a `role`, replace the other whole.
"""

from __future__ import annotations

import os
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from m3di.errors import UsageError, did_you_mean
from m3di.latents.captions import check_template, choice_factors
from m3di.latents.spec import STORED, Spec, hint

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def spec_names() -> list[str]:
    """Names of the built-in specs."""
    found = (entry.name for entry in files("m3di.latents.specs").iterdir())
    return sorted(name.removesuffix(".yaml") for name in found if name.endswith(".yaml"))


def load_spec(name: str | os.PathLike[str]) -> Spec:
    """The spec with a built-in name, or in a file whose name ends in `.yaml` or `.yml`.

    Raises:
        UsageError: There is no such spec, or the file is no valid spec.
    """
    text = os.fspath(name)
    return _validated(_read(text), where=text)


def parse_spec(text: str, *, where: str) -> Spec:
    """Validate the text of a spec file.

    Raises:
        UsageError: It is not YAML, or no valid spec; the message holds every problem with its place.
    """
    return _validated(_extended(_mapping(text, where), where), where=where)


def spec_from_dict(data: dict[str, Any], *, where: str, stored: bool = False) -> Spec:
    """Validate a resolved spec given as plain data, see `plain_spec`.

    Args:
        data: The spec.
        where: Where it comes from, for messages.
        stored: It comes from a dataset: its mechanisms, templates and parents are not asked for, since reading a
            dataset needs none of them.

    Raises:
        UsageError: It is no valid spec.
    """
    return _validated(data, where=where, stored=stored)


def plain_spec(spec: Spec) -> dict[str, Any]:
    """A spec as plain data: JSON, YAML and `spec_from_dict` take it."""
    plain: dict[str, Any] = spec.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True)
    return plain


def to_yaml(spec: Spec) -> str:
    """A resolved spec as the text of a spec file."""
    text: str = yaml.safe_dump(plain_spec(spec), sort_keys=False, allow_unicode=True, width=110)
    return text


def _read(name: str) -> dict[str, Any]:
    """The data of a spec by name or path, with what it extends."""
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
        if not path.is_file():
            raise UsageError("there is no such spec file", where=name, next_step="check the path given to --spec")
        return _extended(_mapping(path.read_text(encoding="utf-8"), name), name)
    if name not in spec_names():
        raise UsageError(
            f"no spec is called {name!r}",
            where="--spec",
            expected="a name that `m3di specs list` shows, or the path of a .yaml file",
            next_step=did_you_mean(name, spec_names(), otherwise="m3di specs list"),
        )
    text = (files("m3di.latents.specs") / f"{name}.yaml").read_text(encoding="utf-8")
    return _extended(_mapping(text, name), name)


def _mapping(text: str, where: str) -> dict[str, Any]:
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError("the spec is not valid YAML", where=where, got=error) from None
    if not isinstance(data, dict):
        raise UsageError("the spec is not a mapping", where=where, got=type(data).__name__, expected="key: value lines")
    return data


def _extended(data: dict[str, Any], where: str) -> dict[str, Any]:
    if "extends" not in data:
        return data
    base = str(data["extends"])
    if base.endswith((".yaml", ".yml")):
        base = str(Path(where).parent / base)
    if Path(base) == Path(where):
        raise UsageError("the spec extends itself", where=where)
    own = {key: value for key, value in data.items() if key != "extends"}
    merged: dict[str, Any] = _laid_over(_read(base), own)
    return merged


def _laid_over(below: Any, above: Any, key: str = "") -> Any:
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    if "role" in above or ("name" in above and key in ("mechanism", "change")):
        return above
    merged = {**below}
    for each, value in above.items():
        if value is None:
            merged.pop(each, None)
        else:
            merged[each] = _laid_over(below.get(each), value, each)
    return merged


def _validated(data: dict[str, Any], *, where: str, stored: bool = False) -> Spec:
    problems = [*_name_problems(data), *([] if stored else _add_choices(data := _copied(data)))]
    try:
        spec = Spec.model_validate(data, context={STORED: stored})
    except ValidationError as error:
        raise _invalid([*problems, *_lines(error)], where) from None
    if not stored and not problems:
        for name, view in spec.views.items():
            if view.modality == "text":
                problems += [f"views.{name}: {problem}" for problem in check_template(spec, name)]
    if problems:
        raise _invalid(problems, where)
    return spec


def _copied(data: dict[str, Any]) -> dict[str, Any]:
    return {key: _copied(value) if isinstance(value, dict) else value for key, value in data.items()}


def _name_problems(data: dict[str, Any]) -> list[str]:
    """Names become columns, file extensions and words of a template."""
    problems = []
    for section in ("factors", "views"):
        for name in data.get(section) or {}:
            if not NAME.fullmatch(str(name)):
                problems.append(f"{section}.{name}: a name is letters, digits and _, the first one a letter")
    return problems


def _add_choices(data: dict[str, Any]) -> list[str]:
    """Declare the factors that text views draw (phrasing, synonyms, clauses), where the spec does not do it itself."""
    factors, views = data.get("factors"), data.get("views")
    if not isinstance(factors, dict) or not isinstance(views, dict):
        return []
    problems = []
    for name, view in views.items():
        if not isinstance(view, dict) or view.get("modality") != "text" or not isinstance(view.get("factors"), dict):
            continue
        try:
            choices = choice_factors(str(name), view)
        except (UsageError, TypeError, ValueError) as error:
            problems.append(f"views.{name}.template: {error}")
            continue
        for factor, declared in choices.items():
            factors.setdefault(factor, declared)
            view["factors"].setdefault(factor, "private")
    return problems


def _lines(error: ValidationError) -> list[str]:
    """One line a problem: its place in the file, what is wrong, and the near match of an unknown key."""
    lines = []
    for problem in error.errors():
        place = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = f"unknown key{hint(str(problem['loc'][-1]), _KEYS)}"
        lines += [f"{place}: {line}" if place else line for line in message.splitlines()]
    return lines


_KEYS = (
    *("name", "description", "factors", "views", "pairs", "sequence", "splits", "extends"),
    *("type", "values", "palettes", "range", "kind", "unit", "physical", "saturation", "wheel", "mechanism"),
    *("modality", "shape", "material", "lights", "raised", "template", "mentions"),
    *("role", "value", "change", "counterfactual", "length", "parents"),
)


def _invalid(problems: list[str], where: str) -> UsageError:
    listed = "".join(f"\n  - {problem}" for problem in problems)
    return UsageError(f"the spec has {len(problems)} problem{'s'[: len(problems) > 1]}:{listed}", where=where)
