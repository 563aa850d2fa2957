"""The processes of what is looked at: which splits have which graph and roles, and how datasets differ in them."""

from __future__ import annotations

import json
from typing import Any

from m3di.browse.gathered import Gathered
from m3di.browse.same_samples import places_apart
from m3di.latents import Spec, arrows, told, told_splits
from m3di.latents.splits import process_of
from m3di.report import factor_marks, factor_places

Json = dict[str, Any]
MAX_PLACES = 6  # of what differs, that are named


def processes_of(gathered: Gathered) -> tuple[list[Json], list[int]]:
    """Graphs and roles, each once with the name of the splits that have it, and the number of it for each block."""
    drawn: dict[str, Json] = {}
    by_process: dict[str, str] = {}
    numbers = []
    for block in gathered.blocks:
        spec = gathered.sources[block.dataset].spec.in_split(block.split)
        process = json.dumps(process_of(spec), sort_keys=True)
        if process not in by_process:
            shown = {"roles": roles_of(spec), "graph": graph_of(spec)}
            by_process[process] = json.dumps(shown)
            drawn.setdefault(by_process[process], shown)
        numbers.append(list(drawn).index(by_process[process]))
    names = [_named(gathered, numbers, number) for number in range(len(drawn))]
    return [{"name": name, **each} for name, each in zip(names, drawn.values(), strict=True)], numbers


def _named(gathered: Gathered, numbers: list[int], number: int) -> str:
    """The splits whose blocks have a number: `train, val`; among several datasets `NAME`, or `NAME: train, val`."""
    parts = []
    for dataset, name in enumerate(gathered.names):
        own = [at for at, block in enumerate(gathered.blocks) if block.dataset == dataset]
        splits = [gathered.blocks[at].split for at in own if numbers[at] == number]
        if len(gathered.sources) == 1:
            parts.append(", ".join(splits))
        elif splits:
            parts.append(name if len(splits) == len(own) else f"{name}: {', '.join(splits)}")
    return "; ".join(parts)


def process_in_words(gathered: Gathered, number: int) -> list[str]:
    """What a dataset was made under: its interventions, how else it differs from the first one, its splits."""
    spec, first = gathered.sources[number].spec, gathered.sources[0].spec
    words = told(spec.interventions) or ["as observed"]
    places = places_apart(first.base, spec.base) if number else []
    if places:
        more = f" and {len(places) - MAX_PLACES} more" if len(places) > MAX_PLACES else ""
        words.append(f"another process than {gathered.names[0]}, in {', '.join(places[:MAX_PLACES])}{more}")
    return words + [f"split {split}: {each}" for split, each in told_splits(spec).items()]


def roles_of(spec: Spec) -> dict[str, dict[str, str]]:
    """Role of each factor that a view sees, by view."""
    return {view: {factor: use.role for factor, use in own.view.factors.items()} for view, own in spec.observed.items()}


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
            node["marks"] = factor_marks(spec, name, node["name"], own_past=node["name"] in own_past)
        # Parent and child, and how many frames earlier the parent lies: 0 for the same one.
        edges = sorted(
            (parent, child, -int(lag or 0))
            for parent, lag, child in drawn
            if parent != child and places.keys() >= {parent, child}
        )
        found.append({"view": name, "modality": view.modality, "nodes": nodes, "edges": edges})
    return found
