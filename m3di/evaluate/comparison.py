"""Compare two runs, or two sweeps: the difference of each score, with its interval and p value."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from m3di.errors import M3diError, UsageError
from m3di.evaluate.encoded import Encoded, FactorValues
from m3di.evaluate.metric import Score
from m3di.evaluate.probes import Difference, paired_bootstrap, paired_over_seeds
from m3di.evaluate.results import PER_RUN, SCHEMA, swept
from m3di.evaluate.runs import VAL_LOSS, NamedRun, Request, data_of, evaluate_all, members_of, scores_of
from m3di.learn.losses import LossSettings
from m3di.learn.training.config import DEFAULTS
from m3di.learn.training.run_folder import SWEEP_NAME, read_config, read_summary

BOOTSTRAP, PAIRED_T = "bootstrap", "paired t"
COMPARISON = pa.schema(
    [
        *((name, pa.string()) for name in ("view", "factor", "kind", "role", "estimator", "metric", "data")),
        *((name, pa.float64()) for name in ("first", "second", "difference", "ci_low", "ci_high", "p")),
        ("test", pa.string()),  # the test behind interval and p value
        ("n", pa.int64()),  # test samples, or pairs of runs
    ]
)
Row = dict[str, Any]


def compare(
    first: Path, second: Path, request: Request | None = None, on_note: Callable[[str], object] = warnings.warn
) -> pa.Table:
    """Subtract every score of the second from that of the first.

    Two runs (or files of encodings) are compared by the bootstrap, on the same resamples of the same test samples. Two
    sweeps are compared by Student's paired t test over equal seeds, for each combination of their other settings.

    Args:
        first: A run, an .npz or a sweep.
        second: Another one of the same kind.
        request: What to evaluate, and how.
        on_note: Called with what is left out of two sweeps: unfinished runs, runs without one of equal seed and
            settings in the other, and validation losses of different objectives.

    Raises:
        M3diError: They have no score in common, were evaluated on different samples, or have no seed in common.
        UsageError: One is a sweep and the other is not.
    """
    request = request or Request()
    sweeps = [(path / SWEEP_NAME).is_file() for path in (first, second)]
    if sweeps[0] != sweeps[1]:
        raise UsageError(
            "a sweep cannot be compared with a single run",
            got=" and ".join(
                f"{path} ({'sweep' if is_one else 'run'})" for path, is_one in zip((first, second), sweeps, strict=True)
            ),
            expected="two runs, or two sweeps with the same seeds",
        )
    rows = _of_sweeps(first, second, request, on_note) if sweeps[0] else _of_runs(first, second, request)
    if not rows:
        raise M3diError(
            "the two have no score in common",
            where=f"{first} and {second}",
            expected="views, factors and encoding sizes that both have",
        )
    further = [name for name in rows[0] if name not in COMPARISON.names]
    schema = COMPARISON
    for name in further:
        schema = schema.append(pa.field(name, pa.array([row[name] for row in rows]).type))
    return pa.Table.from_pylist(rows, schema=schema)


def _of_runs(first: Path, second: Path, request: Request) -> list[Row]:
    encoded, scores = zip(*(_scored(path, request) for path in (first, second)), strict=True)
    _check_same_samples(encoded[0], encoded[1], fit_too=request.protocol.n_folds is not None)
    others: Mapping[tuple[str, ...], Score] = {each.key: each for each in scores[1]}
    n_fit, n_test = map(len, next(iter(encoded[0].encodings.values())))
    n = n_test if request.protocol.n_folds is None else n_fit + n_test
    rows = []
    for one in scores[0]:
        other = others.get(one.key)
        if other is None:
            continue
        value = one.value - other.value
        if one.resampled is None or other.resampled is None:
            found = Difference(value)
        else:
            found = paired_bootstrap(value, one.resampled, other.resampled)
        named = {name: getattr(one, name) for name in ("view", "factor", "kind", "role", "estimator", "metric")}
        rows.append(_row({**named, "data": encoded[0].data}, one.value, other.value, found, BOOTSTRAP, n))
    return rows


def _scored(path: Path, request: Request) -> tuple[Encoded, list[Score]]:
    (member,), _ = members_of([path])
    return scores_of(member, request, None if path.suffix == ".npz" else data_of(member, request))


def _check_same_samples(one: Encoded, other: Encoded, fit_too: bool) -> None:
    """Check that test samples are the same; with folds those to fit too, which are scored as well."""
    views = one.encodings.keys() & other.encodings.keys()
    if not views:
        return  # no score is compared
    both, parts = (one, other), ("test", "fit") if fit_too else ("test",)
    for part in parts:
        counts = [len(next(iter(each.encodings.values()))[part == "test"]) for each in both]
        if counts[0] != counts[1]:
            raise _other_samples(both, f"{counts[0]} and {counts[1]} samples to {'score' if part == 'test' else part}")
    factors, others = (each.all_factors or each.factors for each in both)  # chosen or not
    known = {(view, each.full_name): each for view in views for each in others[view]}
    ours = {(view, each.full_name): each for view in views for each in factors[view]}
    shared = [(each, known[key]) for key, each in ours.items() if key in known]
    for each, its in shared:
        if not all(_equal(each, its, part) for part in parts):
            raise _other_samples(both, f"different values of {each.full_name}")
    n_noted = 3 if fit_too else 2
    if not shared and (one.samples[:n_noted] != other.samples[:n_noted] or not all(one.samples[:n_noted])):
        raise _other_samples(both, "no factor that both have, and not the same fingerprint and split noted in both")


def _other_samples(both: tuple[Encoded, Encoded], got: str) -> M3diError:
    return M3diError(
        "the two were evaluated on different samples",
        where=" and ".join(each.run for each in both),
        got=got,
        expected="the same test samples in the same order",
        next_step="name one dataset for both with --data",
    )


def _equal(one: FactorValues, other: FactorValues, part: str) -> bool:
    """Whether a factor is the same in all samples; labels by their order: a file of encodings numbers those it has."""
    values = getattr(one, part), getattr(other, part)
    if not (one.is_number or other.is_number):
        return np.array_equal(*(np.unique(each, return_inverse=True)[1] for each in values))
    return np.array_equal(*values)


def _note_lone(
    paths: Sequence[Path], tables: Sequence[pa.Table], settings: Sequence[str], on_note: Callable[[str], object]
) -> None:
    """Say which runs have none of equal seed and settings in the other sweep."""
    runs = []
    for table in tables:
        rows = table.select(["run", "seed", *settings]).to_pylist()
        runs.append({(row["seed"], *(row[name] for name in settings)): row["run"] for row in rows})
    for path, own, others in zip(paths, runs, reversed(runs), strict=True):
        lone = sorted({run for key, run in own.items() if key not in others})
        if lone:
            some = ", ".join(lone[:5]) + (f" and {len(lone) - 5} more" if len(lone) > 5 else "")
            on_note(f"{path}: left out {some}, without a run of equal seed and settings in the other sweep")


def _of_sweeps(first: Path, second: Path, request: Request, on_note: Callable[[str], object]) -> list[Row]:
    members = _members_of_sweeps(first, second, request, on_note)
    tables = [evaluate_all(own, request) for own in members]
    shared = [name for name in tables[0].column_names if name in tables[1].column_names]
    _check_varied((first, second), tables, shared)
    keys = [name for name in shared if name not in PER_RUN]
    settings = ["encoding_size", *(name for name in keys if name not in SCHEMA.names)]
    _note_lone((first, second), tables, settings, on_note)
    by_name = [{each.name: each for each in own} for own in members]
    others = {(row["seed"], *(row[key] for key in keys)): row for row in tables[1].to_pylist()}
    pairs, differing = dict[tuple[Any, ...], list[tuple[float, float]]](), dict[str, None]()
    for row in tables[0].to_pylist():
        key = tuple(row[name] for name in keys)
        other = others.get((row["seed"], *key))
        if other is None or row["value"] is None or other["value"] is None:
            continue
        if row["metric"] == VAL_LOSS:
            ours, theirs = _objective(by_name[0][row["run"]]), _objective(by_name[1][other["run"]])
            if ours != theirs:
                differing |= {name: None for name in ours if ours[name] != theirs[name]}
                continue
        pairs.setdefault(key, []).append((row["value"], other["value"]))
    if differing:
        on_note(f"{VAL_LOSS} left out: the two sweeps do not have the same {', '.join(differing)}")
    return [_of_pairs(dict(zip(keys, key, strict=True)), np.array(found)) for key, found in pairs.items()]


def _check_varied(paths: Sequence[Path], tables: Sequence[pa.Table], shared: Sequence[str]) -> None:
    """Check that both sweeps know what either varies: else each of its values would have the same runs of the other."""
    for path, table in zip(paths, tables, strict=True):
        lone = [name for name in swept(table) if name not in shared]
        if lone:
            raise UsageError(
                f"only one of the two sweeps varies {lone[0]}",
                where=str(path),
                got=", ".join(sorted(set(map(str, table[lone[0]].to_pylist())))),
                expected="two sweeps over the same settings",
                next_step="compare single runs of them, or sweep both over the same values",
            )


def _members_of_sweeps(
    first: Path, second: Path, request: Request, on_note: Callable[[str], object]
) -> list[list[NamedRun]]:
    """The finished runs of both sweeps, which are of one dataset."""
    found, trained_on = [], []
    for path in (first, second):
        members, unfinished = members_of([path])
        for name in unfinished:
            on_note(f"{name}: not finished, left out")
        found.append(members)
        trained_on.append({_trained_on(member) for member in members})
    if request.data is None and trained_on[0] != trained_on[1]:
        raise M3diError(
            "the two were evaluated on different samples",
            where=f"{first} and {second}",
            got=f"trained on {' and '.join(', '.join(sorted(map(str, each))) for each in trained_on)}",
            expected="one dataset",
            next_step="name one dataset for both with --data",
        )
    return found


def _of_pairs(named: Row, both: NDArray[np.float64]) -> Row:
    """The row of one score, from the pairs [S, 2] of runs with equal seeds."""
    first, second = both.mean(axis=0).tolist()
    return _row(named, first, second, paired_over_seeds(both[:, 0], both[:, 1]), PAIRED_T, len(both))


def _objective(member: NamedRun) -> dict[str, Any]:
    """What a validation loss depends on beside the encoders: others are numbers on another scale."""
    stored, summary = read_config(member.path), read_summary(member.path) or {}
    config, data = {**DEFAULTS, **stored.get("config", {})}, stored.get("data", {})
    return {
        **{name: config[name] for name in ("loss", "loss_options", *LossSettings.__dataclass_fields__)},
        "views": sorted(data.get("views", ())),
        "validation data": data.get("val"),
        "val_batch_size": summary.get("val_batch_size"),
    }


def _trained_on(member: NamedRun) -> str | None:
    """Fingerprint of the dataset of a run, cut as in other messages."""
    fingerprint = read_config(member.path).get("data", {}).get("fingerprint")
    return None if fingerprint is None else str(fingerprint)[:12]


def _row(named: Row, first: float, second: float, found: Difference, test: str, n: int) -> Row:
    numbers = {"first": first, "second": second, "difference": found.value, **asdict(found)}
    del numbers["value"]
    clean = {name: value if np.isfinite(value) else None for name, value in numbers.items()}
    return {**named, **clean, "test": test if clean["p"] is not None else None, "n": n}
