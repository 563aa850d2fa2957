"""`m3di reproduce`: every table and figure of the paper, and a report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from m3di.cli.asking import YES, ask_to_begin
from m3di.cli.command import SEVERAL, command
from m3di.cli.completion import SCALES
from m3di.cli.options import FOLDER
from m3di.cli.progress import duration
from m3di.cli.reproduce_display import members_display
from m3di.cli.telling import JSON, QUIET, level, print_json, remark, say
from m3di.errors import DataError, M3diError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from m3di.reproduce.ledger import Reproduction
    from m3di.reproduce.planning import ReproductionPlan, Task


@command(
    examples=(
        "m3di reproduce --scale smoke --out paper",
        "m3di reproduce --scale cpu --only figure3,table1 --out paper --dry-run",
        "m3di reproduce --scale cpu --out paper --yes",
    )
)
@click.option(
    "--scale", type=SCALES, default="smoke", show_default=True, help="smoke (minutes), cpu (two cores) or full (a GPU)."
)
@click.option("--out", type=FOLDER, required=True, help="Folder of everything that is made.")
@click.option(
    "--only", multiple=True, type=SEVERAL, metavar="NAMES", help="Only these results, such as figure3 or table1."
)
@click.option("--workers", "n_workers", type=int, help="Members at a time.  [default: one a GPU, or one a core]")
@click.option("--gpu", is_flag=True, help="Render on a GPU; encoders use one where there is one.")
@YES
@click.option("--dry-run", "is_dry", is_flag=True, help="Show the plan, measure what it takes, and do nothing.")
@click.option("--member", "share", metavar="I/N", help="Only members I, I+N, ... (from 0): job arrays.")
@click.option("--ray", "address", metavar="ADDRESS", help="Do the members on a Ray cluster.")
@JSON
def reproduce(scale: str, out: Path, only: tuple[str, ...], **options: Any) -> None:
    """Make every table and figure of the paper, and a report that judges each by a rule stated beforehand.

    Run it again to go on after a stop; what is finished is not done again.
    """
    from m3di.reproduce.ledger import Reproduction, begin, write_sweeps
    from m3di.reproduce.paper_results import choose_results
    from m3di.reproduce.planning import check_room, make_reproduction_plan, plan_of_share
    from m3di.reproduce.scales import find_scale
    from m3di.reproduce.side_by_side import default_jobs
    from m3di.system.lock import locked

    if options["as_json"] and not options["is_dry"]:
        raise UsageError("--json describes a plan", where="--json", expected="--dry-run", next_step="add --dry-run")
    share = options["share"]
    n_jobs = _jobs(options) or default_jobs()
    reproduction = Reproduction(out, find_scale(scale), options["gpu"])
    results = choose_results(_names(only))
    if not options["is_dry"]:
        begin(reproduction)
    try:
        plan = make_reproduction_plan(reproduction, results, n_jobs)
    except DataError:  # results of a member cannot be read; the report has all others
        if not options["is_dry"] and share is None:
            _report(reproduction)
        raise
    if plan.missing and reproduction.scale.is_measured and (share is None or options["is_dry"]):
        plan = make_reproduction_plan(reproduction, results, n_jobs, _costs(reproduction, plan))
    if share is not None:
        plan = plan_of_share(plan, share)
    if options["as_json"]:
        print_json({"out": str(out), "scale": scale, **_facts(plan)})
    elif options["is_dry"] or level() > QUIET:
        _show(plan, err=not options["is_dry"])
    check_room(out, plan.n_bytes)
    if options["is_dry"]:
        say("nothing was written")
        return
    ask_to_begin(plan.seconds, "It takes", yes=options["yes"], declined="nothing was begun", refuses=True)
    if share is not None:
        _run(reproduction, plan, None)
        say("this share is done; when all are, the same command without --member writes the report")
        return
    with locked(out, ".lock", "another process is reproducing in this folder"):
        write_sweeps(reproduction)
        try:
            _run(reproduction, plan, options["address"])
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
    from m3di.reproduce.ledger import REPORT
    from m3di.reproduce.report_page import write_report

    try:
        paths = write_report(reproduction)
    except DataError:
        say(f"look at  {reproduction.out / REPORT}: all but what cannot be read")
        raise
    for path in paths:
        say(f"look at  {path}")


def _jobs(options: dict[str, Any]) -> int | None:
    from m3di.learn.training.sweep import shared_out

    n_jobs: int | None = options["n_workers"]
    if n_jobs is not None and n_jobs < 1:
        raise UsageError("at least one member runs at a time", where="--workers", got=n_jobs, expected="1 or more")
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
    return measure(reproduction, members, resources, lambda kind: remark(f"measuring  {kind}"))


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


def _facts(plan: ReproductionPlan) -> dict[str, Any]:
    """Tell the plan for programs; what was not measured is null."""
    from m3di.reproduce.costs import kind_of

    is_measured = plan.is_measured
    members = [
        {
            "key": task.member.key,
            "kind": kind_of(task.member),
            "serves": task.serves,
            "is_finished": task.is_finished,
            "seconds": task.seconds if task.is_finished or task.cost is not None else None,
            "n_bytes": task.n_bytes if task.is_finished or task.cost is not None else None,
        }
        for task in plan.tasks
    ]
    return {
        "n_workers": plan.n_jobs,
        "n_members": len(plan.tasks),
        "n_finished": len(plan.tasks) - len(plan.missing),
        "seconds": plan.seconds if is_measured else None,
        "n_bytes": plan.n_bytes if is_measured else None,
        "members": members,
    }


def _run(reproduction: Reproduction, plan: ReproductionPlan, address: str | None) -> None:
    from m3di.reproduce.on_ray import run_on_ray
    from m3di.reproduce.side_by_side import run_side_by_side

    members = [task.member for task in plan.missing]
    with members_display({task.member.key: task.seconds or 1.0 for task in plan.missing}) as on_event:
        if address is not None:
            run_on_ray(reproduction, members, address, on_event)
        else:
            run_side_by_side(reproduction, members, plan.n_jobs, on_event)
