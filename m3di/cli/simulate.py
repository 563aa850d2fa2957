"""`m3di simulate`: the paper's numerical simulation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from m3di.cli.paths import UserPath

FOLDER = UserPath()


def _whole_numbers(_context: click.Context, _parameter: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    try:
        return None if text is None else tuple(int(number) for number in text.split(","))
    except ValueError as error:
        raise click.BadParameter(f"expected whole numbers such as 10,20,20,10, got {text!r}") from error


@click.command()
@click.option("--recipe", help="An experiment of the paper: table1, table4, figure5, figure6, figure7a, figure8.")
@click.option("--scale", default="paper", show_default=True, help="Of a recipe: paper, cpu, smoke, or a fraction.")
@click.option("--out", type=FOLDER, default=Path("runs/simulation"), show_default=True, help="Folder of the runs.")
@click.option("--n-content", type=int, help="Dimensions of the content.  [default: 5]")
@click.option("--n-style", type=int, help="Dimensions of the style.  [default: 5]")
@click.option("--n-modality", type=int, help="Dimensions that one modality alone has.  [default: 5]")
@click.option("--encoding-size", type=int, help="Numbers of an encoding.  [default: as the content]")
@click.option("--style-change-prob", type=float, help="Probability that a style dimension changes.  [default: 1]")
@click.option("--statistical", is_flag=True, default=None, help="Latents of a block are correlated.")
@click.option("--covariances", help="independent, or shared: one seed for all (as published).  [default: independent]")
@click.option("--causal", is_flag=True, default=None, help="Content causes style.")
@click.option("--shared-mixing", is_flag=True, default=None, help="One mixing for both modalities.")
@click.option("--shared-encoder", is_flag=True, default=None, help="One encoder for both modalities.")
@click.option("--discrete", multiple=True, help="A block of classes: content, style or modality. Repeatable.")
@click.option("--n-classes", type=int, help="Classes of a discrete dimension.")
@click.option("--negatives", help="cross (equation 4), all, or fresh (as published).  [default: cross]")
@click.option("--similarity", help="neg_squared_euclidean or cosine.  [default: neg_squared_euclidean]")
@click.option("--temperature", type=float, help="Temperature of the loss.  [default: 1]")
@click.option(
    "--widths", callback=_whole_numbers, help="Of hidden layers, times the input's size.  [default: 10,50,50,50,50,10]"
)
@click.option("--steps", "n_steps", type=int, help="Optimiser steps.  [default: 300000, or of the scale]")
@click.option("--batch-size", type=int, help="Pairs a step.  [default: 6144, or of the scale]")
@click.option("--lr", type=float, help="Learning rate of Adam.  [default: 0.0001, or of the scale]")
@click.option("--schedule", help="Of the learning rate: constant or cosine.  [default: constant, or of the scale]")
@click.option("--seed", "first_seed", default=0, show_default=True, help="Of the first run.")
@click.option("--seeds", "n_seeds", type=int, help="Runs of each setting.  [default: 1, or of the scale]")
@click.option("--eval-seed", type=int, help="Of the samples for the probes.  [default: from the seed]")
@click.option("--n-eval", type=int, help="Samples for the probes.  [default: 4096, or of the scale]")
@click.option("--precision", help="fp32 (IEEE), tf32 or bf16, of the encoders' products.  [default: fp32]")
@click.option("--device", help="auto, cpu or cuda.  [default: auto]")
@click.option(
    "--cuda-graph/--no-cuda-graph", default=None, help="Make a step by one launch on a GPU.  [default: where it can]"
)
@click.option("--checkpoint-every", type=int, help="Steps between checkpoints.  [default: 1000]")
@click.option("--log-every", type=int, help="Steps between lines of metrics.csv.  [default: 1000]")
def simulate(recipe: str | None, scale: str, out: Path, first_seed: int, n_seeds: int | None, **options: Any) -> None:
    """Simulate multimodal data of known latents, train encoders, and probe what they recovered.

    Run it again to continue an interrupted run; what is finished is not done again.
    """
    from m3di.report.simulation.curves import save_figure
    from m3di.report.simulation.tables import Finished, markdown_table, save_table, summarise

    changes = {name: value for name, value in options.items() if value not in (None, ())}
    name = recipe or "simulation"
    asked = _members(recipe, scale, first_seed, n_seeds, changes)
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


def _members(
    recipe: str | None, scale: str, first_seed: int, n_seeds: int | None, changes: dict[str, Any]
) -> list[Any]:
    """The simulations that are asked for."""
    from dataclasses import replace

    from m3di.errors import UsageError
    from m3di.simulate import RecipeRun, SimulationConfig, members, parse_scale

    if n_seeds is not None and n_seeds < 1:
        raise UsageError("at least one run is needed", where="--seeds", got=n_seeds, expected="1 or more")
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
    """One simulation, with its progress."""
    from m3di.simulate import folder_name, is_finished, simulate

    run = out / folder_name(config)
    click.echo(f"[{number}] {run}" + ("  (finished before)" if is_finished(config, run) else ""))
    return simulate(config, run, _reporter(config.n_steps))


def _reporter(n_steps: int) -> Callable[[int, float], None]:
    """A line for about every tenth of the steps."""
    shown = 0

    def on_step(step: int, loss: float) -> None:
        nonlocal shown
        if step * 10 // n_steps > shown or step == n_steps:
            shown = step * 10 // n_steps
            click.echo(f"  step {step}/{n_steps}  loss {loss:.4f}")

    return on_step
