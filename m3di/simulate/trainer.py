"""Train the simulation's encoders in a run folder; a killed run continues from it.

RUN/
  config.json              what was asked for, the mixings' condition numbers, versions; written first
  metrics.csv              step,loss,seconds: a line every `log_every` steps, the mean loss since the line before
  checkpoint.safetensors   encoders, mixings, Adam's moments and the state of the random generator, of one step
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
    checkpoint.restore(simulation, run)
    with MetricsFile(run / METRICS_NAME, COLUMNS, simulation.n_done) as metrics:
        start, since = time.perf_counter(), simulation.n_done
        set_up = since + N_WARM_UP
        total = torch.zeros((), device=simulation.device)
        while simulation.n_done < config.n_steps:
            total += simulation.step()
            step = simulation.n_done
            last = step == config.n_steps
            if pace is not None and step > set_up:
                if simulation.device == "cuda":
                    torch.cuda.synchronize()
                pace = pace if pace(step) else None
            if step % config.log_every == 0 or last:
                loss = total.item() / (step - since)
                _check_finite(loss, run, step, config)
                metrics.write(step, {"loss": loss, "seconds": round(time.perf_counter() - start, 3)})
                total.zero_()
                since = step
                if on_step is not None:
                    on_step(step, loss)
            if step % config.checkpoint_every == 0 or last:
                checkpoint.save(simulation, run)


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


def _check_finite(loss: float, run: Path, step: int, config: SimulationConfig) -> None:
    if not math.isfinite(loss):
        raise M3diError(
            "training stopped: the loss is no longer finite",
            where=f"{run}, at or before step {step} of {config.n_steps}",
            got=f"a mean loss of {loss}",
            expected="a finite loss",
            next_step=f"in a new folder, lower lr (now {config.lr:g}); the last good checkpoint was kept",
        )
