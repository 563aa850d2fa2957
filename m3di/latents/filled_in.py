"""What a spec file need not say and a resolved spec says: the parents that parameters name, `given` as a mapping."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from m3di.latents.conditions import PATH
from m3di.latents.expressions import CONDITION
from m3di.latents.factor import STORED, WHENCE, Factor
from m3di.latents.mechanisms import find_mechanism
from m3di.latents.problems import Problem
from m3di.latents.regimes import mechanisms_in


def spread_given(data: dict[str, Any]) -> list[Problem]:
    """Write `given: TEXT` as the mapping that a resolved spec has."""
    given = data.get("given")
    if isinstance(given, str):
        data["given"] = {"condition": given}
    elif given is not None and not isinstance(given, dict):
        del data["given"]
        next_step = "write one, such as  given: abs(object_xpos - object_ypos) < 0.5"
        return [Problem(PATH, "the condition is a text", str(given), CONDITION.expected, next_step)]
    return []


def add_parents(data: dict[str, Any]) -> None:
    """Write down the parents that parameters of mechanisms name, where `parents` does not."""
    factors, plugins = data.get("factors"), data.get("plugins")
    known = {}
    for name, each in factors.items() if isinstance(factors, dict) else ():
        try:
            known[str(name)] = Factor.model_validate(_without_mechanisms(each), context={STORED: True})
        except (ValidationError, TypeError):
            continue  # reported with the factor
    texts = (
        {str(name): text for name, text in plugins.items() if isinstance(text, str)}
        if isinstance(plugins, dict)
        else {}
    )
    for _, use in mechanisms_in(data):
        mechanism = find_mechanism(str(use.get("name")), texts)
        declared = use.get("parents", [])
        if mechanism is None or not mechanism.varying or len(declared or []) != (mechanism.n_parents or 0):
            continue
        parameters = {key: each for key, each in use.items() if key not in ("name", "parents")}
        try:
            mechanism.parameters.model_validate(parameters)
        except ValidationError:
            continue  # reported with the mechanism
        named = [each for each in mechanism.named(parameters, known) if each not in declared]
        if named:
            use["parents"] = [*declared, *named]


def _without_mechanisms(factor: Any) -> Any:
    return {key: each for key, each in factor.items() if key not in WHENCE} if isinstance(factor, dict) else factor
