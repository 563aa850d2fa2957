"""Make options of the command line from the fields of a class of settings; see `m3di.system.settings`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from m3di.cli.completion import OF_FIELDS, completed
from m3di.errors import UsageError

if TYPE_CHECKING:
    from m3di.system.settings import Setting

RENDER = "m3di.generate.options:RenderOptions"
TRAIN = "m3di.learn.training.config:TrainConfig"
SIMULATION = "m3di.simulate.config:SimulationConfig"
METAVARS = {int: "INTEGER", float: "FLOAT"}


def options_of(source: str, *names: str, **changes: Any) -> Callable[..., Any]:
    """Add the options of a class to a command; an option that is not given is None, or () if it repeats.

    Args:
        source: "MODULE:CLASS", imported when the command is used, so that other commands start faster.
        names: Fields, in the order of the help; none means all that are offered.
        changes: See `Fields`.
    """
    name = "-".join(["--fields-of", source, *names])
    return click.option(name, "fields", cls=Fields, source=source, names=names, expose_value=False, **changes)


class Fields(click.Option):
    """Stands for the options of a class until its command is used.

    Args:
        declarations: For click.
        source: See `options_of`.
        names: See `options_of`.
        defaults: Defaults of this command that replace those of the fields.
        beside: "MODULE:FUNCTION" that names, by field, other sources of its default.
        attributes: For click.
    """

    def __init__(
        self,
        declarations: list[str],
        source: str,
        names: tuple[str, ...] = (),
        defaults: Mapping[str, Any] | None = None,
        beside: str | None = None,
        **attributes: Any,
    ) -> None:
        super().__init__(declarations, **attributes)
        self.source, self.names, self.defaults, self.beside = source, names, defaults or {}, beside

    @cached_property
    def options(self) -> list[FieldOption]:
        """The options."""
        from m3di.system.settings import settings_of

        settings = settings_of(_found(self.source))
        names = self.names or tuple(name for name, each in settings.items() if each.option.offered)
        elsewhere = _found(self.beside)() if self.beside else {}
        return [FieldOption(settings[name], self.defaults.get(name), elsewhere.get(name)) for name in names]


def _found(source: str) -> Any:
    module, _, name = source.partition(":")
    return getattr(import_module(module), name)


class FieldOption(click.Option):
    """The option of one field, with its type, range, choices, default and help.

    Args:
        setting: The field.
        default: Default of the command; None leaves it to the field.
        elsewhere: Other source of its default.
    """

    def __init__(self, setting: Setting, default: Any = None, elsewhere: str | None = None) -> None:
        self.setting = setting
        option = setting.option
        metavar = f"[{'|'.join(setting.choices)}]" if setting.choices else METAVARS.get(setting.base, "TEXT")
        super().__init__(
            [setting.flags, setting.name],
            type=None if setting.base is bool else FieldType(setting),
            multiple=option.repeated,
            default=default,
            metavar=None if setting.base is bool else option.metavar or metavar,
            callback=_merged if setting.base is Mapping else None,
            help=setting.description + " Repeatable." * option.repeated + _ending(setting, default, elsewhere),
        )


def _ending(setting: Setting, default: Any, elsewhere: str | None) -> str:
    """Write the default and the range as click does."""
    shown = setting.default if default is None else default
    if setting.base is bool:  # everybody expects that `--gpu` is off by default
        shown = setting.flags.split("/")[not shown].removeprefix("--") if shown or setting.option.flags else ""
    elif isinstance(shown, tuple):
        shown = ",".join(map(str, shown))
    own = f"{shown:g}" if isinstance(shown, float) else str(shown) if isinstance(shown, str | int) else ""
    default = ", or ".join(filter(None, [setting.option.default or own, elsewhere]))
    told = "; ".join(filter(None, [default and f"default: {default}", setting.range]))
    return f"  [{told}]" if told else ""


class FieldType(click.ParamType):  # type: ignore[type-arg]  # generic in recent ones of click only
    """Reads a value of a field, which checks it.

    Args:
        setting: The field.
    """

    envvar_list_splitter = ";"

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.name = setting.name

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the words that begin as typed: the choices of the field, or names of a registry."""
        setting = self.setting
        words = setting.choices or OF_FIELDS.get(setting.name, tuple)()
        in_list = setting.base is tuple and not setting.option.repeated
        return completed(words, incomplete, in_list=in_list, or_file=setting.name == "spec")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read a value of the field; one item if the option repeats."""
        setting, text = self.setting, isinstance(value, str)
        try:
            if setting.base is Mapping:
                name, _, number = str(value).partition("=")
                ((_, read),) = setting.read({name: number}, text=True).items()
                return name.strip().replace("-", "_"), read
            if setting.option.repeated:
                return setting.read([value], text=text)[0]
            if setting.base is tuple and text:
                parts = [part.strip() for part in value.split(",")] if value else []
                if not all(parts):
                    raise ValueError("has an empty place between its commas")
                return setting.read(parts, text=True)
            if setting.base is tuple and not isinstance(value, tuple | list):
                value = [value]
            return setting.read(value, text=text)
        except ValueError as error:
            flag = setting.flags.split("/")[0]
            if setting.base is Mapping:
                self.fail(f"this option takes a name and a number: expected NAME=NUMBER, got {value!r}", param, ctx)
            if setting.option.such_as:
                such = f"whole numbers such as {setting.option.such_as}"
                self.fail(f"{flag} takes numbers: expected {such}, got {value!r}", param, ctx)
            self.fail(f"{value!r} {error}", param, ctx)


def _merged(_context: click.Context, option: click.Parameter, pairs: Any) -> dict[str, float] | None:
    names = [name for name, _ in pairs or ()]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(
            "a name is given twice",
            where=option.opts[0],
            got=", ".join(f"{name}={number:g}" for name, number in pairs if name == twice),
            expected="one value of each",
        )
    return dict(pairs) if pairs else None
