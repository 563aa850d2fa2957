"""`m3di evaluate`, `m3di compare` and `m3di report`: scores of trained encoders, as tables and figures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from m3di.cli.command import SEVERAL, command
from m3di.cli.completion import PROBES, SPLITS
from m3di.cli.from_fields import RENDER, options_of
from m3di.cli.options import IMPORT, WORKERS, refuse_given, with_options
from m3di.cli.paths import UserPath
from m3di.cli.progress import progress_bar, watched_bar
from m3di.cli.telling import JSON, print_json, remark, say
from m3di.errors import UsageError

if TYPE_CHECKING:
    from m3di.evaluate import ProbeData, Protocol, Request

PATH = UserPath()
DEVICES = ("auto", "cpu", "cuda")  # as in m3di.learn, which is imported late; a test compares the two
PROBE_OPTIONS = (
    click.option(
        "--probes",
        type=PROBES,
        default="",
        metavar="NAMES",
        help="Some of them, such as linear,logistic.  [default: all]",
    ),
    click.option("--factors", default="", metavar="NAMES", help="Only these factors.  [default: all]"),
    click.option("--folds", "n_folds", type=int, metavar="K", help="Cross-validate over both splits.  [default: off]"),
    click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True, help="Where to encode."),
)


@command(
    examples=(
        "m3di evaluate runs/m3di-001",
        "m3di evaluate runs/m3di-001 --probes linear,logistic --factors object_shape --json",
        "m3di evaluate runs/sizes --again --out scores.csv",
        "m3di evaluate runs/m3di-001 --do object_xpos=right --workers 2",
    )
)
@click.argument("paths", type=PATH, nargs=-1, required=True, metavar="RUN...")
@IMPORT
@click.option("--data", "root", type=PATH, help="Dataset to evaluate on.  [default: the one the run was trained on]")
@click.option(
    "--do", "interventions", multiple=True, type=SEVERAL, metavar="FACTOR=VALUE", help="Render and evaluate under this."
)
@click.option("--permute-content", is_flag=True, help="Render and evaluate with each other's content.")
@click.option(
    "--split",
    "splits",
    multiple=True,
    type=SPLITS,
    metavar="NAME",
    help="Score on this split. Repeatable.  [default: test]",
)
@click.option("--fit", "fit_root", type=PATH, help="Dataset to fit probes on.  [default: the one they are scored on]")
@with_options(*PROBE_OPTIONS)
@click.option("--n-bootstrap", default=1000, show_default=True, help="Resamples behind each interval.")
@click.option("--load-workers", type=int, help="Threads that load images.  [default: 8 for a GPU, none on the CPU]")
@options_of(RENDER, *WORKERS)
@click.option(
    "--all-checkpoints", is_flag=True, help="Every checkpoint that was kept, for a figure of scores over steps."
)
@click.option("--again", is_flag=True, help="Score again what was scored before.")
@click.option("--save-encodings", type=PATH, help="Also write the encodings of a single run to this .npz.")
@click.option("--out", type=PATH, help="The .parquet or .csv to write.  [default: evaluation.parquet in the run]")
@JSON
def evaluate(paths: tuple[Path, ...], out: Path | None, as_json: bool, **options: Any) -> None:
    """Probe runs, sweeps, or encodings of your own (.npz): what do they know of each factor?

    Options about workers and GPUs are those of --do and --permute-content.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    from m3di.evaluate import check_table_name, evaluate_all, gather, members_of, write_results
    from m3di.system.plugins import import_modules

    if out is not None:
        check_table_name(out)
    import_modules(options["modules"])
    paths = tuple({path.resolve(): path for path in paths}.values())
    members, unfinished = members_of(paths)
    for name in unfinished:
        remark(f"{name}: not finished, left out")
    if options["save_encodings"] is not None and options["all_checkpoints"]:
        raise UsageError("encodings are those of one checkpoint", where="--save-encodings", got="--all-checkpoints too")
    if options["save_encodings"] is not None and len(members) != 1:
        raise UsageError("encodings are those of one run", where="--save-encodings", got=f"{len(members)} runs")
    splits = tuple(dict.fromkeys(options.pop("splits"))) or ("test",)
    if options["save_encodings"] is not None and len(splits) > 1:
        raise UsageError("encodings are those of one split", where="--save-encodings", got=f"{len(splits)} splits")
    requests = [_request(options, [member.path for member in members], split) for split in splits]
    with progress_bar("evaluate", "runs") as progress:
        tables = [evaluate_all(members, each, lambda name, number, total: progress(number, total)) for each in requests]
    table, is_over_steps = gather(tables), options["all_checkpoints"]
    path = out or _default_out(paths, requests, over_steps=is_over_steps)
    is_kept = len(members) == len(requests) == 1 and path.parent == members[0].path  # and with what made it
    if out is not None or not is_kept:
        write_results(path, table)
    if as_json:
        print_json({"results": str(path), "unfinished": unfinished, "scores": table.to_pylist()})
    elif is_over_steps:
        n_steps = len(set(table["step"].to_pylist()))
        say(f"{n_steps} checkpoint{'s'[: n_steps != 1]}; draw their scores over steps with  m3di report {path.parent}")
    else:
        names = dict.fromkeys(table["data"].to_pylist())
        for name in names:
            if list(names) != ["factual"]:
                click.echo(f"\n{name}")
            on_these = table.filter(pc.equal(table["data"], name))  # type: ignore[attr-defined]
            for path_of in paths:  # seeds of one sweep have a mean, and runs of different ones have none
                at = path_of.resolve()
                own = [each.name for each in members if at in (each.path.resolve(), each.path.resolve().parent)]
                rows = on_these.filter(pc.is_in(on_these["run"], pa.array(own)))  # type: ignore[attr-defined]
                if len(paths) > 1 and len(rows):
                    click.echo(f"\n{path_of}")
                if len(rows):
                    _print_scores(rows, several=len(own) > 1)
    say(f"{path}: {len(table)} scores of {len(members)} run{'s'[: len(members) > 1]}")


