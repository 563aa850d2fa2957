"""Where two JSON documents differ, line by line."""

from __future__ import annotations

import json
from typing import Any


def json_differences(one: Any, other: Any, place: str = "") -> list[str]:
    """List where two documents differ: `place: one | other`, one line a place."""
    if isinstance(one, dict) and isinstance(other, dict):
        return [
            line
            for key in sorted({*one, *other})
            for line in json_differences(one.get(key), other.get(key), f"{place}.{key}".lstrip("."))
        ]
    return [] if one == other else [f"{place}: {_short(one)} | {_short(other)}"]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
