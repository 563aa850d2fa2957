"""What a run's config.json says, against what is asked for now."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from m3di.learn.training.config import DEFAULTS, FREE_ON_RESUME

Changes = dict[str, tuple[Any, Any]]  # by its place, the old and the new value


def differences(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> Changes:
    """List differences of a stored description from a wanted one, of all that the weights depend on."""
    found = changed_settings(stored, wanted["config"], DEFAULTS, FREE_ON_RESUME)
    for name in ("precision", "device_type", "n_threads", "world_size"):
        if name == "n_threads" and stored.get("device_type") == wanted.get("device_type") == "cuda":
            continue  # nothing that the weights depend on is computed by them
        if stored.get(name) != wanted.get(name):
            found.setdefault(name, (stored.get(name), wanted.get(name)))
    before, after = stored.get("data", {}), wanted["data"]
    if before.get("fingerprint") != after["fingerprint"]:
        found["data.fingerprint"] = (before.get("fingerprint"), after["fingerprint"])
    # Another split, filter, vocabulary, transform or validation. A run of before one of them was noted may go on.
    told = {name: each for name, each in after.items() if name not in ("root", "fingerprint")}
    found |= _noted_differences(before, told, "data")
    measured = "image_statistics"
    return found | _noted_differences(stored.get(measured, {}), wanted.get(measured, {}), measured)


def _noted_differences(before: Mapping[str, Any], after: Mapping[str, Any], place: str) -> Changes:
    """List values that two notes both have, and that differ."""
    found: Changes = {}
    for name in after:
        if name not in before:
            continue
        old, new, where = before[name], json.loads(json.dumps(after[name])), f"{place}.{name}"
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found |= _noted_differences(old, new, where)
        elif old != new and not _nearly_equal(old, new):
            found[where] = (old, new)
    return found


def _nearly_equal(old: Any, new: Any) -> bool:
    """Whether these are lists of fractions whose last digits differ: another decoder of JPEG may round otherwise."""
    lists = [each for each in (old, new) if isinstance(each, list) and all(isinstance(one, float) for one in each)]
    return len(lists) == 2 and len(old) == len(new) and np.allclose(old, new, rtol=0, atol=1e-4)


def changed_settings(
    stored: Mapping[str, Any], wanted: Mapping[str, Any], defaults: Mapping[str, Any], free: Collection[str]
) -> Changes:
    """List settings that differ from a stored description.

    Args:
        stored: Of a run folder; a run of before a setting was there has what is its default now.
        wanted: The settings now.
        defaults: See `stored`.
        free: Names of settings that may differ.
    """
    before = {**defaults, **stored.get("config", {})}
    after = {name: json.loads(json.dumps(value)) for name, value in wanted.items()}  # tuples are lists in the file
    changed = [name for name in after if name not in free and before.get(name) != after[name]]
    return {name: (before.get(name), after[name]) for name in changed}


def changes_of_machine(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run goes on with now, of all that may differ, where it is not what it had last.

    Args:
        stored: Of the run folder; `continued` lists the changes so far.
        wanted: The description now.
    """
    last = _may_differ(stored)
    for each in stored.get("continued", ()):
        last |= {name: each[name] for name in last if name in each}
    return {name: each for name, each in _may_differ(wanted).items() if each != last[name]}


def _may_differ(description: Mapping[str, Any]) -> dict[str, Any]:
    config = {**DEFAULTS, **description.get("config", {})}
    settings = json.loads(json.dumps({name: config.get(name) for name in sorted(FREE_ON_RESUME)}))
    return {**{name: description.get(name) for name in ("device", "n_threads", "versions")}, "settings": settings}
