"""The face of a room: each name is imported on first use, so that a command waits for no other room."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any


def lazy_names(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make `__getattr__` and `__dir__` of a package from the text of its module `names`.

    That module imports names from where they are, and lists them in `__all__`. Type checkers follow it; here it is read
    and not run.
    """

    @cache
    def homes() -> dict[str, str]:
        found = find_spec(f"{package}.names")
        source = found.loader.get_source(found.name) if found and found.loader else ""  # type: ignore[attr-defined]
        imports = [node for node in ast.parse(source).body if isinstance(node, ast.ImportFrom)]
        return {alias.name: str(node.module) for node in imports for alias in node.names if node.module != "__future__"}

    def find(name: str) -> Any:
        if name == "__all__":
            return sorted(homes())
        if name.startswith("__") or name not in homes():
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(homes()[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return find, lambda: sorted(homes())
