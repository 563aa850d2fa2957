"""Train the simulation's encoders in a run folder; a killed run continues from it.

RUN/
  config.json              what was asked for, the mixings' condition numbers, versions; written first; of settings that
                           may differ when it goes on, those of the last training and of the last evaluation
  metrics.csv              step,loss,seconds: a line every `log_every` steps, the mean loss since the line before, and
                           the seconds since this process began to train
  checkpoint.safetensors   encoders, mixings, Adam's moments, the state of the random generator, and the losses since
                           the last line of metrics.csv, of one step; never with a weight that is not finite
  results.json             what the probes found; written last, so its presence means "finished"
"""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from m3di._version import __version__
from m3di.errors import M3diError
from m3di.learn.training.metrics import MetricsFile
from m3di.learn.training.precision import float32_products
from m3di.learn.training.run_folder import METRICS_NAME
from m3di.simulate import checkpoint
from m3di.simulate.config import SimulationConfig
from m3di.simulate.simulation import Simulation

COLUMNS = ("step", "loss", "seconds")
OnStep = Callable[[int, float], None]
Pace = Callable[[int], bool]
N_WARM_UP = 3  # steps that set things up: on a GPU, a graph is made of the third


def train(simulation: Simulation, run: Path, on_step: OnStep | None = None, pace: Pace | None = None) -> None:
    """Train until `config.n_steps`, from the run folder's checkpoint where it has one.

    Args:
        simulation: As it is when made.
        run: The run folder; made where there is none. A run that was stopped in it goes on, to the weights that it
            would have had.
        on_step: Called every `log_every` steps, and after the last, with the step and the mean loss.
        pace: Called after each of the first steps, once the device has done it, with the step, until it returns False:
            so that somebody can measure how long they take.

    Raises:
        M3diError: The folder holds another run, or the loss is no longer finite.
    """
    config = simulation.config
    checkpoint.open_run(run, _describe(simulation))
    tally = checkpoint.restore(simulation, run)
    kept = simulation.n_done
    if kept < config.n_steps:
        checkpoint.note_settings(run, asdict(config), checkpoint.OF_TRAINING)
    products = float32_products(config.precision, simulation.device)
    with products, MetricsFile(run / METRICS_NAME, COLUMNS, kept) as metrics:
        start, set_up = time.perf_counter(), kept + N_WARM_UP
        while simulation.n_done < config.n_steps:
            tally.total += simulation.step()
            step = simulation.n_done
            if pace is not None and step > set_up:
                if simulation.device == "cuda":
                    torch.cuda.synchronize()
                pace = pace if pace(step) else None
            if _is_due(step, config.log_every, config):
                loss = _mean_loss(tally, simulation, run, kept)
                metrics.write(step, {"loss": loss, "seconds": round(time.perf_counter() - start, 3)})
                tally.begin(step)
                if on_step is not None:
                    on_step(step, loss)
            if _is_due(step, config.checkpoint_every, config):
                _check_weights(tally, simulation, run, kept)
                checkpoint.save(simulation, run, tally)
                kept = step


def _is_due(step: int, every: int, config: SimulationConfig) -> bool:
    return step % every == 0 or step == config.n_steps


def _describe(simulation: Simulation) -> dict[str, Any]:
    """Return the content of config.json."""
    return {
        "config": asdict(simulation.config),
        "condition_numbers": {
            "mixing1": simulation.mixing1.condition_numbers(),
            "mixing2": simulation.mixing2.condition_numbers(),
        },
        "notes": simulation.config.notes(),
        "device": torch.cuda.get_device_name() if simulation.device == "cuda" else simulation.device,
        "versions": {"m3di": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }


def _mean_loss(tally: checkpoint.Tally, simulation: Simulation, run: Path, kept: int) -> float:
    """Return the mean loss since the line before; raise M3diError if it is not finite."""
    loss = tally.total.item() / (simulation.n_done - tally.since)
    if not math.isfinite(loss):
        raise _stopped(f"a mean loss of {loss}", simulation, run, kept)
    return loss


def _check_weights(tally: checkpoint.Tally, simulation: Simulation, run: Path, kept: int) -> None:
    """Raise M3diError unless a checkpoint of now would be one to go on from."""
    if simulation.n_done > tally.since:
        _mean_loss(tally, simulation, run, kept)
    if not checkpoint.is_finite(simulation):  # the step was made after its loss
        raise _stopped("weights that are not finite", simulation, run, kept)


def _stopped(got: str, simulation: Simulation, run: Path, kept: int) -> M3diError:
    config = simulation.config
    left = (
        f"the last checkpoint with finite weights, of step {kept}, was kept" if kept else "there is no checkpoint yet"
    )
    return M3diError(
        "training stopped: the loss is no longer finite",
        where=f"{run}, at or before step {simulation.n_done} of {config.n_steps}",
        got=got,
        expected="a finite loss",
        next_step=f"in a new folder, lower lr (now {config.lr:g}); {left}",
    )
