"""Run a simulation from settings to results; skip finished training and evaluation."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from m3di.learn.training.run_folder import hold_run
from m3di.simulate import checkpoint
from m3di.simulate.config import SimulationConfig
from m3di.simulate.judge import evaluate
from m3di.simulate.simulation import Simulation
from m3di.simulate.trainer import OnStep, Pace, train
from m3di.system.allocator import keep_freed_memory
from m3di.system.files import read_json, write_json

# Names of settings in a folder's name; those left out do not change what is learned.
_SHORT = {
    "n_content": "c",
    "n_style": "s",
    "n_modality": "m",
    "encoding_size": "z",
    "style_change_prob": "p",
    "statistical": "statistical",
    "covariances": "",
    "causal": "causal",
    "shared_mixing": "onemixing",
    "shared_encoder": "oneencoder",
    "discrete": "discrete",
    "n_classes": "k",
    "widths": "widths",
    "whiten": "whitened",
    "n_steps": "steps",
    "batch_size": "batch",
    "lr": "lr",
    "schedule": "",
    "temperature": "tau",
    "similarity": "sim",
    "negatives": "negatives",
    "clip_norm": "clip",
    "precision": "",
}


def folder_name(config: SimulationConfig) -> str:
    """Name a folder by the settings that are not the defaults, and the seed: equal runs have equal names."""
    parts = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name in _SHORT and value != field.default:
            short = _SHORT[field.name]
            text = "" if value is True else "-".join(map(str, value)) if isinstance(value, tuple) else format(value, "")
            parts.append(f"{short}{text}")
    return "-".join([*(parts or ["paper"]), f"seed{config.seed}"])


def simulate(
    config: SimulationConfig, run: Path, on_step: OnStep | None = None, pace: Pace | None = None
) -> dict[str, Any]:
    """Train and evaluate a simulation in a run folder; do not repeat what is done there already.

    Args:
        config: What to simulate.
        run: The run folder; see `m3di.simulate.trainer` for what is in it.
        on_step: See `train`.
        pace: See `train`.

    Returns:
        The content of RUN/results.json; see `evaluate`.

    Raises:
        M3diError: The folder holds another run, another process holds the folder, or the loss is no longer finite.
        UsageError: The device is not there.
    """
    if is_finished(config, run):
        return read_json(run / checkpoint.RESULTS_NAME)
    keep_freed_memory()
    simulation = Simulation(config)
    run.mkdir(parents=True, exist_ok=True)
    with hold_run(run):
        train(simulation, run, on_step, pace)
        results = evaluate(simulation)
        checkpoint.note_settings(run, dataclasses.asdict(config), checkpoint.OF_EVALUATION)
        write_json(run / checkpoint.RESULTS_NAME, results)
    return results


def is_finished(config: SimulationConfig, run: Path) -> bool:
    """Whether the run folder holds the results of these settings.

    Raises:
        M3diError: It holds a run with other settings.
    """
    path = run / checkpoint.RESULTS_NAME
    if not path.exists():
        return False
    checkpoint.check_same(run, dataclasses.asdict(config))
    results = read_json(path)
    return (results.get("n_eval"), results.get("eval_seed")) == (config.n_eval, config.evaluation_seed)