def _request(options: dict[str, Any], runs: Sequence[Path], split: str) -> Request:
    """Return what is to be evaluated on a split."""
    from m3di.evaluate import Request

    return Request(
        data=_data(options, runs, split),
        split=split,
        protocol=_protocol(options),
        factors=_names(options["factors"]),
        device=options["device"],
        n_workers=options["load_workers"],
        again=options["again"],
        all_checkpoints=options["all_checkpoints"],
        save_encodings=options["save_encodings"],
    )


@command(
    examples=(
        "m3di compare runs/first runs/second",
        "m3di compare runs/first runs/second --probes linear --out differences.csv",
    )
)
@click.argument("first", type=PATH, metavar="FIRST")
@click.argument("second", type=PATH, metavar="SECOND")
@IMPORT
@click.option("--data", "root", type=PATH, help="Dataset to evaluate on.  [default: the one the runs were trained on]")
@with_options(*PROBE_OPTIONS)
@click.option("--split", type=SPLITS, default="test", show_default=True, metavar="NAME", help="Score on this split.")
@click.option("--n-bootstrap", default=1000, show_default=True, help="Resamples behind each p value of two runs.")
@click.option("--out", type=PATH, help="Also write the differences to this .parquet or .csv.")
@JSON
def compare(first: Path, second: Path, out: Path | None, as_json: bool, **options: Any) -> None:
    """Test whether one run, or sweep, scores higher than another: every difference with its interval and p value.

    Two runs are compared by the bootstrap over the same test samples, two sweeps by a paired t test over equal seeds.
    """
    from m3di.evaluate import Request, check_table_name, data_for, members_of, write_results
    from m3di.evaluate import compare as compare_runs
    from m3di.system.plugins import import_modules

    if out is not None:
        check_table_name(out)
    import_modules(options["modules"])
    split = options["split"]
    root: Path | None = options["root"]
    data = None
    if root is not None:
        runs = [member.path for path in (first, second) for member in members_of([path])[0]]
        data = data_for(runs, root, split=split)
    request = Request(data, _protocol(options), _names(options["factors"]), options["device"], split=split)
    notes: list[str] = []
    table = compare_runs(first, second, request, notes.append)
    for note in notes:
        remark(note)
    if out is not None:
        write_results(out, table)
    if as_json:
        print_json({"first": str(first), "second": str(second), "left_out": notes, "differences": table.to_pylist()})
    else:
        _print_differences(table)


@command(examples=("m3di report runs/m3di-001", "m3di report runs/sizes --metric linear --classifier logistic"))
@click.argument("path", type=PATH, metavar="RUN|SWEEP")
@click.option("--out", type=PATH, help="Folder of the figures.  [default: figures in the run or sweep]")
@click.option("--metric", default="kernel_ridge", show_default=True, help="Estimator of numbers: or linear.")
@click.option("--classifier", default="mlp", show_default=True, help="Estimator of labels: or logistic.")
def report(path: Path, out: Path | None, metric: str, classifier: str) -> None:
    """Draw the figures of an evaluated run or sweep, as PNG and PDF."""
    from m3di.report.runs.figures import save_report

    for figure in save_report(path, out or (path if path.is_dir() else path.parent) / "figures", metric, classifier):
        say(f"look at  {figure}")


