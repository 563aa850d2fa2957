"""How a spec names a mechanism: its parents, those of earlier frames too, and its parameters."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

_EARLIER = re.compile(r"([A-Za-z][A-Za-z0-9_]*)@-([1-9][0-9]{0,5})")


def _as_tuple(value: Any) -> Any:
    """YAML and JSON know lists only."""
    return tuple(value) if isinstance(value, list) else value


@lru_cache(maxsize=4096)
def earlier(parent: str) -> tuple[str, int]:
    """A parent `NAME@-K` as its name and how many frames earlier it lies; 0 for the same frame."""
    found = _EARLIER.fullmatch(parent)
    return (found[1], int(found[2])) if found else (parent, 0)


class MechanismUse(BaseModel):
    """A mechanism by name, its parents, and its parameters beside them.

    Attributes:
        name: Its name; the others below have what parameters each takes.
        parents: The factors it depends on; those that parameters name need not be here. `NAME@-1` is one frame earlier.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str
    parents: Annotated[tuple[str, ...], BeforeValidator(_as_tuple)] = ()

    @property
    def parameters(self) -> dict[str, Any]:
        """What the spec sets beside name and parents."""
        return dict(self.model_extra or {})

    @property
    def causes(self) -> tuple[str, ...]:
        """Names of the parents, in any frame, each once."""
        return tuple(dict.fromkeys(earlier(parent)[0] for parent in self.parents))

    @property
    def present(self) -> tuple[str, ...]:
        """The parents of the same frame."""
        return tuple(parent for parent in self.parents if not earlier(parent)[1])

    @property
    def lag(self) -> int:
        """How many frames earlier the earliest parent lies."""
        return max((earlier(parent)[1] for parent in self.parents), default=0)
