"""What the page has to know of datasets before it asks for any row: columns, views, processes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from m3di.browse.gathered import Gathered
from m3di.browse.processes import process_in_words, processes_of
from m3di.data import ShardSource, Source
from m3di.errors import without_credentials
from m3di.latents import Factor, Spec
from m3di.report import ROLE_COLORS

Json = dict[str, Any]
PASSES = ("mask", "depth", "normal")
BOX = ("object_left_px", "object_top_px", "object_right_px", "object_bottom_px")


def description(gathered: Gathered) -> Json:
    """All of it, as JSON has it."""
    spec = gathered.spec
    processes, numbers = processes_of(gathered)
    return {
        "name": " and ".join(dict.fromkeys(source.spec.name for source in gathered.sources)),
        "about": spec.description,
        "n_rows": gathered.n_rows,
        "datasets": [_dataset(gathered, number) for number in range(len(gathered.sources))],
        "splits": list(gathered.split_names),
        "blocks": [
            {
                "dataset": each.dataset,
                "split": each.split,
                "first": each.first,
                "n": each.table.num_rows,
                "process": own,
            }
            for each, own in zip(gathered.blocks, numbers, strict=True)
        ],
        "columns": columns_of(gathered, processes),
        "views": [_view(gathered, name) for name in spec.observed],
        "role_colors": ROLE_COLORS,
        "processes": processes,
    }


def _dataset(gathered: Gathered, number: int) -> Json:
    source = gathered.sources[number]
    return {
        "name": gathered.names[number],
        "root": without_credentials(gathered.roots[number]),
        "fingerprint": source.fingerprint,
        "spec": source.spec.name,
        "about": source.spec.description,
        "process": process_in_words(gathered, number),
        "passes": passes_of(source),
        "made": _made(source.manifest.render) if isinstance(source, ShardSource) else "the published layout",
        "size_px": next(each for each in gathered.blocks if each.dataset == number).files.size_px,
    }


def passes_of(source: Source) -> dict[str, list[str]]:
    """The passes that the images of each view have."""
    entries = source.manifest.extensions if isinstance(source, ShardSource) else {}
    return {view: [each for each in PASSES if f"{view}.{each}" in entries] for view in source.spec.rendered}


def _made(render: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in render.items())


def _view(gathered: Gathered, name: str) -> Json:
    spec, own = gathered.spec, gathered.spec.observed[name]
    seen = [factor for each in _specs(gathered) for factor in each.observed[name].view.factors]
    return {
        "name": name,
        "modality": own.view.modality,
        "kind": own.view.kind.source,
        "declared": own.declared,
        "do": own.do,
        "box": any({f"{name}.{each}" for each in BOX} <= {*block.table.column_names} for block in gathered.blocks),
        "factors": {factor: _factor(spec.factors[factor], factor) for factor in dict.fromkeys(seen)},
    }


def _specs(gathered: Gathered) -> list[Spec]:
    return [source.spec.in_split(split) for source in gathered.sources for split in source.n_samples]


def _factor(factor: Factor, name: str) -> Json:
    """How its values are shown: what they are called, and which columns of the table say the same."""
    return {"kind": factor.kind, "unit": factor.unit, "columns": list(factor.columns(name))}


def columns_of(gathered: Gathered, processes: list[Json]) -> list[Json]:
    """The columns that can be filtered, drawn and sorted by: splits, factors, annotations.

    A column that says the same as an earlier one of the same factor names it: content is shown once.
    """
    found: list[Json] = []
    if len(gathered.sources) > 1:
        found.append({"name": "dataset", "label": "dataset", "view": "", "values": list(gathered.names)})
    found.append({"name": "split", "label": "split", "view": "", "values": list(gathered.split_names)})
    for view, own in gathered.spec.observed.items():
        for factor in own.view.factors:
            column = f"{view}.{factor}"
            if column in gathered.column_names and gathered.spec.factors[factor].kind != "seed":
                about = {"name": column, "label": factor, "view": view, "roles": _roles(processes, view, factor)}
                found.append(about | _support(gathered.spec.factors[factor]))
        known = {f"{view}.{each}" for name in own.view.factors for each in gathered.spec.factors[name].columns(name)}
        for column in gathered.column_names:
            if (
                column.startswith(f"{view}.")
                and column not in known | gathered.file_columns
                and _is_number(gathered.column(column).type)
            ):
                found.append({"name": column, "label": column.removeprefix(f"{view}."), "view": view})
    for each in found:
        each |= _measured(gathered, each, found)
    return found


def _roles(processes: list[Json], view: str, factor: str) -> dict[str, list[str]]:
    """The roles that a factor has in a view, each with the names of the processes in which it has this one."""
    found: dict[str, list[str]] = {}
    for each in processes:
        found.setdefault(each["roles"][view].get(factor, "not seen"), []).append(each["name"])
    return found


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def _support(factor: Factor) -> Json:
    if factor.type == "categorical":
        return {"values": list(factor.names)} | ({"colors": list(factor.hex)} if factor.palettes else {})
    low, high = factor.bounds
    bounds = {"low": low, "high": high} if np.isfinite([low, high]).all() else {}
    return {**bounds, "kind": factor.kind}


def _measured(gathered: Gathered, about: Json, found: list[Json]) -> Json:
    """Type and range of a column, and the earlier one that it repeats."""
    values = gathered.numbers(about["name"])
    finite = values[np.isfinite(values)]
    measured = {
        "dtype": str(values.dtype),
        "least": float(finite.min()) if len(finite) else 0.0,
        "greatest": float(finite.max()) if len(finite) else 0.0,
    }
    if len(finite) < len(values):
        measured["lacking"] = "some" if len(finite) else "all"  # rows without a number
    for other in found[: found.index(about)]:
        alike = other["view"] and other["label"] == about["label"] and "same_as" not in other
        if alike and np.array_equal(gathered.numbers(other["name"]), values):
            return measured | {"same_as": other["name"]}
    return measured
