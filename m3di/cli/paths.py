"""Paths on the command line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click


class UserPath(click.Path):
    """A path in which a leading `~` is the user's folder: a shell does not expand it in `--out=~/x`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Expand the path."""
        return Path(os.path.expanduser(value))  # noqa: PTH111 - that of pathlib raises where there is no such user
