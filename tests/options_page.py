"""Writes docs/options.md from the fields: `python -m tests.options_page`, where an option has changed."""

from __future__ import annotations

from pathlib import Path

import click

from m3di.cli.command import typed
from m3di.cli.from_fields import FieldOption
from m3di.cli.main import cli

PAGE = Path(__file__).parents[1] / "docs" / "options.md"
COMMANDS = ("render", "train", "simulate")
HEAD = """# Options, environment variables, a config file

This page is generated from the fields of `RenderOptions`, `TrainConfig` and `SimulationConfig`, of which the command line is
made too; a test compares them. `m3di COMMAND --help` has all options of every command.

A value is looked for, in this order:

1. on the command line: `m3di render --size 64`;
2. in the environment: `M3DI_RENDER_SIZE=64 m3di render`. The name is that of the command and of the option as it is typed, for
   options of every command (`M3DI_SPECS_BOUNDS_N` is `m3di specs bounds --n`). A switch takes `true` or `false`; of options that
   are given several times, `;` is between two: `M3DI_RENDER_DO="object_color=0.5;object_xpos=left"`. An empty one counts as not set;
3. in the file of `m3di --config FILE.yaml render`, or of `M3DI_CONFIG`, in the section of the command. No file is read unless it
   is named;
4. in the preset of `m3di train`, or the scale of `m3di simulate`;
5. the default.

```yaml
# file: settings.yaml
render: {n: 1000, size: 64, do: [object_xpos=left]}
train:
  preset: cpu-demo
  batch-size: 32
  loss-option: {bias: -5}
specs:
  bounds: {n: 1000}
```

What is wrong is named by where it stands, such as `settings.yaml, line 2: render.size`. A section that is no command is refused;
so is a key that is no option, when its command runs. A variable that begins like those of the running command and is none of its
options is refused as well; of one that begins with `M3DI_` and belongs to no command a note is printed. `M3DI_CACHE` and
`M3DI_DATA_HOME` are folders, see [use-in-your-project.md](use-in-your-project.md) and [shapes.md](shapes.md).
"""


def page() -> str:
    """The page."""
    parts = [HEAD]
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
