"""`m3di simulate`: the paper's numerical simulation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from m3di.cli.command import command
from m3di.cli.from_fields import SIMULATION, options_of
from m3di.cli.options import FOLDER


def of_scales() -> dict[str, str]:
    """List the fields that a scale sets, for the help."""
    from dataclasses import fields

    from m3di.simulate.recipes import SIZES, Scale

    return dict.fromkeys((*(field.name for field in fields(Scale)), *SIZES), "of the scale")


@command()
@click.option("--recipe", help="An experiment of the paper: table1, table4, figure5, figure6, figure7a, figure8.")
@click.option(
    "--scale", default="paper", show_default=True, help="Scale of a recipe: paper, cpu, smoke, or a fraction."
)
@click.option("--out", type=FOLDER, default=Path("runs/simulation"), show_default=True, help="Folder of the runs.")
@options_of(SIMULATION, beside="m3di.cli.simulate:of_scales")
@click.option("--seeds", "n_seeds", type=int, help="Runs of each setting.  [default: 1, or of the scale]")
def simulate(recipe: str | None, scale: str, out: Path, n_seeds: int | None, **options: Any) -> None:
    """Simulate multimodal data of known latents, train encoders, and probe what they recovered.

    Run it again to continue an interrupted run; what is finished is not done again.
    """
    from m3di.report.simulation.curves import save_figure
    from m3di.report.simulation.tables import Finished, markdown_table, save_table, summarise

    changes = {name: value for name, value in options.items() if value not in (None, ())}
    name = recipe or "simulation"
    asked = _members(recipe, scale, n_seeds, changes)
    for note in dict.fromkeys(note for member in asked for note in member.config.notes()):
        click.echo(f"note: {note}")
    finished = [
        Finished(member.label, _run(member.config, out, f"{number}/{len(asked)}"))
        for number, member in enumerate(asked, start=1)
    ]
    rows = summarise(name, finished)
    table = out / (f"{name}-{scale}" if recipe else "simulation")
    save_table(rows, table, title=f"{name}, scale {scale}" if recipe else name)
    if recipe:
        save_figure(recipe, rows, table)
    click.echo(f"\n{markdown_table(rows)}\nlook at  {table}.md" + (f" and {table}.png" if recipe else ""))


def _members(recipe: str | None, scale: str, n_seeds: int | None, changes: dict[str, Any]) -> list[Any]:
    """Return the simulations that were asked for."""
    from dataclasses import replace

    from m3di.errors import UsageError
    from m3di.simulate import RecipeRun, SimulationConfig, members, parse_scale

    if n_seeds is not None and n_seeds < 1:
        raise UsageError("at least one run is needed", where="--seeds", got=n_seeds, expected="1 or more")
    first_seed = changes.pop("seed", SimulationConfig.seed)
    if recipe is None:
        configs = [SimulationConfig(**changes, seed=first_seed + number) for number in range(n_seeds or 1)]
        label = {
            key: "+".join(map(str, value)) if isinstance(value, tuple) else value for key, value in changes.items()
        }
        return [RecipeRun({"setting": "your own", **label}, config) for config in configs]
    shrunk = parse_scale(scale)
    if n_seeds is not None:
        shrunk = replace(shrunk, n_seeds=n_seeds)
    return members(recipe, shrunk, first_seed=first_seed, **changes)


def _run(config: Any, out: Path, number: str) -> dict[str, Any]:
    """Run one simulation and show its progress."""
    from m3di.simulate import folder_name, is_finished, simulate

    run = out / folder_name(config)
    click.echo(f"[{number}] {run}" + ("  (finished before)" if is_finished(config, run) else ""))
    return simulate(config, run, _reporter(config.n_steps))


def _reporter(n_steps: int) -> Callable[[int, float], None]:
    """Print a line for about every tenth of the steps."""
    shown = 0

    def on_step(step: int, loss: float) -> None:
        nonlocal shown
        if step * 10 // n_steps > shown or step == n_steps:
            shown = step * 10 // n_steps
            click.echo(f"  step {step}/{n_steps}  loss {loss:.4f}")

    return on_step
