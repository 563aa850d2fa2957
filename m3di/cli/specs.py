"""`m3di specs`: built-in specs, and checks of your own."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from m3di.cli.command import group
from m3di.cli.completion import SPECS, SPLITS
from m3di.cli.options import FOLDER, tell_notes
from m3di.cli.telling import JSON, print_json, say
from m3di.errors import M3diError

if TYPE_CHECKING:
    from m3di.latents import Spec


@group(examples=("m3di specs list", "m3di specs bounds m3di --n 2000"))
def specs() -> None:
    """Built-in specs, and checks of your own."""


SPEC = click.argument("spec", metavar="NAME|FILE", type=SPECS)
SPLIT = click.option(
    "--split", type=SPLITS, metavar="NAME", help="As it is in this split.  [default: as in those that change nothing]"
)


@specs.command("list", examples=("m3di specs list", "m3di specs list --json"))
@JSON
def list_specs(as_json: bool) -> None:
    """List the built-in specs."""
    from m3di.latents import load_spec, spec_names

    if as_json:
        print_json({"specs": [_facts(load_spec(name)) for name in spec_names()]})
        return
    for name in spec_names():
        click.echo(f"{name}\n    {load_spec(name).description}")


@specs.command("show", examples=("m3di specs show m3di",))
@SPEC
def show_spec(spec: str) -> None:
    """Print a resolved spec as YAML."""
    from m3di.latents import load_spec, to_yaml

    click.echo(to_yaml(load_spec(spec)), nl=False)


@specs.command("check", examples=("m3di specs check m3di",))
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


@specs.command("graph", examples=("m3di specs graph m3di --out graph.svg",))
@SPEC
@SPLIT
@click.option("--out", type=FOLDER, help="The .png, .svg or .pdf to write.  [default: NAME-graph.png]")
def graph_spec(spec: str, split: str | None, out: Path | None) -> None:
    """Draw the causal graph, one panel a view."""
    from m3di.report import save_causal_graph

    loaded = _in_split(spec, split)
    path = out or Path(f"{loaded.name}{f'-{split}' if split else ''}-graph.png")
    save_causal_graph(path, loaded)
    say(f"look at  {path}")


@specs.command("schema", examples=("m3di specs schema --out m3di.schema.json",))
@click.option("--out", type=FOLDER, help="The file to write.  [default: print it]")
def schema_of_specs(out: Path | None) -> None:
    """JSON Schema of spec files, for completion and checks in an editor."""
    from m3di.latents import spec_schema

    _printed(json.dumps(spec_schema(), indent=1, ensure_ascii=False) + "\n", out)


@specs.command("reference", examples=("m3di specs reference --out reference.md",))
@click.option("--out", type=FOLDER, help="The file to write.  [default: print it]")
def reference_of_specs(out: Path | None) -> None:
    """Every key, mechanism and factor of spec files, as Markdown."""
    from m3di.latents import reference_page

    _printed(reference_page(), out)


@specs.command("bounds", examples=("m3di specs bounds m3di", "m3di specs bounds m3di --n 2000 --seed 1 --json"))
@SPEC
@SPLIT
@click.option("--n", default=100_000, show_default=True, help="Samples of the estimates.")
@click.option("--seed", default=0, show_default=True, help="Their seed.")
@JSON
def bound_spec(spec: str, split: str | None, n: int, seed: int, as_json: bool) -> None:
    """Print how well each factor can be predicted from the content block alone."""
    from m3di.latents import bounds

    found = bounds(_in_split(spec, split), n=n, seed=seed)
    if as_json:
        print_json({"spec": spec, "split": split, "n": n, "seed": seed, "bounds": [asdict(each) for each in found]})
        return
    table = Table("view", "factor", "role", "metric", "best", "chance", "method", "error", box=None)
    for each in found:
        numbers = (f"{each.value:.3f}", f"{each.chance:.3f}", each.method)
        error = f"{each.error:.3f}" if each.method != "exact" else ""
        table.add_row(each.view, each.factor, each.role, each.metric, *numbers, error)
    Console(width=120).print(table)


def _in_split(spec: str, split: str | None) -> Spec:
    """Load a spec, as it is in a split if one is named."""
    from m3di.latents import check_split, load_spec

    loaded = load_spec(spec)
    return loaded.base if split is None else loaded.in_split(check_split(loaded, split))


def _facts(spec: Spec) -> dict[str, Any]:
    views = [{"name": name, "modality": each.view.modality} for name, each in spec.observed.items()]
    return {"name": spec.name, "description": spec.description, "n_factors": len(spec.factors), "views": views}


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
    say(f"{out}: written")
