"""What the page has to know of a dataset before it asks for any row: columns, views, roles, causal graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from m3di.browse.gathered import Gathered
from m3di.data import ShardSource
from m3di.errors import without_credentials
from m3di.latents import Factor, Spec, arrows, told
from m3di.report import ROLE_COLORS, factor_marks, factor_places

Json = dict[str, Any]
BOX = ("object_left_px", "object_top_px", "object_right_px", "object_bottom_px")


def description(gathered: Gathered) -> Json:
    """All of it, as JSON has it."""
    spec = gathered.spec
    return {
        "name": spec.name,
        "about": spec.description,
        "n_rows": gathered.n_rows,
        "datasets": [_dataset(gathered, number) for number in range(len(gathered.sources))],
        "splits": list(gathered.split_names),
        "blocks": [
            {"dataset": each.dataset, "split": each.split, "first": each.first, "n": each.table.num_rows}
            for each in gathered.blocks
        ],
        "columns": columns_of(gathered),
        "views": [_view(gathered, name) for name in spec.observed],
        "role_colors": ROLE_COLORS,
        "graph": graph_of(spec),
    }


def _dataset(gathered: Gathered, number: int) -> Json:
    source = gathered.sources[number]
    return {
        "name": gathered.names[number],
        "root": without_credentials(gathered.roots[number]),
        "fingerprint": source.fingerprint,
        "do": told(source.spec.interventions),
        "made": _made(source.manifest.render) if isinstance(source, ShardSource) else "the published layout",
        "size_px": next(each for each in gathered.blocks if each.dataset == number).files.size_px,
    }


def _made(render: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in render.items())


def _view(gathered: Gathered, name: str) -> Json:
    spec, own = gathered.spec, gathered.spec.observed[name]
    source = gathered.sources[0]
    entries = source.manifest.extensions if isinstance(source, ShardSource) else {}
    return {
        "name": name,
        "modality": own.view.modality,
        "kind": own.view.kind.source,
        "declared": own.declared,
        "do": own.do,
        "passes": [each for each in ("mask", "depth", "normal") if f"{name}.{each}" in entries],
        "box": all(f"{name}.{each}" in gathered.column_names for each in BOX),
        "roles": {factor: use.role for factor, use in own.view.factors.items()},
        "factors": {factor: _factor(spec.factors[factor], factor) for factor in own.view.factors},
    }


def _factor(factor: Factor, name: str) -> Json:
    """How its values are shown: what they are called, and which columns of the table say the same."""
    return {"kind": factor.kind, "unit": factor.unit, "columns": list(factor.columns(name))}


def columns_of(gathered: Gathered) -> list[Json]:
    """The columns that can be filtered, drawn and sorted by: splits, factors, annotations.

    A column that says the same as an earlier one of the same factor names it: content is shown once.
    """
    found: list[Json] = []
    if len(gathered.sources) > 1:
        found.append({"name": "dataset", "label": "dataset", "view": "", "values": list(gathered.names)})
    found.append({"name": "split", "label": "split", "view": "", "values": list(gathered.split_names)})
    for view, own in gathered.spec.observed.items():
        for factor, use in own.view.factors.items():
            column = f"{view}.{factor}"
            if column in gathered.column_names and gathered.spec.factors[factor].kind != "seed":
                about = {"name": column, "label": factor, "view": view, "role": use.role}
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


def graph_of(spec: Spec) -> list[Json]:
    """The causal graph of each declared view: factors with their places and roles, arrows from parent to child."""
    places = factor_places(spec)
    found = []
    for name, view in spec.views.items():
        nodes: list[Json] = [
            {
                "name": factor,
                "column": places[factor][0],
                "row": places[factor][1],
                "role": view.factors[factor].role if factor in view.factors else "not seen",
            }
            for factor in spec.factors
            if factor in places  # those that choose what changes have none, as in the figures of a report
        ]
        drawn = [(*parent.partition("@")[::2], child) for parent, child in arrows(spec, name)]
        own_past = {child for parent, _, child in drawn if parent == child}
        for node in nodes:
            node["marks"] = factor_marks(spec, node["name"], own_past=node["name"] in own_past)
        # Parent and child, and how many frames earlier the parent lies: 0 for the same one.
        edges = sorted(
            (parent, child, -int(lag or 0))
            for parent, lag, child in drawn
            if parent != child and places.keys() >= {parent, child}
        )
        found.append({"view": name, "modality": view.modality, "nodes": nodes, "edges": edges})
    return found
