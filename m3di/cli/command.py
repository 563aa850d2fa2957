"""Base of all commands: they take values from environment variables and a config file, and messages name the source.

`m3di render --size 64` overrides M3DI_RENDER_SIZE=64, which overrides `render: {size: 64}` in the file of `--config`,
which overrides a preset and the default. An unknown variable, section or key is not ignored silently.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from m3di.cli.from_fields import FieldOption, Fields
from m3di.cli.help_page import typed, write_examples, write_options
from m3di.cli.telling import detail, habits, traced
from m3di.errors import UsageError, did_you_mean, near_match

PREFIX = "M3DI"
OTHER_VARIABLES = ("M3DI_CACHE", "M3DI_DATA_HOME")  # variables that belong to no option
CONFIG = "m3di.config"  # in the context: the file, and the line of each value


class Several(click.ParamType):  # type: ignore[type-arg]  # generic in recent ones of click only
    """Text of a repeated option; an environment variable separates the values with semicolons."""

    name = "text"
    envvar_list_splitter = ";"


SEVERAL = Several()


class _Configured(click.Command):
    """A command or group whose options have several sources.

    Args:
        examples: Command lines that its help shows.
        attributes: For click.
    """

    def __init__(self, *values: Any, examples: Sequence[str] = (), **attributes: Any) -> None:
        super().__init__(*values, **attributes)
        self.examples = tuple(examples)
        self.params += habits()

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return all parameters, those of fields too, with their environment variables."""
        params: list[click.Parameter] = []
        for each in super().get_params(ctx):
            params += each.options if isinstance(each, Fields) else [each]
        for each in params:
            if isinstance(each, click.Option):
                each.allow_from_autoenv = False  # else the name in Python would name it
                each.envvar = None if each.is_eager else f"{_prefix(ctx)}{typed(each).upper().replace('-', '_')}"
        return params

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not ctx.resilient_parsing:
            check_variables(ctx, self)
            ctx.default_map = defaults_of(ctx, self, ctx.default_map)
        with _sources_named(ctx, self):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        for option in self.get_params(ctx):
            source = source_of(ctx, option)
            if source is not None:
                detail(f"{ctx.command_path} {option.opts[0]} {ctx.params.get(option.name or '', '')}: {source}")
        with _sources_named(ctx, self), traced() if ctx.parent is None else nullcontext():
            return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options in sections, and the commands of a group."""
        write_options([each for each in self.get_params(ctx) if isinstance(each, click.Option)], ctx, formatter)
        if isinstance(self, click.Group):
            self.format_commands(ctx, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        write_examples(self.examples, formatter)


class Command(_Configured):
    """A command."""


class Group(_Configured, click.Group):
    """A group of commands."""

    command_class = Command
    group_class = type


command = partial(click.command, cls=Command)


def group(**attributes: Any) -> Callable[[Callable[..., Any]], Group]:
    """Turn a function into a group of commands."""
    return click.group(cls=Group, **attributes)


def _prefix(ctx: click.Context) -> str:
    path: list[str] = []
    while ctx.parent is not None:
        path.insert(0, str(ctx.info_name))
        ctx = ctx.parent
    return "_".join([PREFIX, *path, ""]).upper().replace("-", "_")


def _options(ctx: click.Context, of: click.Command) -> dict[str, click.Option]:
    return {typed(each): each for each in of.get_params(ctx) if isinstance(each, click.Option) and not each.is_eager}


def check_variables(ctx: click.Context, of: click.Command) -> None:
    """Refuse an environment variable that looks like an option of this command, and is none.

    Print a note on one that looks like no command's: another program may use it.

    Raises:
        UsageError: There is such a variable.
    """
    start = _prefix(ctx)
    known = [str(each.envvar) for each in _options(ctx, of).values()]
    below = [start + name.upper().replace("-", "_") + "_" for name in of.commands] if isinstance(of, Group) else []
    for name in sorted(os.environ):
        if not name.startswith(start) or name in (*known, *OTHER_VARIABLES) or name.startswith(tuple(below)):
            continue
        near = near_match(name.removeprefix(start), [each.removeprefix(start) for each in _variables(ctx, of)])
        step = f"did you mean '{start + near}'?" if near else f"unset {name}"
        if ctx.parent is None:
            click.echo(f"note: {name} is no variable of m3di's; {step}", err=True)
            continue
        raise UsageError(
            f"{ctx.command_path} has no such option", where=f"environment variable {name}",
            expected=", ".join(known), next_step=step,
        )  # fmt: skip


def _variables(ctx: click.Context, of: click.Command) -> list[str]:
    """List the variables of all options of a command and of those below it."""
    below = of.commands if isinstance(of, Group) else {}
    found = [str(each.envvar) for each in _options(ctx, of).values()]
    return found + [each for name in below for each in _variables(click.Context(below[name], ctx, name), below[name])]


def read_config(ctx: click.Context, path: Path) -> None:
    """Read the sections of a config file as defaults of the commands.

    Raises:
        UsageError: It cannot be read, or has a section that is no command.
    """
    from m3di.latents.yaml_text import read_text, read_yaml

    document = read_yaml(read_text(path, "config file"), str(path), "config file", such_as="render: {size: 64}")
    if document.faults:
        fault = document.faults[0]
        place = f"{fault.place.file}, line {fault.place.line}"
        raise UsageError(fault.what, where=place, got=fault.got, expected=fault.expected, next_step=fault.next_step)
    ctx.meta[CONFIG] = (path, document.marks)
    commands = ctx.command.commands if isinstance(ctx.command, Group) else {}
    for name, section in document.data.items():
        if name not in commands:
            raise _unknown(ctx, (name,), "the config file has a section that is no command", commands)
        if not isinstance(section, dict):
            raise _unknown(ctx, (name,), "a section of the config file takes options and their values", ())
    ctx.default_map = document.data


def defaults_of(ctx: click.Context, of: click.Command, section: Any) -> dict[str, Any] | None:
    """Return the values of a section of the config file, by the names of a command's parameters.

    Raises:
        UsageError: It has a key that is no option of the command.
    """
    if section is None:
        return None
    options, below = _options(ctx, of), of.commands if isinstance(of, Group) else {}
    found: dict[str, Any] = {}
    for key, value in section.items():
        option = options.get(str(key).replace("_", "-"))
        if option is not None and value is not None:
            found[str(option.name)] = _as_typed(option, value)
        elif key in below and isinstance(value, dict):
            found[key] = value
        elif option is None:
            known = [*options, *below]
            raise _unknown(ctx, _path(ctx, key), f"{ctx.command_path} has no option {key!r}", known)
    return found


def _as_typed(option: click.Option, value: Any) -> Any:
    """Convert a value of the file for click; options of fields check theirs themselves."""
    if option.multiple:
        listed = [f"{name}={each}" for name, each in value.items()] if isinstance(value, Mapping) else value
        return listed if isinstance(listed, list) else [listed]
    is_read = isinstance(value, bool) if option.is_flag else isinstance(option, FieldOption)
    return value if is_read else str(value)


def _path(ctx: click.Context, key: str) -> tuple[str, ...]:
    path: tuple[str, ...] = (key,)
    while ctx.parent is not None:
        path, ctx = (str(ctx.info_name), *path), ctx.parent
    return path


def _place(ctx: click.Context, path: tuple[str, ...]) -> str:
    file, marks = ctx.meta[CONFIG]
    place = marks.get(path)
    return f"{file}{f', line {place.line}' if place else ''}: {'.'.join(path)}"


def _unknown(ctx: click.Context, path: tuple[str, ...], what: str, known: Any) -> UsageError:
    step = did_you_mean(path[-1], known)
    return UsageError(what, where=_place(ctx, path), expected=", ".join(known) or "option: value", next_step=step)


def source_of(ctx: click.Context, option: click.Parameter) -> str | None:
    """Return the source of an option's value if it was not typed."""
    source = ctx.get_parameter_source(option.name or "")
    if source is ParameterSource.ENVIRONMENT:
        return f"environment variable {option.envvar}"
    if source is ParameterSource.DEFAULT_MAP:
        keys = (typed(option), typed(option).replace("-", "_"))
        paths = [_path(ctx, key) for key in keys]
        return _place(ctx, next((path for path in paths if path in ctx.meta[CONFIG][1]), paths[0]))
    return None


def _called(option: click.Option) -> list[str]:
    """Return what messages call an option: as it is typed, or by the name of its field."""
    return [*option.opts, option.name or ""] if isinstance(option, FieldOption) else option.opts


@contextmanager
def _sources_named(ctx: click.Context, of: click.Command) -> Iterator[None]:
    """Let messages about a value name the option, variable or line that it came from."""
    try:
        yield
    except UsageError as error:
        where = error.details.get("where")
        options = [each for each in of.get_params(ctx) if isinstance(each, click.Option)]
        option = next((each for each in options if where in _called(each)), None)
        if option is not None:
            error.details["where"] = source_of(ctx, option) or f"--{typed(option)}"
        raise
    except click.BadParameter as error:
        source = source_of(ctx, error.param) if error.ctx is ctx and error.param else None
        if source is None:
            raise
        raise click.BadParameter(f"{error.message} ({source})", ctx, error.param) from None


__all__ = ["PREFIX", "SEVERAL", "Command", "Group", "command", "group", "read_config", "typed"]
