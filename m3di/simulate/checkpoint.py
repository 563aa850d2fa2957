"""The files of a simulation's run folder: written whole, or not at all; weights as safetensors, never a pickle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from m3di.errors import DataError, M3diError
from m3di.learn.training.run_differences import changed_settings
from m3di.learn.training.run_folder import another_run
from m3di.learn.training.tensor_file import read_tensors, write_tensors
from m3di.simulate.config import SimulationConfig
from m3di.simulate.simulation import Simulation
from m3di.system.files import read_json, write_json

CONFIG_NAME = "config.json"
CHECKPOINT_NAME = "checkpoint.safetensors"
RESULTS_NAME = "results.json"
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # of Adam
_TOTAL, _SINCE = "tally.total", "tally.since"
_DEFAULTS = {
    "covariances": SimulationConfig.covariances,
    "widths": list(SimulationConfig.widths),
    "schedule": SimulationConfig.schedule,
    "whiten": SimulationConfig.whiten,
}
# Settings that may differ when a run continues: config.json has those that it was trained with last, and judged with.
OF_TRAINING = ("log_every", "checkpoint_every", "device", "cuda_graph")
OF_EVALUATION = ("eval_seed", "n_eval")
_MAY_DIFFER = {*OF_TRAINING, *OF_EVALUATION}


@dataclass
class Tally:
    """What the next line of metrics.csv is made of.

    Args:
        total: [] float32, the sum of the losses since the line before, on the simulation's device.
        since: Step of the line before; 0 if there is none.
    """

    total: Tensor
    since: int

    def begin(self, step: int) -> None:
        """Begin the next line: that of a step was written."""
        self.total.zero_()
        self.since = step


def open_run(run: Path, description: dict[str, Any]) -> None:
    """Write RUN/config.json, or check that the one there is of the same simulation; until the first checkpoint it says
    where the run is now, which may be another device.

    Raises:
        M3diError: The folder holds another run.
    """
    path = run / CONFIG_NAME
    if path.exists():
        check_same(run, description["config"])
    if not (run / CHECKPOINT_NAME).exists():
        write_json(path, description)


def check_same(run: Path, config: dict[str, Any]) -> None:
    """Raise M3diError if RUN/config.json is of another simulation."""
    differing = changed_settings(read_json(run / CONFIG_NAME), config, _DEFAULTS, _MAY_DIFFER)
    if differing:
        raise another_run(run, differing)


def note_settings(run: Path, config: Mapping[str, Any], names: Sequence[str]) -> None:
    """Write settings that may differ into RUN/config.json, as they are now."""
    stored = read_json(run / CONFIG_NAME)
    settings = {**stored["config"], **{name: config[name] for name in names}}
    if settings != stored["config"]:
        write_json(run / CONFIG_NAME, {**stored, "config": settings})


def is_finite(simulation: Simulation) -> bool:
    """Whether all weights and Adam's moments are finite; waits for a GPU."""
    return _not_finite(_learned(simulation)) is None


def save(simulation: Simulation, run: Path, tally: Tally) -> None:
    """Write the checkpoint, replacing an earlier one."""
    tensors = _learned(simulation)
    tensors["generator"] = simulation.generator.get_state()
    tensors |= {_TOTAL: tally.total, _SINCE: torch.tensor(tally.since)}
    metadata = {"step": str(simulation.n_done), "device": simulation.device}
    write_tensors(run / CHECKPOINT_NAME, tensors, metadata)


def _learned(simulation: Simulation) -> dict[str, Tensor]:
    """Return the state of all modules, and Adam's moments as far as it has them."""
    tensors = _modules(simulation).state_dict()
    for number, weight in enumerate(simulation.weights):
        state = simulation.optimizer.state[weight]
        tensors |= {f"adam.{number}.{name}": state[name] for name in _MOMENTS}
    return tensors


def _not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """Return the name of a tensor with a number that is not finite."""
    return next((name for name, tensor in tensors.items() if not tensor.isfinite().all()), None)


def restore(simulation: Simulation, run: Path) -> Tally:
    """Restore the simulation from its checkpoint, where there is one.

    Returns:
        What the checkpoint has of the next line of metrics.csv.

    Raises:
        M3diError: The checkpoint is damaged, not finite, of other encoders, or was made on another kind of device.
    """
    path, tally = run / CHECKPOINT_NAME, Tally(torch.zeros((), device=simulation.device), 0)
    if not path.exists():
        return tally
    tensors, metadata = read_tensors(path)
    _check_finite(path, tensors)
    try:
        step = int(metadata["step"])
        _check_device(simulation, path, metadata.get("device"), tensors["generator"])
        moments = [
            {name: tensors.pop(f"adam.{number}.{name}") for name in _MOMENTS}
            for number in range(len(simulation.weights))
        ]
        generator = tensors.pop("generator")
        # One of before they were kept begins a line.
        tally.total += tensors.pop(_TOTAL, torch.zeros(())).to(simulation.device)
        tally.since = int(tensors.pop(_SINCE, torch.tensor(step)))
        _modules(simulation).load_state_dict(tensors)
    except (RuntimeError, KeyError, ValueError) as error:
        raise DataError(
            "the checkpoint does not fit the run's config.json",
            where=str(path),
            got=str(error).splitlines()[0],
            next_step="delete it to train from the start, or restore the file",
        ) from error
    for weight, state in zip(simulation.weights, moments, strict=True):
        # Adam keeps its step count beside the weights where it is fused.
        simulation.optimizer.state[weight] = {name: value.to(weight.device) for name, value in state.items()}
    simulation.generator.set_state(generator.to(torch.uint8))
    simulation.n_done = step
    return tally


def _check_finite(path: Path, tensors: Mapping[str, Tensor]) -> None:
    name = _not_finite(tensors)
    if name is not None:
        raise DataError(
            "the checkpoint holds numbers that are not finite, and nothing can go on from it",
            where=str(path),
            got=f"nan or inf in {name}",
            expected="finite weights",
            next_step="begin in another folder, with a lower lr; nothing was changed",
        )


def _check_device(simulation: Simulation, path: Path, device: str | None, state: Tensor) -> None:
    """Raise M3diError unless the checkpoint was made on the kind of device that the simulation is on.

    A generator's state on a GPU has 16 bytes, on the CPU thousands, and the samples that follow are others.
    """
    here = simulation.device
    if device is None:  # a checkpoint from before devices were noted
        same_size = len(state) == len(simulation.generator.get_state())
        device = here if same_size else ("cpu" if here == "cuda" else "cuda")
    if device != here:
        raise M3diError(
            "the run was made on another kind of device, and its samples cannot go on here",
            where=str(path),
            got=f"a checkpoint made on {device}, a run on {here}",
            expected=f"a run on {device}",
            next_step=f"go on with --device {device} where there is one, or begin in another folder",
        )


def _modules(simulation: Simulation) -> nn.ModuleDict:
    """Return the modules of a checkpoint; one that both modalities share comes once."""
    modules: dict[str, nn.Module] = {"encoder1": simulation.encoder1, "mixing1": simulation.mixing1}
    modules |= {"whitening1": simulation.whitening1, "whitening2": simulation.whitening2}  # of no weights if it is off
    if simulation.encoder2 is not simulation.encoder1:
        modules["encoder2"] = simulation.encoder2
    if simulation.mixing2 is not simulation.mixing1:
        modules["mixing2"] = simulation.mixing2
    return nn.ModuleDict(modules)