def _data(options: dict[str, Any], runs: Sequence[Path], split: str) -> ProbeData | None:
    """Return the samples that were asked for; None if each run uses those that it was trained on."""
    from m3di.evaluate import ProbeData, data_for
    from m3di.learn.training.run_folder import read_config

    root: Path | None = options["root"]
    interventions, permuted = options["interventions"], options["permute_content"]
    if not interventions and not permuted:
        refuse_given(options, "--do or --permute-content")
        if root is None:
            if options["fit_root"] is not None:
                raise UsageError("--fit needs --data or --do", where="--fit")
            return None
        fit_root: Path | None = options["fit_root"]
        return data_for(runs, root, fit_root, split)
    from m3di.evaluate.encode import check_trained_on
    from m3di.generate.twins import render_twin

    if any(run.suffix == ".npz" for run in runs):
        raise UsageError("an .npz holds encodings that were made already", where="--do", next_step="leave --do out")
    workers: Any = {name: options[name] for name in WORKERS if options[name] is not None}
    factual = root or Path(read_config(runs[0]).get("data", {}).get("root", ""))
    if root is None:  # else a twin of the one run's data would be scored as that of another
        known = ProbeData(factual)  # opened once for all runs
        for run in runs:
            check_trained_on(run, known)
    ProbeData(factual, fit_root=options["fit_root"], split=split)  # is refused before anything is rendered
    with watched_bar("render") as (count, watch):
        folder, name = render_twin(
            factual,
            interventions=interventions,
            permuted=permuted,
            split=split,
            progress=count,
            watch=watch,
            **workers,
        )
    fit_root = options["fit_root"]
    return ProbeData(folder, name if fit_root is None else f"{name}, fitted on {fit_root.name}", fit_root, split)


def _protocol(options: dict[str, Any]) -> Protocol:
    from m3di.evaluate import Protocol

    if options["n_folds"] is not None and options.get("fit_root") is not None:
        raise UsageError(
            "folds are cut from the samples of one dataset", where="--folds", got="--fit too", next_step="leave one out"
        )
    return Protocol(_names(options["probes"]), options["n_bootstrap"], n_folds=options["n_folds"])


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _default_out(paths: tuple[Path, ...], requests: Sequence[Request], *, over_steps: bool) -> Path:
    from m3di.evaluate.runs import OVER_STEPS, RESULTS, file_name

    kind = OVER_STEPS if over_steps else RESULTS
    if len(requests) > 1:  # what is in it is beside it too, a file a split: it must not be gathered with them
        kind = f"several-{kind}"
    name = file_name(" ".join(each.data_name for each in requests), kind)
    if len(paths) == 1:
        return paths[0] / name if paths[0].is_dir() else paths[0].with_suffix(".parquet")
    return Path(os.path.commonpath([path.resolve().parent for path in paths])) / name


def _print_scores(table: Any, *, several: bool) -> None:
    """Print a line for each score; means over seeds for several runs."""
    from m3di.evaluate import over_seeds, swept

    settings = swept(table)
    columns = ["view", "factor", "role", "estimator", "metric", "score", "95 % interval", "chance", "bound"]
    shown = Table(*(["size"] if several else []), *settings, *columns, box=None)
    for row in (over_seeds(table) if several else table).to_pylist():
        first = [*([str(row["encoding_size"])] if several else []), *(str(row[name]) for name in settings)]
        interval = "" if row["ci_low"] is None else f"{row['ci_low']:.3f} to {row['ci_high']:.3f}"
        names = [row[name] for name in ("view", "factor", "role", "estimator", "metric")]
        numbers = [_number(row["mean" if several else "value"]), interval, _number(row["chance"])]
        shown.add_row(*first, *names, *numbers, _number(row["bound"]))
    Console(width=150).print(shown)


def _print_differences(table: Any) -> None:
    columns = ["view", "factor", "estimator", "metric", "first", "second", "difference", "95 % interval", "p", "n"]
    from m3di.evaluate import COMPARISON

    samples = sorted(set(table["data"].to_pylist()))
    if samples != ["factual"]:
        click.echo(f"\n{', '.join(samples)}")
    settings = [name for name in table.column_names if name not in COMPARISON.names]  # of sweeps
    shown = Table(*("size" if name == "encoding_size" else name for name in settings), *columns, box=None)
    for row in table.to_pylist():
        values = [str(row[name]) for name in settings]
        names = [row[name] for name in ("view", "factor", "estimator", "metric")]
        interval = "" if row["ci_low"] is None else f"{row['ci_low']:+.3f} to {row['ci_high']:+.3f}"
        difference = "" if row["difference"] is None else f"{row['difference']:+.3f}"
        scores = [_number(row["first"]), _number(row["second"]), difference]
        shown.add_row(*values, *names, *scores, interval, "" if row["p"] is None else f"{row['p']:.3g}", str(row["n"]))
    Console(width=150).print(shown)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
