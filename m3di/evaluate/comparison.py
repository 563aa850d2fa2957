"""Compare two runs, or two sweeps: the difference of each score, with its interval and p value."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from m3di.errors import M3diError, UsageError
from m3di.evaluate.encoded import Encoded, FactorValues
from m3di.evaluate.metric import Score
from m3di.evaluate.probes import Difference, paired_bootstrap, paired_over_seeds
from m3di.evaluate.results import PER_RUN, SCHEMA, swept
from m3di.evaluate.runs import NamedRun, Request, data_of, evaluate_all, members_of, scores_of
from m3di.learn.training.run_folder import SWEEP_NAME, read_config

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
        on_note: Called with what is left out of two sweeps: unfinished runs, and runs without one of equal seed and
            settings in the other.

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
    factors, others = one.all_factors or one.factors, other.all_factors or other.factors  # chosen or not
    for view in factors.keys() & others.keys():
        known = {each.full_name: each for each in others[view]}
        for each in factors[view]:
            its = known.get(each.full_name, each)
            if not _equal(each, its, "test") or (fit_too and not _equal(each, its, "fit")):
                raise M3diError(
                    "the two were evaluated on different samples",
                    where=f"{one.run} and {other.run}",
                    got=f"different values of {each.full_name}",
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
    tables, trained_on = [], []
    for path in (first, second):
        members, unfinished = members_of([path])
        for name in unfinished:
            on_note(f"{name}: not finished, left out")
        trained_on.append({_trained_on(member) for member in members})
        if request.data is None and trained_on[0] != trained_on[-1]:
            raise M3diError(
                "the two were evaluated on different samples",
                where=f"{first} and {second}",
                got=f"trained on {' and '.join(', '.join(sorted(map(str, each))) for each in trained_on)}",
                expected="one dataset",
                next_step="name one dataset for both with --data",
            )
        tables.append(evaluate_all(members, request))
    shared = [name for name in tables[0].column_names if name in tables[1].column_names]
    for path, table in zip((first, second), tables, strict=True):
        lone = [name for name in swept(table) if name not in shared]
        if lone:  # each of its values would be compared with the same runs of the other
            raise UsageError(
                f"only one of the two sweeps varies {lone[0]}",
                where=str(path),
                got=", ".join(sorted(set(map(str, table[lone[0]].to_pylist())))),
                expected="two sweeps over the same settings",
                next_step="compare single runs of them, or sweep both over the same values",
            )
    keys = [name for name in shared if name not in PER_RUN]
    settings = ["encoding_size", *(name for name in keys if name not in SCHEMA.names)]
    _note_lone((first, second), tables, settings, on_note)
    pairs: dict[tuple[Any, ...], list[tuple[float, float]]] = {}
    others = {(row["seed"], *(row[key] for key in keys)): row["value"] for row in tables[1].to_pylist()}
    for row in tables[0].to_pylist():
        key = tuple(row[name] for name in keys)
        ours, theirs = row["value"], others.get((row["seed"], *key))
        if ours is not None and theirs is not None:
            pairs.setdefault(key, []).append((ours, theirs))
    rows = []
    for key, found in pairs.items():
        both = np.array(found)  # [S, 2]
        difference = paired_over_seeds(both[:, 0], both[:, 1])
        named = dict(zip(keys, key, strict=True))
        first_mean, second_mean = both.mean(axis=0).tolist()
        rows.append(_row(named, first_mean, second_mean, difference, PAIRED_T, len(found)))
    return rows


def _trained_on(member: NamedRun) -> str | None:
    """Fingerprint of the dataset of a run, cut as in other messages."""
    fingerprint = read_config(member.path).get("data", {}).get("fingerprint")
    return None if fingerprint is None else str(fingerprint)[:12]


def _row(named: Row, first: float, second: float, found: Difference, test: str, n: int) -> Row:
    numbers = {"first": first, "second": second, "difference": found.value, **asdict(found)}
    del numbers["value"]
    clean = {name: value if np.isfinite(value) else None for name, value in numbers.items()}
    return {**named, **clean, "test": test if clean["p"] is not None else None, "n": n}
