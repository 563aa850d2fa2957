"""Training of the simulation's encoders, into a run folder that a killed run continues from.

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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

import torch
from torch import Tensor, nn

from m3di._version import __version__
from m3di.errors import M3diError
from m3di.learn.losses import SymInfoNCE
from m3di.learn.training.device import resolve_device
from m3di.learn.training.precision import resolve_precision
from m3di.learn.training.schedule import learning_rate
from m3di.simulate import checkpoint
from m3di.simulate.config import SimulationConfig
from m3di.simulate.encoder import MLPEncoder
from m3di.simulate.graphed_step import GraphedStep, can_graph
from m3di.simulate.mixing import draw_mixing
from m3di.simulate.process import LatentProcess, Latents

METRICS_NAME = "metrics.csv"
OnStep = Callable[[int, float], None]


class Simulation:
    """Process, mixings, encoders and optimiser of one run, at some step.

    Nothing in `step` waits for a GPU: samples are drawn on the device, and the loss stays there.

    Args:
        config: What to simulate. Equal ones on the same machine give equal numbers, bit for bit, on the CPU.

    Raises:
        UsageError: The device is not there, or has not what is asked of it.
    """

    def __init__(self, config: SimulationConfig) -> None:
        self.config = config
        self.device = resolve_device(config.device)
        resolve_precision(config.precision, self.device)  # raises where there is no tf32
        self.process = LatentProcess(config, self.device)
        self.mixing1 = draw_mixing(config.size, config.seed, 1).to(self.device)
        self.mixing2 = self.mixing1
        if not config.shared_mixing:
            self.mixing2 = draw_mixing(config.size, config.seed, 2).to(self.device)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(config.seed)
            dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
            self.encoder1 = MLPEncoder(config.size, config.n_encoding, dtype, config.widths).to(self.device)
            self.encoder2 = self.encoder1
            if not config.shared_encoder:
                self.encoder2 = MLPEncoder(config.size, config.n_encoding, dtype, config.widths).to(self.device)
        self.weights = list(nn.ModuleList([self.encoder1, self.encoder2]).parameters())  # each once
        # Fused: one pass over the weights, on the device. On the CPU torch has it from 2.4 on.
        fused = self.device == "cuda" or _torch_release() >= (2, 4)
        falls_on_gpu = self.device == "cuda" and config.schedule != "constant"
        lr = torch.tensor(config.lr, device=self.device) if falls_on_gpu else config.lr
        self.optimizer = torch.optim.Adam(self.weights, lr=lr, fused=fused)
        self.generator = torch.Generator(self.device).manual_seed(config.seed)
        self.n_done = 0
        self._make_step: Callable[[], Tensor] = self._update
        if config.cuda_graph or (config.cuda_graph is None and can_graph(self.device)):
            self._make_step = GraphedStep(self._update, self.optimizer, self.generator)
        self._loss_of = SymInfoNCE(
            config.temperature, config.similarity, negatives="all" if config.negatives == "all" else "cross"
        )

    def step(self) -> Tensor:
        """One optimiser step on a new batch; its loss before the update, [] on the device, good until the next step."""
        self._set_learning_rate()
        loss = self._make_step()
        self.n_done += 1
        return loss

    def _set_learning_rate(self) -> None:
        config = self.config
        if config.schedule == "constant":
            return
        lr = learning_rate(self.n_done + 1, lr=config.lr, n_steps=config.n_steps, schedule=config.schedule)
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):  # on a GPU, where a CUDA graph reads it at each replay
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr

    def _update(self) -> Tensor:
        loss = self.loss(self.generator)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.weights, self.config.clip_norm)
        self.optimizer.step()
        return loss.detach()

    def loss(self, generator: torch.Generator) -> Tensor:
        """[] loss of a new batch of `batch_size` pairs."""
        n = self.config.batch_size
        if self.config.negatives != "fresh":
            return self._loss_of(*self.encode(self.process.sample(n, generator)))
        # Two independent draws are one draw of twice as many, and the larger matrix products are the faster ones.
        encodings1, encodings2 = self.encode(self.process.sample(2 * n, generator))
        (z1, fresh1), (z2, fresh2) = torch.split(encodings1, n), torch.split(encodings2, n)
        return self._loss_of.with_fresh_negatives(z1, z2, fresh1, fresh2)

    def encode(self, latents: Latents) -> tuple[Tensor, Tensor]:
        """[n, encoding size] float32 of each modality."""
        with torch.no_grad():
            x1, x2 = self.mixing1(latents.view1), self.mixing2(latents.view2)  # [n, d]
        return self.encoder1(x1), self.encoder2(x2)


def train(simulation: Simulation, run: Path, on_step: OnStep | None = None) -> None:
    """Train until `config.n_steps`, from the run folder's checkpoint where it has one.

    Args:
        simulation: As it is when made.
        run: The run folder; made where there is none. A run that was stopped in it goes on, to the weights that it
            would have had.
        on_step: Called every `log_every` steps, and after the last, with the step and the mean loss.

    Raises:
        M3diError: The folder holds another run, or the loss is no longer finite.
    """
    config = simulation.config
    checkpoint.open_run(run, _describe(simulation))
    checkpoint.restore(simulation, run)
    with _metrics(run / METRICS_NAME, simulation.n_done) as metrics:
        start, since = time.perf_counter(), simulation.n_done
        total = torch.zeros((), device=simulation.device)
        while simulation.n_done < config.n_steps:
            total += simulation.step()
            step = simulation.n_done
            last = step == config.n_steps
            if step % config.log_every == 0 or last:
                loss = total.item() / (step - since)
                _check_finite(loss, run, step, config)
                metrics.write(f"{step},{loss:.9g},{time.perf_counter() - start:.3f}\n")
                metrics.flush()
                total.zero_()
                since = step
                if on_step is not None:
                    on_step(step, loss)
            if step % config.checkpoint_every == 0 or last:
                checkpoint.save(simulation, run)


def _torch_release() -> tuple[int, ...]:
    return tuple(int(number) for number in torch.__version__.split("+")[0].split(".")[:2])


def _describe(simulation: Simulation) -> dict[str, Any]:
    """What goes into config.json."""
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


@contextmanager
def _metrics(path: Path, n_done: int) -> Iterator[TextIO]:
    """The open metrics file, cut to the lines of steps up to `n_done`."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    kept = [line for line in lines[1:] if line.endswith("\n") and int(line.split(",")[0]) <= n_done]
    path.write_text("".join(["step,loss,seconds\n", *kept]), encoding="utf-8")
    with path.open("a", encoding="utf-8") as file:
        yield file


def _check_finite(loss: float, run: Path, step: int, config: SimulationConfig) -> None:
    if not math.isfinite(loss):
        raise M3diError(
            "training stopped: the loss is no longer finite",
            where=f"{run}, at or before step {step} of {config.n_steps}",
            got=f"a mean loss of {loss}",
            expected="a finite loss",
            next_step=f"in a new folder, lower lr (now {config.lr:g}); the last good checkpoint was kept",
        )
