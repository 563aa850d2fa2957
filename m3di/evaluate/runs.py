"""Score runs, sweeps and files of encodings; keep the scores beside each run, and gather them in a table."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from m3di.errors import M3diError, UsageError
from m3di.evaluate.encode import check_trained_on, encode_run
from m3di.evaluate.encoded import FACTUAL, Encoded
from m3di.evaluate.factors import choose_factors
from m3di.evaluate.metric import Score
from m3di.evaluate.npz import read_npz, write_npz
from m3di.evaluate.probe_data import SCORED, ProbeData
from m3di.evaluate.protocol import Protocol
from m3di.evaluate.results import gather, is_made_by, read_results, to_table, with_columns, write_results
from m3di.evaluate.scores import score
from m3di.learn.training.checkpoint import all_checkpoints, latest_checkpoint, step_of, weights_name
from m3di.learn.training.run_folder import CONFIG_NAME, SWEEP_NAME, read_config, read_summary
from m3di.system.files import plain_name, read_json

RESULTS = "evaluation.parquet"
OVER_STEPS = "checkpoints.parquet"
VAL_LOSS = "val_loss"
"""Metric of the validation loss of the training, beside the scores of a run."""
VERSION = 4  # raised when a metric changes its meaning, so that results kept in runs are measured again
OnRun = Callable[[str, int, int], None]


@dataclass(frozen=True)
class NamedRun:
    """A run to evaluate, and its name.

    Attributes:
        path: Its folder, or an .npz of encodings.
        name: Its name in results.
        values: Settings of its sweep, by option.
    """

    path: Path
    name: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """Settings of an evaluation.

    Attributes:
        data: The samples; None takes the dataset that each run was trained on.
        protocol: What to measure.
        factors: Only these factors; all if empty.
        device: Where to encode: "cpu", "cuda", or "auto" (cuda where there is one).
        n_workers: Threads that load images; None as many as suit the device.
        again: Score again what was scored before.
        all_checkpoints: Score each checkpoint of each run, not only the newest.
        save_encodings: An .npz to write the encodings of a single run to.
        split: The split to score of the dataset that each run was trained on.
    """

    data: ProbeData | None = None
    protocol: Protocol = field(default_factory=Protocol)
    factors: tuple[str, ...] = ()
    device: str = "auto"
    n_workers: int | None = None
    again: bool = False
    all_checkpoints: bool = False
    save_encodings: Path | None = None
    split: str = SCORED

    @property
    def data_name(self) -> str:
        """What the samples are called in results."""
        return self.data.name if self.data is not None else FACTUAL if self.split == SCORED else self.split


def members_of(paths: Sequence[Path]) -> tuple[list[NamedRun], list[str]]:
    """List the finished runs of run folders, sweep folders and .npz files, and the names of unfinished members.

    A run that is named twice, by itself and by its sweep for example, is listed once; no two have the same name.

    Raises:
        M3diError: A path is none of these, or no run is finished.
    """
    found: list[NamedRun] = []
    unfinished: list[str] = []
    for path in paths:
        if (path / SWEEP_NAME).is_file():
            for run, values in _sweep_members(path / SWEEP_NAME):
                if (path / run / CONFIG_NAME).is_file() and read_summary(path / run) is not None:
                    found.append(NamedRun(path / run, f"{path.name}/{run}" if len(paths) > 1 else run, values))
                else:
                    unfinished.append(str(path / run))
        elif path.suffix == ".npz":
            found.append(NamedRun(path, path.stem))
        elif path.suffix in (".parquet", ".csv") and path.is_file():
            raise UsageError(
                "a table of results is no run",
                where=str(path),
                expected="runs, sweeps, or .npz files of encodings",
                next_step="leave it out",
            )
        else:
            read_config(path)
            found.append(NamedRun(path, str(path)))
    if not found:
        raise M3diError(
            "no run of the sweep is finished",
            where=", ".join(map(str, paths)),
            got=f"{len(unfinished)} unfinished, the first is {unfinished[0]}" if unfinished else "no members",
            next_step="run the same `m3di train --sweep` command again: it goes on where it was",
        )
    once = {member.path.resolve(): member for member in reversed(found)}
    found = [once[path] for path in dict.fromkeys(member.path.resolve() for member in found)]
    names = [member.name for member in found]
    distinct = [each if names.count(each.name) == 1 else replace(each, name=str(each.path)) for each in found]
    return distinct, unfinished


def evaluate(member: NamedRun, request: Request | None = None, opened: dict[str, ProbeData] | None = None) -> pa.Table:
    """Score a run, a row a score; keep the rows in its folder, and reuse them if nothing has changed since.

    Args:
        member: The run.
        request: What to evaluate, and how.
        opened: Datasets by root, to open each once for all runs.

    Raises:
        M3diError: Run, data or encodings are bad, or do not belong together.
        UsageError: There is no such factor, view or split.
    """
    request = request or Request()
    if member.path.suffix == ".npz":
        encoded, scores = scores_of(member, request)
        return to_table(encoded, scores, request.protocol.n_folds)
    data = data_of(member, request, opened)
    made_by = _made_by(member, data, request)
    kept = member.path / file_name(data.name)
    if is_made_by(kept, made_by) and not request.again and request.save_encodings is None:
        return with_columns(read_results(kept), member.values)
    encoded, scores = scores_of(member, request, data)
    if data.name == FACTUAL:  # the loss is that of the training, whatever else is scored
        scores = [*scores, *_val_loss(member.path)]
    table = to_table(encoded, scores, request.protocol.n_folds)
    write_results(kept, table, made_by)
    return with_columns(table, member.values)


def data_of(member: NamedRun, request: Request, opened: dict[str, ProbeData] | None = None) -> ProbeData:
    """Return the samples to evaluate a run on: the requested ones, or the dataset that it was trained on."""
    if request.data is not None:
        return request.data
    root = str(read_config(member.path).get("data", {}).get("root", ""))
    data = (opened if opened is not None else {}).setdefault(
        root, ProbeData(root, request.data_name, split=request.split)
    )
    check_trained_on(member.path, data)
    return data


def evaluate_checkpoints(
    member: NamedRun, request: Request | None = None, opened: dict[str, ProbeData] | None = None
) -> pa.Table:
    """Score each checkpoint of a run, as `evaluate` does, with its step in a column `step`.

    Raises:
        UsageError: It is an .npz, which has no checkpoints.
    """
    request = request or Request()
    if member.path.suffix == ".npz":
        raise UsageError("encodings have no checkpoints", where=str(member.path), expected="a run or a sweep")
    data = data_of(member, request, opened)
    checkpoints = all_checkpoints(member.path)
    made_by = {**_made_by(member, data, request), "weights": [_weights_sha256(each) for each in checkpoints]}
    kept = member.path / file_name(data.name, OVER_STEPS)
    if is_made_by(kept, made_by) and not request.again:
        return with_columns(read_results(kept), member.values)
    tables = []
    for checkpoint in checkpoints:
        encoded, scores = scores_of(member, request, data, checkpoint)
        table = to_table(encoded, scores, request.protocol.n_folds)
        tables.append(table.append_column("step", pa.array([step_of(checkpoint)] * len(table))))
    table = gather(tables)
    write_results(kept, table, made_by)
    return with_columns(table, member.values)


def scores_of(
    member: NamedRun, request: Request, data: ProbeData | None = None, checkpoint: Path | None = None
) -> tuple[Encoded, list[Score]]:
    """Encode a run on `data`, or read an .npz; return encodings and scores."""
    if member.path.suffix == ".npz":
        if request.save_encodings is not None:
            raise UsageError(
                "encodings that are in a file already are not saved",
                where="--save-encodings",
                got=str(member.path),
                expected="a run",
                next_step=f"copy {member.path}, or leave --save-encodings out",
            )
        encoded = replace(read_npz(member.path, request.data), run=member.name)
        _check_split(member.path, encoded, request)
    else:
        data = data or data_of(member, request)
        options: dict[str, Any] = {"device": request.device, "n_workers": request.n_workers, "checkpoint": checkpoint}
        encoded = encode_run(member.path, data, name=member.name, **options)
        if request.save_encodings is not None:
            write_npz(request.save_encodings, encoded, data.fingerprint, data.split, data.fit.fingerprint)
    chosen = choose_factors(encoded.factors, request.factors, encoded.run)
    encoded = replace(encoded, factors=chosen, all_factors=encoded.factors)
    scores = score(encoded, request.protocol)
    if not scores:
        raise UsageError(
            "nothing can be measured: none of these probes is about any of these factors",
            where=encoded.run,
            got=f"probes {', '.join(request.protocol.probes)}; factors {', '.join(request.factors) or 'all'}",
            expected="linear or kernel_ridge for numbers, logistic or mlp for labels",
            next_step="name other ones with --probes and --factors, or leave these out",
        )
    return encoded, scores


def _check_split(path: Path, encoded: Encoded, request: Request) -> None:
    """Check that a file of encodings, whose samples are what they are, holds the split that was asked for."""
    if request.data is None and request.split != SCORED and encoded.data.split()[-1] != request.split:
        raise UsageError(
            f"the file does not say that its encodings are of the split {request.split!r}",
            where=str(path),
            got=encoded.data,
            expected=f"an array `split` that holds {request.split!r}",
            next_step="leave --split out, or name the dataset of the encodings with --data",
        )


def evaluate_all(members: Sequence[NamedRun], request: Request | None = None, on_run: OnRun | None = None) -> pa.Table:
    """Score several runs in one table.

    Args:
        members: The runs.
        request: What to evaluate, and how.
        on_run: Called before each run with its name, its number from 0, and how many there are.
    """
    evaluate_one = evaluate_checkpoints if request is not None and request.all_checkpoints else evaluate
    tables, opened = [], dict[str, ProbeData]()
    for number, member in enumerate(members):
        if on_run is not None:
            on_run(member.name, number, len(members))
        tables.append(evaluate_one(member, request, opened))
    return gather(tables)


def results_of(path: Path, name: str = RESULTS) -> pa.Table:
    """Read the results of a run or a sweep: all tables of that name in its folder, or one table.

    Raises:
        M3diError: Nothing has been measured.
    """
    if path.suffix == ".parquet":
        return read_results(path)
    files = sorted(path.glob(f"{Path(name).stem}*.parquet"))
    if not files:
        raise M3diError("nothing has been measured yet", where=str(path), next_step=f"m3di evaluate {path}")
    return gather([read_results(each) for each in files])


def _val_loss(run: Path) -> list[Score]:
    loss = (read_summary(run) or {}).get("val_loss")
    return [] if loss is None else [Score("all", "all", "", "", "", VAL_LOSS, float(loss))]


def _sweep_members(path: Path) -> list[tuple[str, Mapping[str, Any]]]:
    try:
        return [(str(each["run"]), dict(each.get("values", {}))) for each in read_json(path)["members"]]
    except (ValueError, KeyError, TypeError) as error:
        raise M3diError(
            "the sweep cannot be read",
            where=str(path),
            got=f"{type(error).__name__}: {error}",
            expected='{"members": [{"run": ..., "values": {...}}, ...]}',
        ) from error


def _made_by(member: NamedRun, data: ProbeData, request: Request) -> dict[str, Any]:
    """Return all that the scores of a run depend on."""
    return {
        "version": VERSION,
        "run": member.name,
        "protocol": asdict(request.protocol),
        "factors": list(request.factors),
        "fit": data.fit.fingerprint,
        "test": data.test.fingerprint,
        "data": data.name,
        **({} if data.split == SCORED else {"split": data.split}),
        "weights": _weights_sha256(latest_checkpoint(member.path)),
    }


def _weights_sha256(checkpoint: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(checkpoint.glob(weights_name("*"))):
        digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def file_name(data: str, name: str = RESULTS) -> str:
    """Return the file name of results on these samples, of `RESULTS` or `OVER_STEPS`."""
    stem = Path(name).stem
    return name if data == FACTUAL else f"{stem}-{plain_name(data)}.parquet"
