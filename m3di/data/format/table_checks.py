"""Check that a table is what its manifest promises, before any row is used.

A table may come from a stranger: shards become paths, offsets and sizes become ranges to read, keys become file names,
values become indices. All checks work on whole columns, so millions of rows take well under a second.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from m3di.data.format.limits import MAX_SAMPLES, MAX_SEED
from m3di.data.format.manifest import Manifest
from m3di.latents import Factor, Spec
from m3di.latents.splits import is_split_name

ORIGIN = ("origin_seed", "origin_split", "origin_index")
"""Columns of a derived dataset: which sample of which dataset each row was."""
KEY = r"^[A-Za-z0-9_-]+$"
MAX_ROW_BYTES, MAX_BASE_BYTES = 1 << 14, 1 << 22
"""A column may take so many bytes for each row, and these once (a dictionary), before it is compressed."""


def metadata_problems(found: pq.FileMetaData, n_rows: int) -> Iterator[str]:
    """List problems of a table by its metadata, before its rows are read."""
    if found.num_rows != n_rows:
        yield f"{found.num_rows} rows, expected {n_rows}"
        return
    most = MAX_BASE_BYTES + MAX_ROW_BYTES * n_rows
    for number in range(found.num_columns):
        groups = [found.row_group(group).column(number) for group in range(found.num_row_groups)]
        n_bytes = sum(group.total_uncompressed_size for group in groups)
        if not 0 <= n_bytes <= most:
            yield f"its column {number} says that it takes {n_bytes:,} bytes, expected at most {most:,}"
            return


def table_problems(table: pa.Table, manifest: Manifest, spec: Spec, split: str) -> Iterator[str]:
    """List problems of the rows of a split; the first one is enough to refuse the table.

    Args:
        table: Its table.
        manifest: The dataset.
        spec: The spec of the manifest.
        split: The split.
    """
    ranges = [f"{extension}_{part}" for extension in manifest.extensions.values() for part in ("offset", "size")]
    places = {"shard": "texts", **dict.fromkeys(ranges, "integers")}
    checks = [_keys(table), _places(table, manifest, split), _values(table, spec)]
    if manifest.source == "derived":
        places |= dict(zip(ORIGIN, ("integers", "texts", "integers"), strict=True))
        checks.append(_origin(table))
    yield from _first(_kinds(table, spec, places), *checks)


def published_problems(table: pa.Table, spec: Spec) -> Iterator[str]:
    """List problems of a table beside the published layout, which has no shards."""
    yield from _first(_kinds(table, spec, {}), _keys(table), _values(table, spec))


def _first(*checks: Iterator[str]) -> Iterator[str]:
    """Return the first problem: later checks rely on the earlier ones."""
    for check in checks:
        problem = next(check, None)
        if problem is not None:
            yield problem
            return


def _kinds(table: pa.Table, spec: Spec, places: dict[str, str]) -> Iterator[str]:
    """Find columns that are missing, have another type or empty cells, or hold no text."""
    texts = dict.fromkeys(["key", *(f"{view}.caption" for view in spec.told)], "texts")
    expected = {**texts, **places, **{name: _kind(factor) for name, factor in _factors(spec)}}
    missing = [name for name in expected if name not in table.column_names]
    if missing:
        yield f"column {missing[0]} is missing"
        return
    for name in table.column_names:
        column, kind = table[name], table.schema.field(name).type
        is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        fits = {
            "texts": is_text,
            "integers": pa.types.is_integer(kind),
            "numbers": pa.types.is_floating(kind) or pa.types.is_integer(kind),
            None: is_text or pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind),
        }
        if not fits[expected.get(name)]:
            yield f"column {name} has the type {kind}, expected {expected.get(name) or 'texts or numbers'}"
        if name in expected and column.null_count:
            row = pc.index(pc.is_null(column), True).as_py()  # type: ignore[attr-defined]
            yield f"row {row}: {name} is empty"
        if is_text:
            try:
                column.validate(full=True)
            except pa.ArrowException as error:
                yield f"column {name} is no text: {error}"


def _kind(factor: Factor) -> str:
    return "numbers" if factor.type == "continuous" else "integers"


def _factors(spec: Spec) -> Iterator[tuple[str, Factor]]:
    """Yield the column of the raw values of every factor in every view."""
    for view, observed in spec.observed.items():
        for name in observed.view.factors:
            yield f"{view}.{name}", spec.factors[name]


def _keys(table: pa.Table) -> Iterator[str]:
    """Find keys that are not file names, or occur twice."""
    odd = pc.invert(pc.match_substring_regex(table["key"], KEY))  # type: ignore[attr-defined]
    if pc.any(odd).as_py():  # type: ignore[attr-defined]
        row = pc.index(odd, True).as_py()
        yield f"row {row}: the key {table['key'][row].as_py()!r} is no plain name"
    if pc.count_distinct(table["key"]).as_py() != table.num_rows:  # type: ignore[attr-defined]
        yield "a key is there twice"


def _places(table: pa.Table, manifest: Manifest, split: str) -> Iterator[str]:
    """Find shards of another split, and ranges outside their shard."""
    shards = {shard.file: shard.n_bytes for shard in manifest.splits[split].shards}
    known = pa.array(list(shards), table.schema.field("shard").type)
    number = pc.index_in(table["shard"], value_set=known)  # type: ignore[attr-defined]
    if number.null_count:
        row = pc.index(pc.is_null(number), True).as_py()  # type: ignore[attr-defined]
        yield f"row {row}: the shard {table['shard'][row].as_py()!r} is not one of the split"
        return
    n_bytes = np.array(list(shards.values()), dtype=np.int64)[number.to_numpy()]
    for extension in manifest.extensions.values():
        offset, size = (_integers(table, f"{extension}_{part}") for part in ("offset", "size"))
        # A sum could be more than the type holds.
        wrong = np.flatnonzero((offset < 0) | (size < 0) | (size > n_bytes) | (offset > n_bytes - size))
        if len(wrong):
            row = int(wrong[0])
            yield f"row {row}: {extension} at {offset[row]}, {size[row]} bytes, is not in its shard"


def _origin(table: pa.Table) -> Iterator[str]:
    """Find origins that are no sample of any dataset."""
    seed, split, index = ORIGIN
    unknown = [each for each in pc.unique(table[split]).to_pylist() if not is_split_name(each)]  # type: ignore[attr-defined]
    if unknown:
        yield f"{split} says {min(unknown)!r}, expected train, val, test or another plain name"
    for name, most in ((seed, MAX_SEED), (index, MAX_SAMPLES)):
        values = _integers(table, name)
        wrong = np.flatnonzero((values < 0) | (values > most))
        if len(wrong):
            yield f"row {wrong[0]}: {name} is {values[wrong[0]]}, expected 0 to {most}"


def _integers(table: pa.Table, name: str) -> NDArray[np.int64]:
    column = table[name]
    if pa.types.is_uint64(column.type):  # what is too large becomes negative, and is refused as that
        return column.to_numpy().astype(np.int64)
    return column.cast(pa.int64()).to_numpy()


def _values(table: pa.Table, spec: Spec) -> Iterator[str]:
    """Find raw values outside the range of their factor."""
    for name, factor in _factors(spec):
        low, high = factor.bounds
        raw = table[name].to_numpy()
        wrong = np.flatnonzero(~((raw >= low) & (raw <= high)))
        if len(wrong):
            yield f"row {wrong[0]}: {name} is {raw[wrong[0]]}, expected {low:g} to {high:g}"
