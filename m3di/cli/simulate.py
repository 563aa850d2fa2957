"""`m3di simulate`: the paper's numerical simulation."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from m3di.cli.asking import YES, Question, TimeTold
from m3di.cli.command import command
from m3di.cli.completion import RECIPES
from m3di.cli.from_fields import SIMULATION, options_of
from m3di.cli.options import FOLDER
from m3di.cli.telling import note, remark, say

if TYPE_CHECKING:
    from m3di.simulate import SimulationConfig

BESIDE = ("device", "cuda_graph", "log_every", "checkpoint_every")
"""How a simulation runs, not what its numbers are."""
PAPER = "paper"  # the scale of a recipe where none is named
LONGEST_NAME = 150  # characters; file systems allow 255 bytes, an ending included


def of_scales() -> dict[str, str]:
    """List the fields that a scale sets, for the help."""
    from m3di.simulate.recipes import SIZES, Scale

    return dict.fromkeys((*(field.name for field in fields(Scale)), *SIZES), "of the scale")


@command(
    examples=(
        "m3di simulate --recipe table1 --scale cpu",
        "m3di simulate --steps 1000 --batch-size 512 --n-content 3 --seeds 2",
        "m3di simulate --recipe figure8 --scale smoke --out runs/smoke",
    )
)
@click.option(
    "--recipe", type=RECIPES, help="An experiment of the paper: table1, table4, figure5, figure6, figure7a, figure8."
)
@click.option("--scale", help="Scale of a recipe: paper, cpu, smoke, or a fraction.  [default: paper]")
@click.option("--out", type=FOLDER, default=Path("runs/simulation"), show_default=True, help="Folder of the runs.")
@options_of(SIMULATION, beside="m3di.cli.simulate:of_scales")
@click.option("--seeds", "n_seeds", type=int, help="Runs of each setting.  [default: 1, or of the scale]")
@YES
def simulate(recipe: str | None, scale: str | None, out: Path, n_seeds: int | None, yes: bool, **options: Any) -> None:
    """Simulate multimodal data of known latents, train encoders, and probe what they recovered.

    Run it again to continue an interrupted run; what is finished is not done again.
    """
    from m3di.report.simulation.curves import save_figure
    from m3di.report.simulation.tables import Finished, markdown_table, save_table, summarise

    changes = {name: value for name, value in options.items() if value not in (None, ())}
    name, parts = recipe or "simulation", _told(recipe, scale, n_seeds, changes)
    asked = _members(recipe, scale, n_seeds, changes)
    for each in dict.fromkeys(each for member in asked for each in member.config.notes()):
        note(each)
    question = Question(yes, _steps_of_others([member.config for member in asked], out))
    finished = [
        Finished(member.label, _run(member.config, out, f"{number}/{len(asked)}", question))
        for number, member in enumerate(asked, start=1)
    ]
    rows = summarise(name, finished)
    table = out / _file_name([name, *parts.values()])
    save_table(rows, table, title=", ".join([name, *parts]))
    if recipe:
        save_figure(recipe, rows, table)
    click.echo(f"\n{markdown_table(rows)}")
    say(f"look at  {table}.md" + (f" and {table}.png" if recipe else ""))


def _steps_of_others(configs: Sequence[SimulationConfig], out: Path) -> int:
    """Count the steps of the runs that are not finished, without the first of them."""
    from m3di.simulate import folder_name, is_finished

    left = [config for config in configs if not is_finished(config, out / folder_name(config))]
    return sum(config.n_steps for config in left[1:])


def _told(recipe: str | None, scale: str | None, n_seeds: int | None, changes: Mapping[str, Any]) -> dict[str, str]:
    """Return what a table is of, as its title and as its name tells it: with other settings, it is another table."""
    from m3di.simulate import SimulationConfig

    in_order = (field.name for field in fields(SimulationConfig))  # click has them as they were typed
    own = {name: changes[name] for name in in_order if name in changes and name not in BESIDE}
    if n_seeds is not None:
        own["seeds"] = n_seeds
    texts = (f"{key}={'-'.join(map(str, value)) if isinstance(value, tuple) else value}" for key, value in own.items())
    of_scale = {f"scale {scale or PAPER}": scale or PAPER} if recipe else {}
    return of_scale | {text: text for text in texts}


def _file_name(parts: Sequence[str]) -> str:
    """Join the parts of a table's name; the end of a long one is its hash."""
    name = "-".join(parts)
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[:LONGEST_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _members(recipe: str | None, scale: str | None, n_seeds: int | None, changes: dict[str, Any]) -> list[Any]:
    """Return the simulations that were asked for."""
    from m3di.errors import UsageError
    from m3di.simulate import RecipeRun, SimulationConfig, members, parse_scale

    if n_seeds is not None and n_seeds < 1:
        raise UsageError("at least one run is needed", where="--seeds", got=n_seeds, expected="1 or more")
    if recipe is None and scale is not None:
        raise UsageError(
            "a scale is that of a recipe, and none was named",
            where="--scale",
            got=scale,
            expected="--recipe beside it",
            next_step="add --recipe, or leave it out and say --steps, --batch-size, --lr and --n-eval yourself",
        )
    first_seed = changes.pop("seed", SimulationConfig.seed)
    if recipe is None:
        configs = [SimulationConfig(**changes, seed=first_seed + number) for number in range(n_seeds or 1)]
        label = {
            key: "+".join(map(str, value)) if isinstance(value, tuple) else value for key, value in changes.items()
        }
        return [RecipeRun({"setting": "your own", **label}, config) for config in configs]
    shrunk = parse_scale(scale or PAPER)
    if n_seeds is not None:
        shrunk = replace(shrunk, n_seeds=n_seeds)
    return members(recipe, shrunk, first_seed=first_seed, **changes)


def _run(config: Any, out: Path, number: str, question: Question) -> dict[str, Any]:
    """Run one simulation and show its progress."""
    from m3di.simulate import folder_name, is_finished, simulate

    run = out / folder_name(config)
    say(f"[{number}] {run}" + ("  (finished before)" if is_finished(config, run) else ""))
    return simulate(config, run, _reporter(config.n_steps), _pace(config.n_steps, question))


def _pace(n_steps: int, question: Question) -> Callable[[int], bool]:
    """Say after the first steps how long the others take, and ask."""
    time_told = TimeTold(n_steps, "here")

    def pace(step: int) -> bool:
        told = time_told.after(step)
        if told is not None:
            remark(f"  {told}")
            question.after(time_told)
        return told is None

    return pace


def _reporter(n_steps: int) -> Callable[[int, float], None]:
    """Print a line for about every tenth of the steps."""
    shown = 0

    def on_step(step: int, loss: float) -> None:
        nonlocal shown
        if step * 10 // n_steps > shown or step == n_steps:
            shown = step * 10 // n_steps
            say(f"  step {step}/{n_steps}  loss {loss:.4f}")

    return on_step
