"""Writes the tables of docs/options.md from the fields: `python -m tests.options_page`, where an option has changed."""

from __future__ import annotations

from pathlib import Path

import click

from m3di.cli.command import typed
from m3di.cli.from_fields import FieldOption
from m3di.cli.main import cli

PAGE = Path(__file__).parents[1] / "docs" / "options.md"
COMMANDS = ("render", "train", "simulate")
START = "\n## m3di render\n"  # what stands before it is written by hand


def page() -> str:
    """The page."""
    parts = [PAGE.read_text(encoding="utf-8").partition(START)[0]]
    root = click.Context(cli, info_name="m3di")
    for name in COMMANDS:
        command = cli.commands[name]
        context = click.Context(command, info_name=name, parent=root)
        parts.append(f"\n## m3di {name}\n\n| option | variable | field | |\n|---|---|---|---|\n")
        for option in command.get_params(context):
            if isinstance(option, click.Option) and not option.is_eager:
                field = f"`{option.name}`" if isinstance(option, FieldOption) else ""
                told = " ".join((option.help or "").split()).replace("|", "\\|")
                parts.append(f"| `--{typed(option)}` | `{option.envvar}` | {field} | {told} |\n")
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
