"""Contrastive training of an image and a text encoder, into a run folder."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from m3di import __version__
from m3di.errors import M3diError, UsageError, near_match
from m3di.learn import run_folder
from m3di.learn.inputs import (
    ImageStatistics,
    PairedDataset,
    ShuffledBatches,
    check_is_paired,
    measure_image_statistics,
    pair_loader,
)
from m3di.learn.losses import Similarity, SymInfoNCE, check_similarity, check_temperature
from m3di.learn.run_folder import Encoders

DEVICES: tuple[str, ...] = ("cpu", "cuda", "auto")

OnStep = Callable[[int, float], None]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What to train and for how long.

    Args:
        n_steps: Optimiser steps.
        batch_size: Pairs a step, 2 or more; the others in the batch are a pair's negatives.
        lr: Learning rate of Adam.
        temperature: tau of the loss.
        similarity: See `SymInfoNCE`.
        encoding_size: D, how many numbers an image or a caption becomes.
        hidden_size: Width of the image encoder's last hidden layer.
        clip_norm: The gradient of all weights together is scaled down to this length where it is longer.
        seed: Of the initial weights and of the order of the samples; 0 or more.
        n_workers: Processes that load samples; 0 loads in this one.
        device: "cpu", "cuda", or "auto" (cuda where there is one).
        n_threads: Threads of torch on the CPU; None leaves torch's own choice.
        checkpoint_every: Steps between checkpoints; each replaces the one before. The last step always saves.

    Raises:
        UsageError: A value is out of range.
    """

    n_steps: int
    batch_size: int
    lr: float = 1e-4
    temperature: float = 1.0
    similarity: Similarity = "cosine"
    encoding_size: int = 4
    hidden_size: int = 100
    clip_norm: float = 2.0
    seed: int = 0
    n_workers: int = 0
    device: str = "cpu"
    n_threads: int | None = None
    checkpoint_every: int = 1000

    def __post_init__(self) -> None:
        for name in ("n_steps", "encoding_size", "hidden_size", "checkpoint_every"):
            _check_at_least(name, getattr(self, name), 1)
        _check_at_least("batch_size", self.batch_size, 2, "one pair alone has no negatives to be told from")
        _check_at_least("seed", self.seed, 0)
        _check_at_least("n_workers", self.n_workers, 0)
        if self.n_threads is not None:
            _check_at_least("n_threads", self.n_threads, 1)
        for name in ("lr", "clip_norm"):
            number = getattr(self, name)
            if not (math.isfinite(number) and number > 0):
                raise UsageError(f"{name} must be positive", where=name, got=number, expected="a number above 0")
        check_temperature(self.temperature)
        check_similarity(self.similarity)
        if self.device not in DEVICES:
            near = near_match(self.device, DEVICES)
            raise UsageError(
                "unknown device",
                where="device",
                got=repr(self.device),
                expected=", ".join(DEVICES),
                next_step=f"did you mean {near!r}?" if near else None,
            )


@dataclass(frozen=True)
class TrainResult:
    """What a run came to.

    Args:
        run: The run folder.
        n_steps: Steps made.
        final_loss: Of the last step's batch, in nats, before that step's update.
        seconds: From the first batch to the last update.
        device: Where it ran, "cpu" or "cuda".
        encoders: In evaluation mode, on that device; `load_encoders(run)` gives the same weights.
    """

    run: Path
    n_steps: int
    final_loss: float
    seconds: float
    device: str
    encoders: Encoders


def train(data_root: Path, run: Path, config: TrainConfig, on_step: OnStep | None = None) -> TrainResult:
    """Train on the train split of a dataset on disk.

    Args:
        data_root: The dataset's folder.
        run: Where to write; must not hold a run yet. See `run_folder` for what goes there.
        config: What to train and for how long.
        on_step: Called after each step with its number (from 1) and its loss.

    Raises:
        M3diError: The dataset or the run folder is bad, or the loss stopped being finite.
        UsageError: The configuration does not fit the machine or the dataset.
    """
    run_folder.check_is_free(run)  # before a large dataset is opened for nothing
    from m3di.data import Multimodal3DIdent

    return train_on(Multimodal3DIdent(data_root, split="train"), run, config, on_step)


def train_on(dataset: PairedDataset, run: Path, config: TrainConfig, on_step: OnStep | None = None) -> TrainResult:
    """As `train`, on any dataset of pairs.

    On the CPU, equal data, configuration, torch and number of threads give equal weights, bit for bit. The
    process-wide random generator and thread count are as before when this returns. A random transform in the
    dataset repeats as well if it draws from torch's generator.
    """
    device = _resolve_device(config.device)
    run_folder.check_is_free(run)
    _check_enough_samples(len(dataset), config.batch_size, dataset.root)
    check_is_paired(dataset)
    with _reproducible(config.seed, config.n_threads):
        statistics = measure_image_statistics(dataset)
        encoders = run_folder.build_encoders(
            vocabulary_size=dataset.vocabulary_size,
            pad_index=dataset.pad_index,
            encoding_size=config.encoding_size,
            hidden_size=config.hidden_size,
            image_statistics=statistics,
        ).to(device)
        run_folder.write_config(run, _describe(dataset, config, statistics, device))
        final_loss, seconds = _fit(dataset, encoders, run, config, on_step)
    return TrainResult(run, config.n_steps, final_loss, seconds, device, encoders.eval())


