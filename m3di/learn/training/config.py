"""The hyperparameters of a training, with their checks, and presets."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from m3di.errors import UsageError, check_word
from m3di.learn.choices import Device, Negatives, Precision, Schedule, Similarity, WorkerKind
from m3di.learn.training.loggers import LOGGERS
from m3di.learn.training.schedule import learning_rate
from m3di.system.settings import STRICT, Count, Finite, OneOf, Option, Positive, Whole, explained

if TYPE_CHECKING:
    from m3di.learn.losses import LossSettings

# Settings that may differ when a run continues: the weights do not depend on them.
FREE_ON_RESUME = frozenset({"n_workers", "worker_kind", "checkpoint_every", "cache", "tensorboard", "loggers"})


def _augmentations() -> Iterable[str]:
    from m3di.learn.training.augmentation import AUGMENTATIONS  # imports torch, and help should not wait for it

    return AUGMENTATIONS


@explained()
@dataclass(frozen=True, kw_only=True, config=STRICT)
class TrainConfig:
    """What to train and for how long.

    Raises:
        UsageError: A value is out of range, or the loss does not take it.

    Example:
        >>> from m3di import TrainConfig
        >>> TrainConfig(n_steps=1000, batch_size=64, encoding_size=8).image_encoder
        'resnet18'
    """

    n_steps: Annotated[Count, "Optimiser steps.", Option("--steps")]
    batch_size: Annotated[
        int,
        Field(ge=2),
        "Tuples of views a step, of all processes together; the others in the batch are a tuple's negatives.",
        Option(why="one pair alone has no negatives to be told from"),
    ]
    accumulate: Annotated[
        Count,
        "Equal parts that the batch of a process is encoded in, one after the other, for less memory. "
        "The loss is that of the whole batch; batch norm takes its statistics from each part.",
        Option(metavar="PARTS"),
    ] = 1
    views: Annotated[
        tuple[str, ...] | None,
        "Views to train on, such as image,text.",
        Option(metavar="NAMES", default="all that the dataset has"),
    ] = None
    image_encoder: Annotated[
        str, "Encoder of images: resnet18, resnet18-small (for about 64 px), timm:NAME, or your own."
    ] = "resnet18"
    text_encoder: Annotated[str, "Encoder of captions: convnet, or your own."] = "convnet"
    augment: Annotated[
        tuple[Annotated[str, OneOf(_augmentations)], ...],
        "Augment the training images, such as shift,color,noise, or '' for none; a wrong name lists all.",
        Option(metavar="NAMES", noun="augmentation"),
    ] = ()
    share_encoders: Annotated[
        bool, "One encoder for all image views, and one for all text views.", Option("--share-encoders/--own-encoders")
    ] = False
    encoding_size: Annotated[Count, "D, how many numbers a view becomes."] = 4
    hidden_size: Annotated[Count, "Width of the image encoder's last hidden layer."] = 100
    lr: Annotated[Positive, "Learning rate of Adam, before warm-up and schedule lower it."] = 1e-4
    schedule: Annotated[Schedule, "Schedule of the learning rate: constant, or cosine (down to 0)."] = "constant"
    n_warmup_steps: Annotated[
        Whole, "Steps in which the learning rate rises linearly, times the schedule.", Option("--warmup")
    ] = 0
    weight_decay: Annotated[
        float,
        Field(ge=0, lt=math.inf),
        "Decoupled from the gradient, as in AdamW; 0 is Adam. It decays matrices, convolutions and "
        "embeddings, not biases, norms and the temperature.",
    ] = 0.0
    clip_norm: Annotated[
        Positive,
        "Scale the gradient of all weights together down to this length if it is longer.",
    ] = 2.0
    loss: Annotated[str, "Objective, by name; a wrong name lists all."] = "infonce"
    loss_options: Annotated[
        Mapping[str, Finite] | None,
        "Own option of the loss, such as bias=-5.",
        Option("--loss-option", metavar="NAME=NUMBER", repeated=True, default="those of the loss"),
    ] = None
    temperature: Annotated[Positive, "Temperature tau of the loss."] = 1.0
    learn_temperature: Annotated[
        bool,
        "Train the temperature too, from where it starts; it is kept at 0.01 or more.",
        Option("--learn-temperature/--fixed-temperature"),
    ] = False
    similarity: Annotated[Similarity, "Similarity of two encodings in the loss."] = "cosine"
    negatives: Annotated[Negatives, "cross (equation 4), or all: within a modality too, as the published code."] = (
        "cross"
    )
    seed: Annotated[Whole, "Seed of the initial weights and of the order of the samples."] = 0
    precision: Annotated[
        Precision,
        "fp32 is IEEE float32, in convolutions too; tf32 (NVIDIA GPUs from Ampere on) rounds the "
        "factors of convolutions and products to 10 bits; bf16 computes these in bfloat16. Weights, loss and "
        "updates are float32 always. auto is bf16 on a GPU that has it and on a CPU with instructions for it, "
        "else fp32.",
    ] = "auto"
    compile: Annotated[bool, "Use torch.compile."] = False
    device: Annotated[Device, "Where to train; auto is cuda where there is one."] = "cpu"
    n_threads: Annotated[
        Count | None, "Threads of torch on the CPU.", Option("--threads", default="torch's own choice")
    ] = None
    n_workers: Annotated[
        Whole | None,
        "Workers that read batches ahead; with 0 each is read when its step begins.",
        Option(
            "--workers",
            default="0 on the CPU; for a GPU 8 or all cores but one, or 1 where the dataset does not say that it is "
            "`thread_safe`",
        ),
    ] = None
    worker_kind: Annotated[
        WorkerKind,
        "threads of this process, or processes: for a dataset of your own that only one thread may "
        "read, or whose Python code is slow.",
        Option(noun="kind of workers"),
    ] = "threads"
    cache: Annotated[
        Literal["ram", "disk", "none"], "Keep decoded images in memory (ram), in a file (disk), or not."
    ] = "none"
    checkpoint_every: Annotated[
        Count,
        "Steps between checkpoints; each replaces the one before. The last step always saves, and so "
        "does every tenth minute.",
    ] = 1000
    keep_checkpoints: Annotated[
        Count | None,
        "Steps between checkpoints whose weights are kept for good, from step 0 on.",
        Option(metavar="EVERY", default="none is kept"),
    ] = None
    val_every: Annotated[
        Count, "Steps between measurements of the loss on the val split; the last step always measures."
    ] = 1000
    diagnostics_every: Annotated[
        Count, "Steps between measurements of alignment and entropy, on the step's own batch."
    ] = 100
    patience: Annotated[
        Count | None,
        "End after that many measurements of the validation loss without a new least one.",
        Option(metavar="N", default="never"),
    ] = None
    tensorboard: Annotated[bool, "Write metrics for TensorBoard too."] = True
    loggers: Annotated[
        tuple[Annotated[str, OneOf(LOGGERS)], ...],
        "Log metrics there too: wandb, mlflow.",
        Option("--logger", metavar="NAMES", noun="logger"),
    ] = ()

    def __post_init__(self) -> None:
        from m3di.learn.losses import build_loss  # imports torch, and help should not wait for it

        if self.views is not None and (len(self.views) < 2 or len(set(self.views)) < len(self.views)):
            raise UsageError(
                "contrastive training needs two or more different views",
                where="views",
                got=", ".join(self.views) or "none",
                expected="two or more, such as image,text",
                next_step="name another view, or leave it out for all views of the dataset",
            )
        if self.n_warmup_steps > self.n_steps:
            raise UsageError(
                "the run would end before its learning rate is there",
                where="n_warmup_steps",
                got=f"{self.n_warmup_steps} steps of warm-up, of {self.n_steps} in all",
                expected=f"0 to {self.n_steps}",
                next_step="train longer, or warm up in fewer steps (on the command line: --warmup 0)",
            )
        build_loss(self.loss, self.loss_settings, self.loss_options)  # raises where a setting is not of this loss

    @property
    def all_loggers(self) -> tuple[str, ...]:
        """Names of loggers, TensorBoard among them where it is on."""
        named = ("tensorboard",) if self.tensorboard else ()
        return tuple(dict.fromkeys((*named, *self.loggers)))

    @property
    def loss_settings(self) -> LossSettings:
        """What the loss takes from here, as far as it heeds it."""
        from m3di.learn.losses import LossSettings

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


@dataclasses.dataclass(frozen=True)
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
        "quick": Preset("a first look: 1,000 steps of 64 pairs", {"n_steps": 1000, "batch_size": 64, "device": "auto"}),
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
            "12,000 pairs of 64 px, learned on two CPU cores in about 40 minutes",
            {
                "n_steps": 7000,
                "batch_size": 64,
                "image_encoder": "resnet18-small",
                "augment": ("color", "noise"),
                "lr": 1e-3,
                "schedule": "cosine",
                "n_warmup_steps": 100,
                "weight_decay": 0.05,
                "temperature": 0.1,
                "encoding_size": 8,
                "cache": "ram",
                "device": "cpu",
                "val_every": 350,
                "checkpoint_every": 200,
            },
        ),
    }
)


def find_preset(name: str) -> Preset:
    """Return a preset by its name.

    Raises:
        UsageError: There is none of that name.
    """
    check_word(name, tuple(PRESETS), what="preset")
    return PRESETS[name]


def config_from(preset: str, overrides: Mapping[str, Any]) -> TrainConfig:
    """Return the configuration of a preset, with some values replaced; an override of None replaces nothing."""
    given = {name: value for name, value in overrides.items() if value is not None}
    return TrainConfig(**{**find_preset(preset).values, **given})


def config_from_json(stored: Mapping[str, Any]) -> TrainConfig:
    """The configuration that `dataclasses.asdict` and JSON made into plain values."""
    known = {field.name for field in fields(TrainConfig)}
    return TrainConfig(**{name: value for name, value in stored.items() if name in known})
