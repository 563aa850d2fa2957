"""What is asked of a factor, by an intervention or a case of a regime, and the mechanism that it becomes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from m3di.errors import UsageError
from m3di.latents.factor import Factor
from m3di.latents.label_columns import namesake
from m3di.latents.mechanisms import find_mechanism, mechanism_names
from m3di.latents.problems import hint

Intervention = float | str | Mapping[str, Any]


@dataclass(frozen=True)
class Replacement:
    """What a mechanism becomes: `whole` replaces it, else its parameters are laid over. `record` is what was asked."""

    data: dict[str, Any]
    whole: bool
    record: float | str | dict[str, Any]
    plugins: Mapping[str, str] = field(default_factory=dict)


def asked_mechanism(factor: Factor, intervention: Intervention, where: str, plugins: Mapping[str, str]) -> Replacement:
    """What an intervention makes of a factor's mechanism.

    Args:
        factor: The factor.
        intervention: A raw value, the name of a value or of a mechanism, or a mapping.
        where: Where it is asked for, for messages.
        plugins: Texts of the plugins of the spec.

    Raises:
        UsageError: It is no value of the factor and no mechanism.
    """
    if isinstance(intervention, Mapping):
        given = dict(intervention)
        if not given:
            raise UsageError(
                "the mapping of an intervention is empty",
                where=where,
                got="{}",
                expected="{name: MECHANISM, ...} or parameters of the factor's own one",
                next_step="name what is to change, such as {strength: 0.5}",
            )
        return Replacement(given, "name" in given, given, plugins)
    if isinstance(intervention, str):
        if factor.type == "categorical" and intervention in factor.names:
            return _constant(factor, factor.names.index(intervention))
        if find_mechanism(intervention, plugins) is not None:
            return Replacement({"name": intervention}, True, {"name": intervention})
        known = factor.names if factor.type == "categorical" and factor.values else ()
        raise UsageError(
            f"{intervention!r} is neither a value of the factor nor a mechanism"
            f"{hint(intervention, (*known, *mechanism_names(plugins)))}",
            where=where,
            got=repr(intervention),
            expected=", ".join((*known, _numbers(factor), "a mechanism such as uniform")),
            next_step="correct the value",
        )
    _check_no_name(factor, intervention, where)
    low, high = factor.bounds
    is_number = not isinstance(intervention, bool) and math.isfinite(intervention) and low <= intervention <= high
    if not is_number or (factor.type != "continuous" and intervention != int(intervention)):
        raise UsageError(
            "the value is not one of the factor's",
            where=where,
            got=f"{intervention:g}",
            expected=_numbers(factor),
            next_step="take another value",
        )
    return _constant(factor, intervention)


def _check_no_name(factor: Factor, number: float, where: str) -> None:
    """A number is a raw value. Where a value of another number has it as its name, either could be meant."""
    if factor.type != "categorical":
        return
    index = namesake(factor.names, number)
    if index is not None:
        raise UsageError(
            f"{number:g} is the name of value {index}, and the number of another: which is meant?",
            where=where,
            got=f"{number:g}",
            expected=", ".join(f"{each}: {value!r}" for each, value in enumerate(factor.names[:12])),
            next_step=f"for the value called {factor.names[index]!r}: {{name: constant, value: {index}}}; "
            f"for value {number:g}: {{name: constant, value: {number:g}}}",
        )


def _numbers(factor: Factor) -> str:
    low, high = factor.bounds
    kind = "a number" if factor.type == "continuous" else "a whole number"
    return f"{kind} from {low:g} to {high:g}" if math.isfinite(low) else "a finite number"


def _constant(factor: Factor, value: float) -> Replacement:
    record = factor.value_name(value) if factor.type == "categorical" else float(value)
    return Replacement({"name": "constant", "value": float(value)}, True, record)


def replaced(mechanism: dict[str, Any], replacement: Replacement) -> dict[str, Any]:
    if replacement.whole:
        return replacement.data
    kept, known = dict(mechanism), find_mechanism(str(mechanism.get("name")), replacement.plugins)
    if known is not None and known.varying and "parents" in kept:
        kept["parents"] = kept["parents"][: known.n_parents]  # those that the new parameters name are found again
    return {**kept, **replacement.data}