def _fit(
    dataset: PairedDataset, encoders: Encoders, run: Path, config: TrainConfig, on_step: OnStep | None
) -> tuple[float, float]:
    """Train the encoders in place; the last loss, and the seconds it all took."""
    device = next(encoders.image.parameters()).device
    order = ShuffledBatches(len(dataset), config.batch_size, config.n_steps, config.seed)
    loader = pair_loader(dataset, order, n_workers=config.n_workers, pin=device.type == "cuda")
    loss_of = SymInfoNCE(config.temperature, config.similarity)
    weights = [*encoders.image.parameters(), *encoders.text.parameters()]
    optimizer = torch.optim.Adam(weights, lr=config.lr)
    encoders.image.train()
    encoders.text.train()
    loss = seconds = math.nan
    metrics_path = run / run_folder.METRICS_NAME
    start = time.perf_counter()
    with metrics_path.open("w", encoding="utf-8", newline="\n") as metrics:
        metrics.write("step,loss,lr,seconds\n")
        for step, (images, tokens) in enumerate(loader, start=1):
            z_image = encoders.encode_images(images.to(device, non_blocking=True))  # [B, D]
            z_text = encoders.encode_texts(tokens.to(device, non_blocking=True))  # [B, D]
            try:
                loss = _update(loss_of(z_image, z_text), optimizer, weights, config.clip_norm)
            except FloatingPointError as error:
                raise _diverged(error, metrics_path, step, config) from error
            seconds = time.perf_counter() - start
            metrics.write(f"{step},{loss:.9g},{config.lr:g},{seconds:.3f}\n")
            metrics.flush()
            if step % config.checkpoint_every == 0 or step == config.n_steps:
                run_folder.save_checkpoint(run, encoders, step)
            if on_step is not None:
                on_step(step, loss)
    return loss, seconds


def _update(loss: Tensor, optimizer: torch.optim.Optimizer, weights: list[nn.Parameter], clip_norm: float) -> float:
    """One optimiser step; the loss as a number.

    Raises:
        FloatingPointError: The loss or its gradient is not finite; the weights are as before.
    """
    number = loss.item()
    if not math.isfinite(number):
        raise FloatingPointError(f"loss {number}")
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    norm = nn.utils.clip_grad_norm_(weights, clip_norm).item()
    if not math.isfinite(norm):
        raise FloatingPointError(f"loss {number:.4g} with a gradient of length {norm}")
    optimizer.step()
    return number


def _diverged(error: FloatingPointError, metrics_path: Path, step: int, config: TrainConfig) -> M3diError:
    return M3diError(
        "training stopped: the loss is no longer finite",
        where=f"step {step} of {config.n_steps}; the steps before it are in {metrics_path}",
        got=error,
        expected="a finite loss and gradient",
        next_step=f"in a new folder, lower lr (now {config.lr:g}) or raise temperature (now {config.temperature:g})",
    )


def _describe(dataset: PairedDataset, config: TrainConfig, statistics: ImageStatistics, device: str) -> dict[str, Any]:
    """What goes into config.json."""
    return {
        "config": asdict(config),
        "data": {
            "root": str(dataset.root),
            "fingerprint": dataset.fingerprint,
            "n_samples": len(dataset),
            "vocabulary_size": dataset.vocabulary_size,
            "pad_index": dataset.pad_index,
        },
        "image_statistics": asdict(statistics),
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "n_threads": torch.get_num_threads(),
        "versions": {"m3di": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }


@contextmanager
def _reproducible(seed: int, n_threads: int | None) -> Iterator[None]:
    """Seed torch's CPU generator and set its thread count; put both back afterwards."""
    n_threads_before = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        if n_threads is not None:
            torch.set_num_threads(n_threads)
        try:
            yield
        finally:
            torch.set_num_threads(n_threads_before)


def _resolve_device(device: str) -> str:
    has_cuda = torch.cuda.is_available()
    if device == "auto":
        return "cuda" if has_cuda else "cpu"
    if device == "cuda" and not has_cuda:
        raise UsageError(
            "cuda was asked for, but torch finds no CUDA device",
            where="device",
            got=f"torch {torch.__version__}",
            expected="a CUDA build of torch and an NVIDIA GPU",
            next_step="use device 'auto' or 'cpu'",
        )
    return device


def _check_enough_samples(n_samples: int, batch_size: int, root: object) -> None:
    if batch_size > n_samples:
        raise UsageError(
            "the batch is larger than the train split",
            where=f"batch_size, with the data in {root}",
            got=f"a batch of {batch_size}, a split of {n_samples}",
            expected=f"a batch of {n_samples} or fewer",
            next_step="use a smaller batch, or render more samples",
        )


def _check_at_least(name: str, number: int, least: int, why: str | None = None) -> None:
    if number < least:
        what = f"{name} is too small" + (f": {why}" if why else "")
        raise UsageError(what, where=name, got=number, expected=f"{least} or more")
