"""Results as a tidy table with a row a score: write it as Parquet or CSV, gather runs, average over seeds."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from m3di.data import UNREADABLE, read_parquet, read_parquet_schema
from m3di.errors import DataError, M3diError, UsageError
from m3di.evaluate.encoded import Encoded
from m3di.evaluate.metric import Score, cut_to_range
from m3di.evaluate.probes import interval_over_seeds
from m3di.system.disk import disk_errors
from m3di.system.files import partial_of, publish

# One row a score. Columns of a sweep's other settings may follow.
SCHEMA = pa.schema(
    [
        ("run", pa.string()),
        ("encoding_size", pa.int64()),
        ("seed", pa.int64()),
        ("data", pa.string()),
        ("view", pa.string()),
        ("factor", pa.string()),
        ("kind", pa.string()),
        ("role", pa.string()),
        ("estimator", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("chance", pa.float64()),
        ("bound", pa.float64()),
        ("ci_low", pa.float64()),
        ("ci_high", pa.float64()),
        ("n_fit", pa.int64()),
        ("n_test", pa.int64()),
    ]
)
PER_RUN = ("run", "seed", "value", "chance", "bound", "ci_low", "ci_high", "n_fit", "n_test")
MADE_BY = b"m3di.evaluation"


def to_table(encoded: Encoded, scores: Sequence[Score], n_folds: int | None = None) -> pa.Table:
    """Make the table of one run's scores; a missing number is null.

    Args:
        encoded: What was scored.
        scores: Its scores.
        n_folds: See `Protocol`. `n_fit` is then that of the smallest fit, and `n_test` counts all samples.
    """
    n_fit, n_test = map(len, next(iter(encoded.encodings.values())))
    if n_folds is not None:
        n_fit, n_test = (n_fit + n_test) - -(-(n_fit + n_test) // n_folds), n_fit + n_test
    same: dict[str, Any] = {"run": encoded.run, "seed": None, "data": encoded.data}
    same |= {name: value for name, value in encoded.attributes.items() if value is not None}
    same |= {"n_fit": n_fit, "n_test": n_test}
    rows = []
    for each in scores:
        sized: dict[str, Any] = {"encoding_size": _encoding_size(encoded, each)}
        rows.append({**sized, **same, **{name: _null(value) for name, value in each.as_row().items()}})
    return _table(rows)


def _encoding_size(encoded: Encoded, of: Score) -> int | None:
    """The size of the encodings that a score is of: one view's, or that of several, None where theirs are not equal."""
    sizes = {view: fit.shape[1] for view, (fit, _) in encoded.encodings.items()}
    found = {sizes[name] for name in (of.view, of.factor) if name in sizes} or set(sizes.values())
    return found.pop() if len(found) == 1 else None


def write_results(path: Path, table: pa.Table, made_by: Mapping[str, Any] | None = None) -> None:
    """Write a table as Parquet or CSV, by the ending of the file's name.

    Args:
        path: The file.
        table: The table.
        made_by: All that decides the numbers; kept in the Parquet, see `is_made_by`.

    Raises:
        UsageError: Another ending.
        M3diError: The file cannot be written.
    """
    check_table_name(path)
    partial = partial_of(path)
    with disk_errors(path, "the results cannot be written", kept=False):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".csv":
            pacsv.write_csv(table, partial)  # type: ignore[attr-defined]
        else:
            metadata = {MADE_BY: json.dumps(made_by, sort_keys=True).encode()} if made_by is not None else {}
            pq.write_table(table.replace_schema_metadata(metadata), partial, compression="zstd")
        publish(partial, path)


def check_table_name(path: Path) -> None:
    """Raise UsageError unless a table can have this name: better before the scores are there than after."""
    if path.suffix not in (".parquet", ".csv"):
        raise UsageError("unknown table format", where=str(path), got=path.suffix, expected=".parquet or .csv")


def read_results(path: Path) -> pa.Table:
    """Read the results of a Parquet file.

    Raises:
        M3diError: It is missing, or holds something else.
    """
    if not path.is_file():
        raise M3diError("there are no results", where=str(path), next_step="m3di evaluate RUN")
    try:
        table = read_parquet(path)
    except UNREADABLE as error:
        raise DataError("the results cannot be read", where=str(path), got=error, next_step="m3di evaluate") from None
    missing = [name for name in SCHEMA.names if name not in table.column_names]
    if missing:
        raise DataError("the table holds no results", where=str(path), got=f"no column {missing[0]!r}")
    return table


def is_made_by(path: Path, made_by: Mapping[str, Any]) -> bool:
    """Whether a Parquet file of results was made by exactly this."""
    if not path.is_file():
        return False
    metadata = read_parquet_schema(path).metadata or {}
    return metadata.get(MADE_BY) == json.dumps(made_by, sort_keys=True).encode()


def version_of(path: Path) -> int:
    """Version of the metrics behind a Parquet file of results that a run keeps; 0 if that is not noted."""
    made_by = (read_parquet_schema(path).metadata or {}).get(MADE_BY)
    return int(json.loads(made_by).get("version", 0)) if made_by is not None else 0


def gather(tables: Iterable[pa.Table]) -> pa.Table:
    """Join the results of several runs; a column that one of them lacks is null there."""
    return pa.concat_tables([table.replace_schema_metadata(None) for table in tables], promote_options="default")


def with_columns(table: pa.Table, values: Mapping[str, Any]) -> pa.Table:
    """Add columns of one value each, such as the settings of a sweep; known columns stay."""
    for name, value in values.items():
        if name not in table.column_names:
            table = table.append_column(name, pa.array([value] * len(table)))
    return table


def swept(table: pa.Table) -> list[str]:
    """Name the settings in which the runs of a table differ, beside encoding size and seed."""
    known = {*SCHEMA.names, "step", "n_seeds", "mean", "std"}
    further = [name for name in table.column_names if name not in known]
    return [name for name in further if len(set(map(str, table[name].to_pylist()))) > 1]


def over_seeds(table: pa.Table) -> pa.Table:
    """Average each score over runs that differ only in their seed.

    Returns:
        The columns that name the score, then `n_seeds`, `mean`, `std` (of the sample, null for one seed), `ci_low`
        and `ci_high` (95 %, Student's t, cut where the metric ends), `chance` and `bound` (means). Values that are
        null are left out.
    """
    keys = [name for name in table.column_names if name not in PER_RUN]
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in table.to_pylist():
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    rows = []
    for key, members in groups.items():
        values = np.array([each["value"] for each in members if each["value"] is not None], dtype=np.float64)
        low, high = interval_over_seeds(values)
        low, high = cut_to_range(str(dict(zip(keys, key, strict=True))["metric"]), low, high)
        row = dict(zip(keys, key, strict=True)) | {"n_seeds": len(values)}
        row["mean"] = float(values.mean()) if len(values) else None
        row["std"] = float(values.std(ddof=1)) if len(values) > 1 else None
        row |= {"ci_low": _null(low), "ci_high": _null(high)}
        for name in ("chance", "bound"):
            known = [each[name] for each in members if each[name] is not None]
            row[name] = float(np.mean(known)) if known else None
        rows.append(row)
    return pa.Table.from_pylist(rows)


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    further = [name for name in rows[0] if name not in SCHEMA.names] if rows else []
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    return with_columns(table, {name: rows[0][name] for name in further})


def _null(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
