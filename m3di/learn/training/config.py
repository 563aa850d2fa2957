"""What to train and for how long: every hyperparameter, checked, and named sets of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from types import MappingProxyType
from typing import Any, Literal

from m3di.errors import UsageError, check_word
from m3di.learn.losses import (
    NEGATIVES,
    LossSettings,
    Negatives,
    Similarity,
    build_loss,
    check_similarity,
    check_temperature,
)
from m3di.learn.training.augmentation import AUGMENTATIONS
from m3di.learn.training.device import DEVICES, Device
from m3di.learn.training.loading import WORKER_KINDS, WorkerKind
from m3di.learn.training.loggers import LOGGERS
from m3di.learn.training.precision import PRECISIONS, Precision
from m3di.learn.training.schedule import SCHEDULES, Schedule, learning_rate

CACHES: tuple[str, ...] = ("ram", "disk", "none")
# What a run may be continued with that it was not started with: the weights do not depend on it.
FREE_ON_RESUME = frozenset(
    {"n_workers", "worker_kind", "checkpoint_every", "keep_checkpoints", "cache", "tensorboard", "loggers"}
)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What to train and for how long.

    Args:
        n_steps: Optimiser steps.
        batch_size: Tuples of views a step, of all processes together, 2 or more; the others in the batch are a
            tuple's negatives.
        accumulate: Equal parts that the batch of a process is encoded in, one after the other, for less memory. The
            loss is that of the whole batch; batch norm takes its statistics from each part.
        views: Names of the views to train on; None takes all that the dataset has.
        image_encoder: Name of a registered encoder of images, or "timm:NAME".
        text_encoder: Name of a registered encoder of captions.
        augment: Names of augmentations of the training images, see `m3di.learn.training.augmentation`.
        share_encoders: One encoder for all image views, and one for all text views.
        encoding_size: D, how many numbers a view becomes.
        hidden_size: Width of the image encoder's last hidden layer.
        lr: Learning rate of Adam, at its highest.
        schedule: "constant", or "cosine": down to 0 at the last step.
        n_warmup_steps: Steps over which the learning rate rises linearly to `lr`.
        weight_decay: Decoupled from the gradient, as in AdamW; 0 is Adam. Of matrices, convolutions and embeddings;
            not of biases, norms and the temperature.
        clip_norm: The gradient of all weights together is scaled down to this length where it is longer.
        loss: Name of a registered loss.
        loss_options: Options of the loss's own, by name; None leaves its defaults.
        temperature: tau of the loss.
        learn_temperature: Train tau too, from `temperature` on; it is kept at 0.01 or more.
        similarity: See `SymInfoNCE`.
        negatives: See `SymInfoNCE`.
        seed: Of the initial weights and of the order of the samples; 0 or more.
        precision: "fp32" is IEEE float32, in convolutions too; "tf32" (NVIDIA GPUs from Ampere on) rounds the factors
            of convolutions and products to 10 bits; "bf16" computes these in bfloat16. Weights, loss and updates are
            float32 always. "auto" is bf16 on a GPU that has it and on a CPU with instructions for it, else fp32.
        compile: Use `torch.compile`.
        device: "cpu", "cuda", or "auto" (cuda where there is one).
        n_threads: Threads of torch on the CPU; None leaves torch's own choice.
        n_workers: Workers that read batches ahead; with 0 each is read when its step begins. None is 0 on the CPU, and
            for a GPU 8 or all cores but one, or 1 where the dataset does not say that it is `thread_safe`.
        worker_kind: "threads" of this process, or "processes": for a dataset of your own that only one thread may read,
            or whose Python code is slow.
        cache: Decoded images are kept in memory ("ram"), in a file ("disk"), or not ("none").
        checkpoint_every: Steps between checkpoints; each replaces the one before. The last step always saves, and so
            does every tenth minute.
        keep_checkpoints: Steps between checkpoints whose weights are kept for good, from step 0 on; None keeps none.
        val_every: Steps between measurements of the loss on the val split; the last step always measures.
        diagnostics_every: Steps between measurements of alignment and entropy, on the step's own batch.
        patience: Measurements of the validation loss without a new least one that end the run; None never ends it so.
        tensorboard: Write metrics for TensorBoard too.
        loggers: Further loggers of metrics: "wandb", "mlflow".

    Raises:
        UsageError: A value is out of range.

    Example:
        >>> from m3di import TrainConfig
        >>> TrainConfig(n_steps=1000, batch_size=64, encoding_size=8).image_encoder
        'resnet18'
    """

    n_steps: int
    batch_size: int
    accumulate: int = 1
    views: tuple[str, ...] | None = None
    image_encoder: str = "resnet18"
    text_encoder: str = "convnet"
    augment: tuple[str, ...] = ()
    share_encoders: bool = False
    encoding_size: int = 4
    hidden_size: int = 100
    lr: float = 1e-4
    schedule: Schedule = "constant"
    n_warmup_steps: int = 0
    weight_decay: float = 0.0
    clip_norm: float = 2.0
    loss: str = "infonce"
    loss_options: Mapping[str, float] | None = None
    temperature: float = 1.0
    learn_temperature: bool = False
    similarity: Similarity = "cosine"
    negatives: Negatives = "cross"
    seed: int = 0
    precision: Precision = "auto"
    compile: bool = False
    device: Device = "cpu"
    n_threads: int | None = None
    n_workers: int | None = None
    worker_kind: WorkerKind = "threads"
    cache: Literal["ram", "disk", "none"] = "none"
    checkpoint_every: int = 1000
    keep_checkpoints: int | None = None
    val_every: int = 1000
    diagnostics_every: int = 100
    patience: int | None = None
    tensorboard: bool = True
    loggers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in (
            "n_steps",
            "accumulate",
            "encoding_size",
            "hidden_size",
            "checkpoint_every",
            "val_every",
            "diagnostics_every",
        ):
            _check_at_least(name, getattr(self, name), 1)
        _check_at_least("batch_size", self.batch_size, 2, "one pair alone has no negatives to be told from")
        for name in ("seed", "n_warmup_steps", "weight_decay"):
            _check_at_least(name, getattr(self, name), 0)
        for name, least in (("n_threads", 1), ("n_workers", 0), ("keep_checkpoints", 1), ("patience", 1)):
            if getattr(self, name) is not None:
                _check_at_least(name, getattr(self, name), least)
        for name in ("lr", "clip_norm"):
            number = getattr(self, name)
            if not (math.isfinite(number) and number > 0):
                raise UsageError(f"{name} must be positive", where=name, got=number, expected="a number above 0")
        check_temperature(self.temperature, learned=self.learn_temperature)
        check_similarity(self.similarity)
        check_word(self.negatives, NEGATIVES, what="negatives")
        build_loss(self.loss, self.loss_settings, self.loss_options)  # raises where a setting is not of this loss
        check_word(self.precision, PRECISIONS, what="precision")
        check_word(self.schedule, SCHEDULES, what="schedule")
        check_word(self.device, DEVICES, what="device")
        check_word(self.cache, CACHES, what="cache")
        for name in self.loggers:
            check_word(name, tuple(LOGGERS), what="logger")
        for name in self.augment:
            check_word(name, tuple(AUGMENTATIONS), what="augmentation")
        check_word(self.worker_kind, WORKER_KINDS, what="kind of workers")

    @property
    def all_loggers(self) -> tuple[str, ...]:
        """Names of loggers, TensorBoard among them where it is on."""
        named = ("tensorboard",) if self.tensorboard else ()
        return tuple(dict.fromkeys((*named, *self.loggers)))

    @property
    def loss_settings(self) -> LossSettings:
        """What the loss takes from here, as far as it heeds it."""
        return LossSettings(self.temperature, self.learn_temperature, self.similarity, self.negatives)

    def lr_at(self, step: int) -> float:
        """The learning rate of a step, counted from 1."""
        return learning_rate(
            step, lr=self.lr, n_steps=self.n_steps, schedule=self.schedule, n_warmup_steps=self.n_warmup_steps
        )


