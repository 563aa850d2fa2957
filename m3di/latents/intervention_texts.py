"""Interventions as text: as they are written on the command line, and in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from m3di.errors import UsageError
from m3di.latents.interventions import do
from m3di.latents.replacement import Intervention
from m3di.latents.spec import Spec
from m3di.latents.yaml_text import read_yaml


def parse_do(text: str) -> tuple[str, Intervention]:
    """An intervention as written on the command line.

    `object_xpos=right`, `object_color=0.2`, `hue=uniform`, and as a YAML mapping `object_color={strength: 0.5}`.

    Raises:
        UsageError: It has no `=`, or the mapping is none.
    """
    target, equals, value = text.partition("=")
    target, value = target.strip(), value.strip()
    if not (equals and target and value):
        raise UsageError(
            "an intervention is written FACTOR=VALUE",
            where="--do",
            got=repr(text),
            expected="for example object_xpos=right, object_color=0.2, object_color=uniform or "
            "'object_color={strength: 0.5}'",
            next_step="quote it for the shell if it has spaces or brackets",
        )
    if value.startswith("{"):
        document = read_yaml(value, f"--do {target}", "intervention")
        for fault in document.faults:
            raise UsageError(
                fault.what, where=f"--do {target}", got=value, expected=fault.expected, next_step=fault.next_step
            )
        return target, dict(document.data)
    try:
        return target, float(value)
    except ValueError:
        return target, value


def intervene(spec: Spec, interventions: Iterable[str]) -> Spec:
    """A spec under interventions written as on the command line, see `parse_do`.

    Raises:
        UsageError: One cannot be read, does not fit the spec, or is given twice.
    """
    parsed: dict[str, Intervention] = {}
    for text in interventions:
        target, intervention = parse_do(text)
        if target in parsed:
            raise UsageError(
                f"two interventions on {target!r}",
                where="--do",
                got=f"{target}={parsed[target]} and {text}",
                expected="one for each factor",
                next_step="leave one of them out",
            )
        parsed[target] = intervention
    return do(spec, parsed) if parsed else spec


def told(interventions: Mapping[str, Any]) -> list[str]:
    """Interventions in words: `object_xpos = right`, `object_color = uniform`, `object_color: strength 0.5`."""
    lines = []
    for target, record in interventions.items():
        if isinstance(record, Mapping):
            given = [f"{key} {value}" for key, value in record.items() if key != "name"]
            name = [str(record["name"])] if "name" in record else []
            lines.append(f"{target}: {', '.join([*name, *given])}")
        else:
            lines.append(f"{target} = {f'{record:g}' if isinstance(record, float) else record}")
    return lines
