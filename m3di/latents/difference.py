"""What a spec changes in the one that it extends, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

MAX_PLACES = 12


def described_change(base_name: str, base: dict[str, Any], data: dict[str, Any]) -> str:
    """`Extends BASE; changed: ...`: the description of a spec that has none of its own.

    Args:
        base_name: What `extends` says.
        base: The data of that spec.
        data: Those of the spec.
    """
    ignored = ("name", "description", "plugins", "templates", "texts")
    one, other = ({key: each for key, each in whole.items() if key not in ignored} for whole in (base, data))
    places = list(_places(one, other, ()))
    of_base = str(base.get("description", ""))
    name = str(base.get("name", base_name))
    about = f"{name} ({of_base.rstrip('.')})" if of_base.startswith("Extends ") else name
    if not places:
        return f"Extends {about}; changed: nothing."
    more = f" and {len(places) - MAX_PLACES} more" if len(places) > MAX_PLACES else ""
    return f"Extends {about}; changed: {', '.join(places[:MAX_PLACES])}{more}."


def changed_places(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Where the data of two specs differ, as `described_change` names it."""
    return list(_places(one, other, ()))


def _places(base: dict[str, Any], data: dict[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """The deepest keys that tell what is different: a mechanism, the use of a factor."""
    for key in dict.fromkeys((*base, *data)):
        place = ".".join((*path, key))
        if key not in data:
            yield f"{place} taken away"
        elif key not in base:
            yield f"{place} added"
        elif base[key] != data[key]:
            deeper = isinstance(base[key], dict) and isinstance(data[key], dict) and key not in ("mechanism", "change")
            is_use = path[:1] == ("views",) and path[2:] == ("factors",)
            if deeper and not (is_use and "role" in data[key]):
                yield from _places(base[key], data[key], (*path, key))
            else:
                yield place
