"""Paths on the command line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from m3di.errors import UsageError


class UserPath(click.Path):
    """A path in which a leading `~` is the user's folder: a shell does not expand it in `--out=~/x`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Expand the path.

        Raises:
            UsageError: It is a URL, which would become a folder `file:` or `s3:` here.
        """
        if "://" in os.fspath(value):
            raise UsageError(
                "this is a path of this machine, not a URL",
                where=param.opts[-1] if param is not None else None,
                got=os.fspath(value),
                expected="a file or a folder",
                next_step="name a path; `m3di push URL FOLDER` copies a dataset to here",
            )
        return Path(os.path.expanduser(value))  # noqa: PTH111 - that of pathlib raises where there is no such user


class Place(click.ParamType):  # type: ignore[type-arg]  # generic in recent ones of click only
    """A path or a URL, as text; a shell completes paths."""

    name = "text"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Let the shell complete it."""
        return [CompletionItem(incomplete, type="file")]
