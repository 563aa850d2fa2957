"""`m3di specs`: built-in specs, and checks of your own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from m3di.cli.command import group
from m3di.cli.options import FOLDER, tell_notes
from m3di.errors import M3diError

if TYPE_CHECKING:
    from m3di.latents import Spec


@group()
def specs() -> None:
    """Built-in specs, and checks of your own."""


SPEC = click.argument("spec", metavar="NAME|FILE")
SPLIT = click.option(
    "--split", metavar="NAME", help="As it is in this split.  [default: as in those that change nothing]"
)


@specs.command("list")
def list_specs() -> None:
    """List the built-in specs."""
    from m3di.latents import load_spec, spec_names

    for name in spec_names():
        click.echo(f"{name}\n    {load_spec(name).description}")


@specs.command("show")
@SPEC
def show_spec(spec: str) -> None:
    """Print a resolved spec as YAML."""
    from m3di.latents import load_spec, to_yaml

    click.echo(to_yaml(load_spec(spec)), nl=False)


@specs.command("check")
@SPEC
def check_spec(spec: str) -> None:
    """Report every problem of a spec file."""
    from m3di.latents import load_spec, told_given, told_regimes, told_splits

    loaded = load_spec(spec)
    click.echo(f"{spec}: sound; {len(loaded.factors)} factors, views {', '.join(loaded.observed)}")
    if loaded.given is not None:
        click.echo(f"given: {told_given(loaded)}")
    for line in told_regimes(loaded.regimes):
        click.echo(f"regime {line}")
    for split, text in told_splits(loaded).items():
        click.echo(f"split {split}: {text}")
    tell_notes(loaded)


@specs.command("graph")
@SPEC
@SPLIT
@click.option("--out", type=FOLDER, help="The .png, .svg or .pdf to write.  [default: NAME-graph.png]")
def graph_spec(spec: str, split: str | None, out: Path | None) -> None:
    """Draw the causal graph, one panel a view."""
    from m3di.report import save_causal_graph

    loaded = _in_split(spec, split)
    path = out or Path(f"{loaded.name}{f'-{split}' if split else ''}-graph.png")
    save_causal_graph(path, loaded)
    click.echo(f"look at  {path}")


@specs.command("schema")
@click.option("--out", type=FOLDER, help="The file to write.  [default: print it]")
def schema_of_specs(out: Path | None) -> None:
    """JSON Schema of spec files, for completion and checks in an editor."""
    from m3di.latents import spec_schema

    _printed(json.dumps(spec_schema(), indent=1, ensure_ascii=False) + "\n", out)


@specs.command("reference")
@click.option("--out", type=FOLDER, help="The file to write.  [default: print it]")
def reference_of_specs(out: Path | None) -> None:
    """Every key, mechanism and factor of spec files, as Markdown."""
    from m3di.latents import reference_page

    _printed(reference_page(), out)


@specs.command("bounds")
@SPEC
@SPLIT
@click.option("--n", default=100_000, show_default=True, help="Samples of the estimates.")
def bound_spec(spec: str, split: str | None, n: int) -> None:
    """Print how well each factor can be predicted from the content block alone."""
    from m3di.latents import bounds

    table = Table("view", "factor", "role", "metric", "best", "chance", "method", "error", box=None)
    for each in bounds(_in_split(spec, split), n=n):
        numbers = (f"{each.value:.3f}", f"{each.chance:.3f}", each.method)
        error = f"{each.error:.3f}" if each.method != "exact" else ""
        table.add_row(each.view, each.factor, each.role, each.metric, *numbers, error)
    Console(width=120).print(table)


def _in_split(spec: str, split: str | None) -> Spec:
    """Load a spec, as it is in a split if one is named."""
    from m3di.latents import check_split, load_spec

    loaded = load_spec(spec)
    return loaded.base if split is None else loaded.in_split(check_split(loaded, split))


def _printed(text: str, out: Path | None) -> None:
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise M3diError(
            "the file cannot be written", where=str(out), got=error.strerror or error,
            expected="a file in a folder where you may create files", next_step="choose another --out",
        ) from None  # fmt: skip
    click.echo(f"{out}: written")
