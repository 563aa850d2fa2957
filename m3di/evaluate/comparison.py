"""Compare two runs, or two sweeps: the difference of each score, with its interval and p value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from m3di.errors import M3diError, UsageError
from m3di.evaluate.encoded import Encoded
from m3di.evaluate.metric import Score
from m3di.evaluate.probes import Difference, paired_bootstrap, paired_over_seeds
from m3di.evaluate.results import PER_RUN, swept
from m3di.evaluate.runs import Request, data_of, evaluate_all, members_of, scores_of
from m3di.learn.training.sweep import SWEEP_NAME

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


def compare(first: Path, second: Path, request: Request | None = None) -> pa.Table:
    """Subtract every score of the second from that of the first.

    Two runs (or files of encodings) are compared by the bootstrap, on the same resamples of the same test samples. Two
    sweeps are compared by Student's paired t test over equal seeds, for each combination of their other settings.

    Args:
        first: A run, an .npz or a sweep.
        second: Another one of the same kind.
        request: What to evaluate, and how.

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
    rows = (_of_sweeps if sweeps[0] else _of_runs)(first, second, request)
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
    _check_same_samples(*encoded)
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


def _check_same_samples(one: Encoded, other: Encoded) -> None:
    for view in one.factors.keys() & other.factors.keys():
        known = {each.full_name: each.test for each in other.factors[view]}
        for each in one.factors[view]:
            if each.full_name in known and not np.array_equal(each.test, known[each.full_name]):
                raise M3diError(
                    "the two were evaluated on different samples",
                    where=f"{one.run} and {other.run}",
                    got=f"different values of {each.full_name}",
                    expected="the same test samples in the same order",
                    next_step="name one dataset for both with --data",
                )


def _of_sweeps(first: Path, second: Path, request: Request) -> list[Row]:
    tables = [evaluate_all(members_of([path])[0], request) for path in (first, second)]
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


def _row(named: Row, first: float, second: float, found: Difference, test: str, n: int) -> Row:
    numbers = {"first": first, "second": second, "difference": found.value, **asdict(found)}
    del numbers["value"]
    clean = {name: value if np.isfinite(value) else None for name, value in numbers.items()}
    return {**named, **clean, "test": test if clean["p"] is not None else None, "n": n}
