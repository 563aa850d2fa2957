"""`m3di reproduce`: every table and figure of the paper, and a report."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from m3di.cli.command import SEVERAL, command
from m3di.cli.options import FOLDER
from m3di.cli.progress import duration
from m3di.cli.reproduce_display import members_display
from m3di.errors import M3diError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from m3di.reproduce.ledger import Reproduction
    from m3di.reproduce.planning import ReproductionPlan, Task

ASKS_ABOVE_S = 3600.0


@command()
@click.option("--scale", default="smoke", show_default=True, help="smoke (minutes), cpu (two cores) or full (a GPU).")
@click.option("--out", type=FOLDER, required=True, help="Folder of everything that is made.")
@click.option(
    "--only", multiple=True, type=SEVERAL, metavar="NAMES", help="Only these results, such as figure3 or table1."
)
@click.option("--jobs", type=int, help="Members at a time.  [default: one a GPU, or one a core]")
@click.option("--gpu", is_flag=True, help="Render on a GPU; encoders use one where there is one.")
@click.option("--yes", is_flag=True, help="Begin what takes more than an hour without asking.")
@click.option("--dry-run", "is_dry", is_flag=True, help="Show the plan, measure what it takes, and do nothing.")
@click.option("--member", "share", metavar="I/N", help="Only members I, I+N, ... (from 0): job arrays.")
@click.option("--ray", "address", metavar="ADDRESS", help="Do the members on a Ray cluster.")
def reproduce(scale: str, out: Path, only: tuple[str, ...], **options: Any) -> None:
    """Make every table and figure of the paper, and a report that judges each by a rule stated beforehand.

    Run it again to go on after a stop; what is finished is not done again.
    """
    from m3di.reproduce.ledger import Reproduction, begin, write_sweeps
    from m3di.reproduce.paper_results import choose_results
    from m3di.reproduce.planning import check_room, make_reproduction_plan
    from m3di.reproduce.scales import find_scale
    from m3di.reproduce.side_by_side import default_jobs
    from m3di.system.lock import locked

    share = options["share"]
    n_jobs = _jobs(options) or default_jobs()
    reproduction = Reproduction(out, find_scale(scale), options["gpu"])
    results = choose_results(_names(only))
    if not options["is_dry"]:
        begin(reproduction)
    plan = make_reproduction_plan(reproduction, results, n_jobs)
    if plan.missing and reproduction.scale.is_measured and share is None:
        plan = make_reproduction_plan(reproduction, results, n_jobs, _costs(reproduction, plan))
    _show(plan, err=not options["is_dry"])
    check_room(out, plan.n_bytes)
    if options["is_dry"]:
        click.echo("nothing was written")
        return
    if plan.seconds > ASKS_ABOVE_S and not options["yes"]:
        _ask(plan)
    if share is not None:
        _run(reproduction, plan, share, options["address"])
        click.echo("this share is done; when all are, the same command without --member writes the report")
        return
    with locked(out, ".lock", "another process is reproducing in this folder"):
        write_sweeps(reproduction)
        try:
            _run(reproduction, plan, share, options["address"])
        except M3diError:
            _report(reproduction)
            raise
        _report(reproduction)


def _names(only: tuple[str, ...]) -> list[str]:
    names = [name.strip() for each in only for name in each.split(",") if name.strip()]
    if only and not names:  # such as an empty variable: everything may take days
        raise UsageError(
            "no result is named",
            where="--only",
            got=repr(only[0]),
            expected="names of results, such as figure3,table1",
            next_step="leave --only out for all results",
        )
    return names


def _report(reproduction: Reproduction) -> None:
    from m3di.reproduce.report_page import write_report

    for path in write_report(reproduction):
        click.echo(f"look at  {path}")


def _jobs(options: dict[str, Any]) -> int | None:
    from m3di.learn.training.sweep import shared_out

    n_jobs: int | None = options["jobs"]
    if n_jobs is not None and n_jobs < 1:
        raise UsageError("at least one member runs at a time", where="--jobs", got=n_jobs, expected="1 or more")
    if options["address"] is not None and options["share"] is not None:
        raise UsageError(
            "a cluster does all members, and a job of an array a share of them",
            where="--ray and --member",
            next_step="leave one out",
        )
    if options["share"] is not None:
        shared_out([], options["share"], of="the members", where="--member")  # raises if it cannot be read
    return n_jobs


def _costs(reproduction: Reproduction, plan: ReproductionPlan) -> dict[str, Any]:
    from m3di.learn.training.loading import n_cores
    from m3di.reproduce.costs import measure
    from m3di.reproduce.members import Resources

    resources = Resources(max(1, n_cores() // plan.n_jobs), reproduction.gpu)
    members = [task.member for task in plan.missing]
    return measure(reproduction, members, resources, lambda kind: click.echo(f"measuring  {kind}", err=True))


def _show(plan: ReproductionPlan, *, err: bool) -> None:
    """Print the plan, what costs the same in one line: the output of a dry run, and else beside the output."""
    table = Table("members", "finished", "for", "one takes", "all take", "disk", box=None)
    for kind, tasks in plan.kinds().items():
        left = [task for task in tasks if not task.is_finished]
        serves = ", ".join(dict.fromkeys(name for task in tasks for name in task.serves))
        known = bool(left) and all(task.cost is not None for task in left)
        times = [_range(left), duration(sum(task.seconds for task in left))] if known else ["", ""]
        disk = f"{sum(task.n_bytes for task in left) / 1e9:.2f} GB" if known else ""
        table.add_row(f"{len(tasks)} x {kind}", f"{len(tasks) - len(left)}", serves, *times, disk)
    Console(width=170, stderr=err).print(table)
    n_left = len(plan.missing)
    click.echo(f"{len(plan.tasks)} members, {len(plan.tasks) - n_left} finished, {plan.n_jobs} at a time", err=err)
    if n_left and plan.is_measured:
        click.echo(
            f"about {duration(plan.seconds)} and {plan.n_bytes / 1e9:.2f} GB: extrapolated from a few steps, images "
            "and probes, each measured by itself on this machine; probes of trained encoders are not in it",
            err=err,
        )
    elif n_left:
        click.echo("how long it takes was not measured", err=err)


def _range(tasks: list[Task]) -> str:
    times = sorted({round(task.seconds) for task in tasks})
    return duration(times[0]) if len(times) == 1 else f"{duration(times[0])} to {duration(times[-1])}"


def _ask(plan: ReproductionPlan) -> None:
    if not sys.stdin.isatty():
        raise UsageError(
            "this takes more than an hour, and there is no terminal to ask on",
            where="m3di reproduce",
            got=f"about {duration(plan.seconds)}",
            expected="a word that it may begin",
            next_step="add --yes",
        )
    click.confirm(f"Begin? It takes about {duration(plan.seconds)}, and goes on after any stop", abort=True)


def _run(reproduction: Reproduction, plan: ReproductionPlan, share: str | None, address: str | None) -> None:
    from m3di.reproduce.on_ray import run_on_ray
    from m3di.reproduce.planning import own_share
    from m3di.reproduce.side_by_side import run_side_by_side

    asked = own_share(plan, share)
    members = [task.member for task in asked]
    with members_display({task.member.key: task.seconds or 1.0 for task in asked}) as on_event:
        if address is not None:
            run_on_ray(reproduction, members, address, on_event)
        else:
            run_side_by_side(reproduction, members, plan.n_jobs, on_event)
