"""Show the examples of docstrings as Python: mkdocstrings knows them by the heading `Examples:` only."""

from __future__ import annotations

from typing import Any

import griffe


class Examples(griffe.Extension):
    """Renames the heading."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change what the site shows of an object; the module stays as it is."""
        if obj.docstring is not None:
            obj.docstring.value = obj.docstring.value.replace("Example:\n", "Examples:\n")
