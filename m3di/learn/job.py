"""One training run: from its first step, or from its last checkpoint, to its summary."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from m3di.errors import M3diError
from m3di.learn import run_folder
from m3di.learn.checkpoint import (
    CHECKPOINT_NAME,
    latest_checkpoint,
    load_weights,
    restore_training,
    save_checkpoint,
    training_state,
)
from m3di.learn.config import TrainConfig
from m3di.learn.distributed import World, parallel
from m3di.learn.encoder_set import Encoders
from m3di.learn.inputs import Batch, PairedDataset, TrainingOrder, batch_loader
from m3di.learn.losses import asymptotic_terms
from m3di.learn.metrics import MetricsLog
from m3di.learn.step import ContrastiveStep, make_loss, make_optimizer, update

OnStep = Callable[[int, float], None]
_SECONDS_BETWEEN_CHECKPOINTS = 600.0


@dataclass(frozen=True)
class TrainResult:
    """What a run came to.

    Args:
        run: The run folder.
        n_steps: Steps made.
        final_loss: Of the last step's batch, in nats, before that step's update.
        val_loss: Of the val split after the last step; None where there is none.
        seconds: That all steps took, in this process and in those before it.
        device: Where it ran, "cpu" or "cuda".
        encoders: In evaluation mode; `load_encoders(run)` gives the same weights.
    """

    run: Path
    n_steps: int
    final_loss: float
    val_loss: float | None
    seconds: float
    device: str
    encoders: Encoders


@dataclass(frozen=True)
class Job:
    """One run: what it trains, on what, where to."""

    dataset: PairedDataset
    val: PairedDataset | None
    encoders: Encoders
    run: Path
    config: TrainConfig
    precision: str
    world: World

    def is_finished(self) -> bool:
        return run_folder.read_summary(self.run) is not None

    def result(self) -> TrainResult:
        """Of a finished run."""
        summary = run_folder.read_summary(self.run) or {}
        load_weights(self.encoders, latest_checkpoint(self.run))
        return self._result(summary)

    def fit(self, on_step: OnStep | None) -> TrainResult:
        """Make the steps that are left."""
        config = self.config
        step_of = ContrastiveStep(
            self.encoders, make_loss(config), self.precision, self.world, compiled=config.compile
        ).to(self.device)
        optimizer = make_optimizer(step_of, config)
        first_step, seconds_before = self._resume(step_of, optimizer)
        forward = parallel(step_of, self.world, self.device)
        weights = list(step_of.parameters())
        clock = _Clock(seconds_before)
        numbers: dict[str, float] = {}
        self.encoders.train()
        with self._log(first_step) as log:
            for step, batch in enumerate(self._batches(first_step), start=first_step + 1):
                loss, z = forward(_to(batch, self.device))
                try:
                    number = update(loss, optimizer, weights, config.clip_norm, config.lr_at(step))
                    numbers = {"loss": number, "lr": config.lr_at(step), "temperature": step_of.temperature}
                    numbers |= self._measured(step, step_of, z)
                except FloatingPointError as error:
                    raise self._diverged(error, step) from error
                numbers["seconds"] = clock.seconds()
                if log is not None:
                    log.write(step, numbers)
                    if step % config.checkpoint_every == 0 or step == config.n_steps or clock.is_time_to_save():
                        state = training_state(step_of, optimizer)
                        save_checkpoint(self.run, self.encoders, step, state, clock.seconds())
                        clock.saved()
                if on_step is not None:
                    on_step(step, number)
        summary = self._summary(numbers or self._last_numbers())
        if self.world.rank == 0:
            run_folder.write_summary(self.run, summary)
        self.world.wait()
        return self._result(summary)

    @property
    def device(self) -> torch.device:
        return next(self.encoders.parameters()).device

    def _resume(self, step_of: ContrastiveStep, optimizer: torch.optim.Optimizer) -> tuple[int, float]:
        """Fill everything from the last checkpoint; steps made, and the seconds they took."""
        if not (self.run / CHECKPOINT_NAME).exists():
            return 0, 0.0
        try:
            checkpoint = latest_checkpoint(self.run)
        except M3diError:  # killed before its first checkpoint was complete
            return 0, 0.0
        step = load_weights(self.encoders, checkpoint)
        return step, restore_training(checkpoint, step_of, optimizer)

    def _batches(self, first_step: int) -> Iterator[Batch]:
        config, world = self.config, self.world
        order = TrainingOrder(
            len(self.dataset),
            config.batch_size,
            config.n_steps,
            config.seed,
            first_step=first_step,
            rank=world.rank,
            world_size=world.size,
        )
        pin = self.device.type == "cuda"
        return iter(batch_loader(self.dataset, self.encoders.views, order, n_workers=config.n_workers, pin=pin))

    def _log(self, first_step: int) -> Any:
        if self.world.rank:
            return nullcontext()
        tensorboard = self.run / "tensorboard" if self.config.tensorboard else None
        return MetricsLog(self.run / run_folder.METRICS_NAME, tensorboard, first_step)

    def _measured(self, step: int, step_of: ContrastiveStep, z: list[Tensor]) -> dict[str, float]:
        """What is measured now and then; process 0 alone does it."""
        config = self.config
        found: dict[str, float] = {}
        if self.world.rank == 0 and step % config.diagnostics_every == 0:
            found |= diagnostics(z, step_of.temperature, config.similarity)
        if self.world.rank == 0 and (step % config.val_every == 0 or step == config.n_steps):
            val_loss = self._val_loss(step_of)
            found |= {} if val_loss is None else {"val_loss": val_loss}
        return found

    def _val_loss(self, step_of: ContrastiveStep) -> float | None:
        """Mean loss of the val split in batches as in training, or in one smaller batch where it has no whole one."""
        if self.val is None or len(self.val) < 2:
            return None
        size = min(self.config.batch_size, len(self.val))
        order = [list(range(first, first + size)) for first in range(0, len(self.val) - size + 1, size)]
        losses = []
        self.encoders.eval()
        with torch.no_grad():
            for batch in batch_loader(self.val, self.encoders.views, order, n_workers=0, pin=False):  # type: ignore[arg-type]
                losses.append(step_of.loss(*step_of.encode(_to(batch, self.device))).item())
        self.encoders.train()
        if not math.isfinite(sum(losses)):
            raise FloatingPointError(f"validation loss {sum(losses)}")
        return math.fsum(losses) / len(losses)

    def _summary(self, numbers: dict[str, float]) -> dict[str, Any]:
        n_val = 0 if self.val is None else len(self.val)
        return {
            "n_steps": self.config.n_steps,
            "final_loss": numbers["loss"],
            "val_loss": numbers.get("val_loss"),
            "val_batch_size": min(self.config.batch_size, n_val) if n_val >= 2 else None,
            "temperature": numbers["temperature"],
            "seconds": round(numbers["seconds"], 3),
            "n_parameters": sum(parameter.numel() for parameter in self.encoders.parameters()),
            "device": self.device.type,
            "precision": self.precision,
        }

    def _last_numbers(self) -> dict[str, float]:
        """Of a run that was killed between its last checkpoint and its summary."""
        lines = (self.run / run_folder.METRICS_NAME).read_text(encoding="utf-8").splitlines()
        cells = dict(zip(lines[0].split(","), lines[-1].split(","), strict=True))
        return {name: float(cell) for name, cell in cells.items() if cell}

    def _result(self, summary: dict[str, Any]) -> TrainResult:
        val_loss = summary.get("val_loss")
        return TrainResult(
            self.run,
            summary["n_steps"],
            summary["final_loss"],
            val_loss,
            summary["seconds"],
            summary["device"],
            self.encoders.eval(),
        )

    def _diverged(self, error: FloatingPointError, step: int) -> M3diError:
        config = self.config
        try:
            kept = f"; the last good checkpoint is {latest_checkpoint(self.run)}"
        except M3diError:
            kept = ""
        metrics = self.run / run_folder.METRICS_NAME
        return M3diError(
            "training stopped: the loss is no longer finite",
            where=f"step {step} of {config.n_steps}; the steps before it are in {metrics}{kept}",
            got=error,
            expected="a finite loss and gradient",
            next_step=f"in a new folder: lower lr (now {config.lr:g}) or raise temperature ({config.temperature:g})",
        )


def diagnostics(z: list[Tensor], temperature: float, similarity: Any) -> dict[str, float]:
    """Alignment, mean over pairs of views, and entropy, mean over views, of a batch of encodings [B, D] each."""
    terms = [
        asymptotic_terms(z[a], z[b], temperature=temperature, similarity=similarity)
        for a in range(len(z))
        for b in range(a + 1, len(z))
    ]
    entropy = sum(each.entropy1 + each.entropy2 for each in terms) / (2 * len(terms))
    return {"alignment": sum(each.alignment for each in terms) / len(terms), "entropy": entropy}


class _Clock:
    """Seconds of a run, over all its processes, and since its last checkpoint."""

    def __init__(self, before: float) -> None:
        self._start = time.perf_counter() - before
        self.saved()

    def seconds(self) -> float:
        return time.perf_counter() - self._start

    def saved(self) -> None:
        self._saved = time.perf_counter()

    def is_time_to_save(self) -> bool:
        return time.perf_counter() - self._saved > _SECONDS_BETWEEN_CHECKPOINTS


def _to(batch: Batch, device: torch.device) -> Batch:
    return {view: each.to(device, non_blocking=True) for view, each in batch.items()}
