"""What commands say, and where: answers go to stdout, all else to stderr; --quiet says less, --verbose more.

A command prints what it was asked for with `click.echo`. A closing line is `say`, a remark is `note`, and what only
--verbose shows is `detail`. With --json the answer is one document, `print_json`, and closing lines go to stderr.
"""

from __future__ import annotations

import json
import math
import platform
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click
from click.core import ParameterSource

from m3di._version import __version__
from m3di.errors import M3diError, UsageError, printable, without_credentials

QUIET, USUAL, VERBOSE = -1, 0, 1
_LEVEL, _JSON = "m3di.level", "m3di.json"  # in the context, which a group shares with its commands


def level() -> int:
    """How much is to be said: QUIET, USUAL or VERBOSE."""
    context = click.get_current_context(silent=True)
    return context.meta.get(_LEVEL, (USUAL,))[0] if context else USUAL


def _sets(wanted: int) -> Callable[[click.Context, click.Parameter, bool], None]:
    def callback(context: click.Context, option: click.Parameter, is_given: bool) -> None:
        if not is_given:
            return
        is_typed = context.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE
        before, of, was_typed = context.meta.get(_LEVEL, (wanted, "", False))
        if of == context.command_path and before != wanted:  # what a command says goes before what its group says
            if is_typed is was_typed:
                raise UsageError("--quiet and --verbose exclude each other", where=of, next_step="leave one out")
            if was_typed:
                return
        context.meta[_LEVEL] = (wanted, context.command_path, is_typed)

    return callback


def habits() -> list[click.Option]:
    """Make the options that every command and group has."""
    return [
        click.Option(
            ["-q", "--quiet"], is_flag=True, expose_value=False, callback=_sets(QUIET),
            help="Print errors, and what was asked for; no progress, notes and closing lines.",
        ),
        click.Option(
            ["-v", "--verbose"], is_flag=True, expose_value=False, callback=_sets(VERBOSE),
            help="Also print where values of options come from, more lines of progress, and where an error arose.",
        ),
    ]  # fmt: skip


def say(text: str) -> None:
    """Print a closing line: what was done, where to look. It goes to stderr where stdout is for a JSON document."""
    if level() > QUIET:
        click.echo(text, err=_wants_json())


def note(text: object) -> None:
    """Print a remark on stderr."""
    if level() > QUIET:
        click.echo(f"note: {text}", err=True)


def remark(text: str) -> None:
    """Print a line on stderr that is no note: what happens just now."""
    if level() > QUIET:
        click.echo(text, err=True)


def detail(text: str) -> None:
    """Print a line on stderr if --verbose is given."""
    if level() >= VERBOSE:
        click.echo(printable(without_credentials(text)), err=True)


@contextmanager
def traced() -> Iterator[None]:
    """With --verbose, print how long a command took, and where its error arose: `main` prints the message alone."""
    began = time.monotonic()
    try:
        yield
    except M3diError:
        detail(traceback.format_exc().rstrip())
        raise
    finally:
        detail(f"m3di {__version__}, Python {platform.python_version()}: {time.monotonic() - began:.1f} s")


def _wants_json() -> bool:
    context = click.get_current_context(silent=True)
    return bool(context and context.meta.get(_JSON))


def _noted(context: click.Context, option: click.Parameter, is_given: bool) -> bool:
    context.meta[_JSON] = is_given
    return is_given


JSON = click.option(
    "--json", "as_json", is_flag=True, callback=_noted, help="Print one JSON document instead; messages go to stderr."
)


def print_json(document: Mapping[str, Any]) -> None:
    """Print a document; a number that is none, or is infinite, is null."""
    click.echo(json.dumps(_plain(document), ensure_ascii=False, indent=1, allow_nan=False))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)
