"""Named tuples for items."""

from __future__ import annotations

from collections import namedtuple
from functools import cache
from typing import Any


@cache
def item_type(fields: tuple[str, ...]) -> type[Any]:
    """Make the named tuple with these fields; its instances can be pickled."""
    base = namedtuple("Item", fields)  # type: ignore[misc]

    def reduce(item: Any) -> tuple[Any, ...]:
        return _rebuilt, (fields, tuple(item))

    return type("Item", (base,), {"__slots__": (), "__reduce__": reduce})


def _rebuilt(fields: tuple[str, ...], values: tuple[Any, ...]) -> Any:
    return item_type(fields)(*values)
