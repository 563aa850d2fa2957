"""Members that were never run: their files are written by hand, with scores of one's choice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from m3di.evaluate.results import SCHEMA, write_results
from m3di.evaluate.runs import RESULTS
from m3di.reproduce.ledger import Reproduction, begin
from m3di.reproduce.members import Member, Rendering, Simulating, Training
from m3di.simulate import SimulationConfig
from m3di.system.files import write_json

SimulatedScore = Callable[[SimulationConfig, str, str], float]  # settings, data, block: a share from chance to 1
TrainedScore = Callable[[str, str], float]  # role, dataset: the same
FACTORS = {  # factor, role, metric, chance, bound
    "image": [
        ("object_shape", "content", "accuracy", 0.14, 1.0),
        ("object_color", "style", "r2", 0.0, 0.89),
        ("object_alpharot", "private", "r2", 0.0, 0.0),
    ],
    "text": [
        ("object_shape", "content", "accuracy", 0.14, 1.0),
        ("text_color", "style", "accuracy", 0.06, 0.14),
        ("text_phrasing", "private", "accuracy", 0.2, 0.21),
    ],
    "view1": [
        ("object_xpos", "content", "r2", 0.0, 1.0),
        ("background_color", "style", "r2", 0.0, 0.2),
        ("object_alpharot", "private", "r2", 0.0, 0.0),
    ],
    "view2": [
        ("object_xpos", "content", "r2", 0.0, 1.0),
        ("background_color", "style", "r2", 0.0, 0.0),
        ("spotlight_pos", "private", "r2", 0.0, 0.0),
    ],
}
DEPENDENT = ("m3di", "image-pairs-causal")


def ideal(config: SimulationConfig, data: str, block: str) -> float:
    """What the paper's claims would give."""
    if block == "modality":
        return 0.01
    if block == "style":
        if data == "permuted content" and config.causal:
            return 0.4 if config.statistical else 0.05
        return 0.6 if config.causal or config.statistical else 0.02
    if data == "permuted content" and block == "content":
        return 0.2 if config.causal and config.statistical else 0.01
    return 0.3 if config.n_encoding < config.n_content else 0.97


def finish_all(reproduction: Reproduction, simulated: SimulatedScore = ideal, *, trained: float = 1.0) -> None:
    """Write the files of all members.

    Args:
        reproduction: A folder.
        simulated: Scores of the simulations.
        trained: Content found by trained encoders, from chance to 1; style as far as content tells, private not at all.
    """
    begin(reproduction)
    for member in reproduction.members.values():
        finish(reproduction.out, member, simulated, trained)


def finish(out: Path, member: Member, simulated: SimulatedScore = ideal, trained: float = 1.0) -> None:
    folder = out / member.key
    if isinstance(member, Rendering):
        write_json(folder / "dataset.json", {})
    elif isinstance(member, Simulating):
        write_json(folder / "config.json", {"config": asdict(member.config)})
        write_json(folder / "results.json", _simulated(member.config, simulated))
    elif isinstance(member, Training):
        write_results(folder / RESULTS, _trained(member, trained))


def _simulated(config: SimulationConfig, score: SimulatedScore) -> dict[str, Any]:
    blocks = [name for name in ("content", "style", "modality") if getattr(config, f"n_{name}") > 0]
    rows = []
    for data in ("observed", "permuted content"):
        for block in [*blocks, *(["content'"] if data != "observed" else [])]:
            is_class = block.rstrip("'") in config.discrete
            chance = 1.0 / (config.n_classes or 1) if is_class else 0.0
            value = chance + score(config, data, block) * (1.0 - chance)
            same = {"data": data, "block": block, "estimator": "kernel ridge", "chance": chance, "value": value}
            rows += [{**same, "modality": n, "metric": "accuracy" if is_class else "r2"} for n in (1, 2)]
    loss = {1: 3.0}.get(config.n_encoding, 1.0 - 0.02 * config.n_encoding)
    return {"n_eval": config.n_eval, "eval_seed": config.evaluation_seed, "loss": loss, "rows": rows}


def _trained(member: Training, content: float) -> pa.Table:
    names = ("view1", "view2") if member.data.name.startswith("image-pairs") else ("image", "text")
    is_dependent = member.data.name in DEPENDENT
    size, seed = member.values["encoding_size"], member.values["seed"]
    same: dict[str, Any] = {"run": member.name, "encoding_size": size, "seed": seed, "data": "factual"}
    rows = []
    for view in names:
        for factor, role, metric, chance, graph_bound in FACTORS[view]:
            bound = graph_bound if role == "content" or is_dependent else chance
            value = {"content": chance + content * (1 - chance), "style": bound, "private": chance}[role]
            estimator = "kernel_ridge" if metric == "r2" else "mlp"
            row: Mapping[str, Any] = {"view": view, "factor": f"{view}.{factor}", "role": role, "metric": metric}
            rows.append({**same, **row, "estimator": estimator, "value": value, "chance": chance, "bound": bound})
    rows.append({**same, "view": "all", "factor": "all", "metric": "val_loss", "value": 1 + 4 / size**2})
    return pa.Table.from_pylist(rows, schema=SCHEMA)