# As JSON has them.
DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {
        each.name: list(each.default) if isinstance(each.default, tuple) else each.default
        for each in fields(TrainConfig)
        if each.default is not MISSING
    }
)


@dataclass(frozen=True)
class Preset:
    """A named set of hyperparameters.

    Args:
        description: What it is for.
        values: Fields of `TrainConfig`.
        n_seeds: Runs that it stands for, one a seed.
    """

    description: str
    values: Mapping[str, Any]
    n_seeds: int = 1


_PAPER = {
    "batch_size": 256,
    "lr": 1e-5,
    "temperature": 1.0,
    "similarity": "cosine",
    "clip_norm": 2.0,
    "encoding_size": 4,
    "hidden_size": 100,
    "checkpoint_every": 10_000,
    "device": "auto",
}
PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "quick": Preset(
            "a first look: 1,000 steps of 64 pairs",
            {"n_steps": 1000, "batch_size": 64, "device": "auto"},
        ),
        "m3di-paper": Preset(
            "image/text pairs as in Daunhawer et al. (2023), section 5.2: 100,000 steps, 3 seeds",
            {**_PAPER, "n_steps": 100_000, "views": ("image", "text")},
            n_seeds=3,
        ),
        "image-pairs-paper": Preset(
            "image/image pairs as in Daunhawer et al. (2023), appendix: 60,000 steps, 3 seeds",
            {**_PAPER, "n_steps": 60_000},
            n_seeds=3,
        ),
        "cpu-demo": Preset(
            "4,000 pairs of 64 px, learned on two CPU cores within 40 minutes",
            {
                "n_steps": 3600,
                "batch_size": 64,
                "lr": 1e-3,
                "schedule": "cosine",
                "n_warmup_steps": 100,
                "temperature": 0.1,
                "encoding_size": 8,
                "cache": "ram",
                "device": "cpu",
                "val_every": 200,
                "checkpoint_every": 200,
            },
        ),
    }
)


def find_preset(name: str) -> Preset:
    """A preset by its name.

    Raises:
        UsageError: There is none of that name.
    """
    check_word(name, tuple(PRESETS), what="preset")
    return PRESETS[name]


def config_from(preset: str, overrides: Mapping[str, Any]) -> TrainConfig:
    """The configuration of a preset, with some values replaced; an override of None replaces nothing."""
    given = {name: value for name, value in overrides.items() if value is not None}
    return TrainConfig(**{**find_preset(preset).values, **given})


def config_from_json(stored: Mapping[str, Any]) -> TrainConfig:
    """The configuration that `dataclasses.asdict` and JSON made into plain values."""
    known = {field.name for field in fields(TrainConfig)}
    values = {name: value for name, value in stored.items() if name in known}
    for name in ("views", "augment", "loggers"):
        if values.get(name) is not None:
            values[name] = tuple(values[name])
    return TrainConfig(**values)


def _check_at_least(name: str, number: float, least: int, why: str | None = None) -> None:
    if not number >= least:
        what = f"{name} is too small" + (f": {why}" if why else "")
        raise UsageError(what, where=name, got=number, expected=f"{least} or more")
