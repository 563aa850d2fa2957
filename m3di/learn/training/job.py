"""One training run: from its first step, or from its last checkpoint, to its summary."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from m3di.errors import M3diError
from m3di.learn.losses import asymptotic_terms
from m3di.learn.models.encoder_set import Encoders
from m3di.learn.training import run_folder
from m3di.learn.training.accumulation import in_parts
from m3di.learn.training.augmentation import augmented, generator_of
from m3di.learn.training.checkpoint import (
    CHECKPOINT_NAME,
    keep_checkpoint,
    latest_checkpoint,
    load_weights,
    restore_training,
    save_checkpoint,
    training_state,
)
from m3di.learn.training.clock import Clock
from m3di.learn.training.config import TrainConfig
from m3di.learn.training.distributed import Processes, parallel
from m3di.learn.training.inputs import Batch, PairedDataset, TrainingOrder
from m3di.learn.training.loading import batch_loader, resolve_workers, to_device
from m3di.learn.training.loggers import LoggedRun
from m3di.learn.training.metrics import MetricsLog
from m3di.learn.training.step import ContrastiveStep, make_loss, make_optimizer
from m3di.learn.training.stopping import Patience, measured_losses
from m3di.learn.training.update import NotFiniteError, Updater

OnStep = Callable[[int, float], None]


@dataclass(frozen=True)
class TrainResult:
    """Result of a run.

    Args:
        run: The run folder.
        n_steps: Steps made.
        final_loss: Of the last step's batch, in nats, before that step's update.
        val_loss: Mean over the whole batches of the val split after the last step; None if there is no such split.
        seconds: That all steps took, in this process and in those before it.
        device: Where it ran, "cpu" or "cuda".
        encoders: In evaluation mode; `load_encoders(run)` gives the same weights.
        stopped_early: Whether fewer steps were made than asked for, because the validation loss fell no more.
        val_batch_size: Samples in each batch of `val_loss`, where these are fewer than in training; else None. The
            loss is lower against fewer negatives.
    """

    run: Path
    n_steps: int
    final_loss: float
    val_loss: float | None
    seconds: float
    device: str
    encoders: Encoders
    stopped_early: bool = False
    val_batch_size: int | None = None

    def __str__(self) -> str:
        val_loss = "" if self.val_loss is None else f", validation loss {self.val_loss:.4f}"
        if self.val_batch_size is not None:
            val_loss += f" in batches of {self.val_batch_size}"
        steps = f"{self.n_steps} steps in {self.seconds:.0f} s"
        early = " (stopped early, by --patience)" if self.stopped_early else ""
        return f"{self.run}: {steps}{early}, last loss {self.final_loss:.4f}{val_loss}"


@dataclass(frozen=True)
class Job:
    """One run: encoders, data, settings and folder."""

    dataset: PairedDataset
    val: PairedDataset | None
    encoders: Encoders
    run: Path
    config: TrainConfig
    precision: str
    world: Processes

    def is_finished(self) -> bool:
        return run_folder.read_summary(self.run) is not None

    def result(self) -> TrainResult:
        """Of a finished run."""
        summary = run_folder.read_summary(self.run) or {}
        load_weights(self.encoders, latest_checkpoint(self.run))
        return self._result(summary)

    def fit(self, on_step: OnStep | None) -> TrainResult:
        """Make the remaining steps."""
        config = self.config
        step_of = ContrastiveStep(
            self.encoders, make_loss(config), self.precision, self.world, compiled=config.compile
        ).to(self.device)
        optimizer = make_optimizer(step_of, config)
        first_step, seconds_before = self._resume(step_of, optimizer)
        forward = parallel(step_of, self.world, self.device)
        weights = step_of.parameters()
        updater = Updater(optimizer, weights, config.clip_norm, lambda: step_of.loss.tau, late=self.tells_late)
        clock = Clock(seconds_before)
        numbers, last_step = dict[str, float](), first_step
        past = measured_losses(self.run / run_folder.METRICS_NAME, first_step, config.val_every)
        patience = Patience(config.patience, past)
        if self.world.agreed(lambda: patience.is_out):  # killed between its last checkpoint and its summary
            return self._finished(self._last_numbers(), first_step)
        if first_step == 0 and self.world.rank == 0 and config.keep_checkpoints:
            self._save(0, training_state(step_of, optimizer), clock)
        self.encoders.train()
        with self._log(first_step) as log, closing(self._batches(first_step)) as batches:
            for step, batch in enumerate(batches, start=first_step + 1):
                loss, z, backward = self._forward(step_of, forward, self._augmented(batch, step))
                saves = log is not None and self._saves(step, clock)
                measured, stops, last_step = dict[str, float](), False, step
                try:
                    known = updater.make(step, loss, config.lr_at(step), backward)
                    if saves or self._measures(step):
                        known += updater.flush()
                        measured = self._measured(step, step_of, z)
                        stops = self._stops(step, patience, measured)
                except NotFiniteError as error:
                    raise self._diverged(error) from error
                for made in known:
                    numbers = made.metrics() | (measured if made.step == step else {}) | {"seconds": clock.seconds()}
                    if log is not None:
                        log.write(made.step, numbers)
                if saves or (stops and log is not None):
                    self._save(step, training_state(step_of, optimizer), clock)
                if on_step is not None:
                    for made in known:
                        on_step(made.step, made.loss)
                if stops:
                    break
        return self._finished(numbers or self._last_numbers(), last_step)

    def _augmented(self, batch: Batch, step: int) -> Batch:
        """The batch on the device, with its images augmented as the step has it."""
        there = to_device(batch, self.device)
        if not self.config.augment:
            return there
        draws = generator_of(self.device, self.config.seed, step, self.world.rank)
        views = self.encoders.augmented
        return there | {view: augmented(there[view], self.config.augment, draws) for view in views}

    def _forward(
        self, step_of: ContrastiveStep, forward: nn.Module, batch: Batch
    ) -> tuple[Tensor, list[Tensor], Callable[[], None] | None]:
        """Loss, encodings, and what computes the gradients where that is not the loss itself."""
        if self.config.accumulate > 1:
            return in_parts(step_of, forward, batch, self.config.accumulate)
        loss, z = forward(batch)
        return loss, z, None

    def _finished(self, numbers: dict[str, float], n_steps: int) -> TrainResult:
        """Write the summary of a run with the metrics of its last step."""
        summary = self._summary(numbers, n_steps)
        if self.world.rank == 0:
            run_folder.write_summary(self.run, summary)
        self.world.wait()
        return self._result(summary)

    @property
    def tells_late(self) -> bool:
        """Whether the loss of a step is read with the next step, which suits a GPU."""
        return self.device.type == "cuda"

    @property
    def device(self) -> torch.device:
        return next(self.encoders.parameters()).device

    def _resume(self, step_of: ContrastiveStep, optimizer: torch.optim.Optimizer) -> tuple[int, float]:
        """Restore everything from the last checkpoint; return the steps made and their seconds."""
        if not (self.run / CHECKPOINT_NAME).exists():
            return 0, 0.0
        try:
            checkpoint = latest_checkpoint(self.run)
        except M3diError:  # killed before its first checkpoint was complete
            return 0, 0.0
        step = load_weights(self.encoders, checkpoint)
        return step, restore_training(checkpoint, step_of, optimizer)

    def _batches(self, first_step: int) -> Generator[Batch, None, None]:
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
        return self._load(self.dataset, order)

    def _load(self, dataset: PairedDataset, order: Iterable[list[int]]) -> Generator[Batch, None, None]:
        kind = self.config.worker_kind
        n_workers = resolve_workers(self.config.n_workers, self.device.type, dataset, kind)
        return batch_loader(dataset, self.encoders.views, order, n_workers=n_workers, device=self.device, kind=kind)

    def _log(self, first_step: int) -> Any:
        if self.world.rank:
            return nullcontext()
        told = LoggedRun(self.run, asdict(self.config), first_step)
        return MetricsLog(self.run / run_folder.METRICS_NAME, told, self.config.all_loggers)

    def _saves(self, step: int, clock: Clock) -> bool:
        """Whether a checkpoint follows this step."""
        config = self.config
        is_due = step % config.checkpoint_every == 0 or step == config.n_steps or self._keeps(step)
        return is_due or clock.is_time_to_save()

    def _keeps(self, step: int) -> bool:
        """Whether the checkpoint of this step stays for good."""
        return self.config.keep_checkpoints is not None and step % self.config.keep_checkpoints == 0

    def _save(self, step: int, training: dict[str, Tensor], clock: Clock) -> None:
        save_checkpoint(self.run, self.encoders, step, training, clock.seconds())
        if self._keeps(step):
            keep_checkpoint(self.run)
        clock.saved()

    def _measures(self, step: int) -> bool:
        """Whether more than the loss is measured at this step."""
        config = self.config
        return step % config.diagnostics_every == 0 or step % config.val_every == 0 or step == config.n_steps

    def _measured(self, step: int, step_of: ContrastiveStep, z: list[Tensor]) -> dict[str, float]:
        """What is measured now and then; process 0 alone does it."""
        config = self.config
        found: dict[str, float] = {}
        tau = step_of.temperature  # the two terms are those of a loss with a temperature
        if self.world.rank == 0 and step % config.diagnostics_every == 0 and tau is not None:
            found |= diagnostics(z, tau, step_of.loss.similarity)
        if self.world.rank == 0 and (step % config.val_every == 0 or step == config.n_steps):
            val_loss = self._val_loss(step, step_of)
            found |= {} if val_loss is None else {"val_loss": val_loss}
        return found

    def _val_loss(self, step: int, step_of: ContrastiveStep) -> float | None:
        """Mean loss of the whole batches of the val split, or of one smaller batch where it has no whole one."""
        if self.val is None or len(self.val) < 2:
            return None
        size = min(self.config.batch_size, len(self.val))
        order = [list(range(first, first + size)) for first in range(0, len(self.val) - size + 1, size)]
        self.encoders.eval()
        with torch.no_grad(), closing(self._load(self.val, order)) as batches:
            losses = [step_of.loss(*step_of.encode(to_device(batch, self.device))) for batch in batches]
        self.encoders.train()
        numbers: list[float] = torch.stack(losses).tolist()  # one wait for the device
        if not math.isfinite(sum(numbers)):
            raise NotFiniteError(step, f"validation loss {sum(numbers)}")
        return math.fsum(numbers) / len(numbers)

    def _stops(self, step: int, patience: Patience, measured: dict[str, float]) -> bool:
        """Whether the run ends after this step because its validation loss falls no more; process 0 decides."""
        if self.config.patience is None or step % self.config.val_every:
            return False
        if "val_loss" in measured:
            patience.measured(measured["val_loss"])
        return self.world.agreed(lambda: patience.is_out)

    def _summary(self, numbers: dict[str, float], n_steps: int) -> dict[str, Any]:
        n_val = 0 if self.val is None else len(self.val)
        return {
            "n_steps": n_steps,
            "stopped_early": n_steps < self.config.n_steps,
            "final_loss": numbers["loss"],
            "val_loss": numbers.get("val_loss"),
            "val_batch_size": min(self.config.batch_size, n_val) if n_val >= 2 else None,
            "temperature": numbers.get("temperature"),
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
            summary["n_steps"] < self.config.n_steps,
            None if summary.get("val_batch_size") == self.config.batch_size else summary.get("val_batch_size"),
        )

    def _diverged(self, error: NotFiniteError) -> M3diError:
        config = self.config
        try:
            kept = f"; the last good checkpoint is {latest_checkpoint(self.run)}"
        except M3diError:
            kept = ""
        metrics = self.run / run_folder.METRICS_NAME
        return M3diError(
            "training stopped: the loss is no longer finite",
            where=f"step {error.step} of {config.n_steps}; the steps before it are in {metrics}{kept}",
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
