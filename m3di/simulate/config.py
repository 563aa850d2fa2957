"""What one simulation is: its process, its encoders, and how they are trained and judged."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from m3di.errors import UsageError, check_word
from m3di.learn.losses import Similarity, check_similarity, check_temperature
from m3di.learn.training.device import DEVICES
from m3di.learn.training.schedule import SCHEDULES, Schedule

Block = Literal["content", "style", "modality"]
BLOCKS: tuple[str, ...] = get_args(Block)
Negatives = Literal["cross", "all", "fresh"]
NEGATIVES: tuple[str, ...] = get_args(Negatives)
Covariances = Literal["independent", "shared"]
COVARIANCES: tuple[str, ...] = get_args(Covariances)
PRECISIONS: tuple[str, ...] = ("fp32", "tf32", "bf16")
WIDTHS = (10, 50, 50, 50, 50, 10)
EVAL_SEED_OFFSET = 1_000_003


@dataclass(frozen=True, kw_only=True)
class SimulationConfig:
    """One run of the numerical simulation (Daunhawer et al., ICLR 2023, section 5.1); the defaults are the paper's.

    Args:
        n_content: Dimensions of c, 1 or more.
        n_style: Dimensions of s, 0 or more.
        n_modality: Dimensions of m1 and of m2, 0 or more.
        encoding_size: Numbers that an observation becomes; None is `n_content`.
        style_change_prob: pi, the probability that a style dimension differs between the modalities.
        statistical: Whether latents are correlated inside c, s, m1, m2 and the style noise (Wishart covariances).
        covariances: Of statistical dependence: "independent" draws a Wishart matrix for each block, "shared" draws
            all from one seed, so that blocks of one size have the same matrix (as the published code draws them).
        causal: Whether content causes style.
        shared_mixing: Whether f2 = f1.
        shared_encoder: Whether g2 = g1.
        discrete: Blocks whose dimensions are classes rather than numbers.
        n_classes: Classes of a discrete dimension, 2 or more; None where nothing is discrete.
        widths: Of an encoder's hidden layers, in multiples of d.
        n_steps: Optimiser steps.
        batch_size: K, pairs a step, 2 or more.
        lr: Learning rate of Adam, at its highest.
        schedule: Of the learning rate: "constant" (the paper's) or "cosine"; see `learning_rate`.
        temperature: tau of the loss.
        similarity: See `SymInfoNCE`.
        negatives: "cross" (equation 4), "all" (those of the own modality too) or "fresh" (a second draw of the own
            modality instead, what the published simulation trains with).
        clip_norm: The gradient is scaled down to this length where it is longer.
        seed: Of the process, the mixings, the initial weights and the samples; 0 or more.
        eval_seed: Of the samples that encoders are judged by; None derives one from `seed`.
        n_eval: Samples that probes are fitted on, and as many that they are scored on.
        precision: Of the encoders' matrix products: "fp32" is IEEE float32, "tf32" rounds their factors to 10 bits
            (NVIDIA GPUs from Ampere on), "bf16" computes in bfloat16.
        device: "cpu", "cuda", or "auto" (cuda where there is one).
        cuda_graph: Make each step by a single launch on the GPU; the same kernels on the same numbers. None does so
            where it can: on a GPU, with torch 2.4 or newer.
        log_every: Steps between lines of metrics.csv; finiteness of the loss is looked at then, too.
        checkpoint_every: Steps between checkpoints.

    Raises:
        UsageError: A value is out of range.
    """

    n_content: int = 5
    n_style: int = 5
    n_modality: int = 5
    encoding_size: int | None = None
    style_change_prob: float = 1.0
    statistical: bool = False
    covariances: Covariances = "independent"
    causal: bool = False
    shared_mixing: bool = False
    shared_encoder: bool = False
    discrete: tuple[Block, ...] = ()
    n_classes: int | None = None
    widths: tuple[int, ...] = WIDTHS
    n_steps: int = 300_000
    batch_size: int = 6144
    lr: float = 1e-4
    schedule: Schedule = "constant"
    temperature: float = 1.0
    similarity: Similarity = "neg_squared_euclidean"
    negatives: Negatives = "cross"
    clip_norm: float = 2.0
    seed: int = 0
    eval_seed: int | None = None
    n_eval: int = 4096
    precision: str = "fp32"
    device: str = "auto"
    cuda_graph: bool | None = None
    log_every: int = 1000
    checkpoint_every: int = 1000

    def __post_init__(self) -> None:
        for name in ("n_content", "n_steps", "log_every", "checkpoint_every"):
            _check_at_least(name, getattr(self, name), 1)
        for name in ("n_style", "n_modality", "seed"):
            _check_at_least(name, getattr(self, name), 0)
        _check_at_least("batch_size", self.batch_size, 2, "one pair alone has no negatives to be told from")
        _check_at_least("n_eval", self.n_eval, 6)
        if self.encoding_size is not None:
            _check_at_least("encoding_size", self.encoding_size, 1, "an encoding needs a number")
        for name in ("lr", "clip_norm"):
            number = getattr(self, name)
            if not (math.isfinite(number) and number > 0):
                raise UsageError(f"{name} must be positive", where=name, got=number, expected="a number above 0")
        if not 0 <= self.style_change_prob <= 1:
            raise UsageError(
                "a probability lies between 0 and 1",
                where="style_change_prob",
                got=self.style_change_prob,
                expected="0 to 1",
            )
        check_temperature(self.temperature)
        check_similarity(self.similarity)
        check_word(self.negatives, NEGATIVES, what="negatives")
        check_word(self.precision, PRECISIONS, what="precision")
        check_word(self.schedule, SCHEDULES, what="schedule")
        check_word(self.covariances, COVARIANCES, what="covariances")
        self._check_widths()
        check_word(self.device, DEVICES, what="device")
        self._check_discrete()
        self._check_eval_seed()

    def _check_widths(self) -> None:
        if not self.widths:
            raise UsageError("an encoder needs a hidden layer", where="widths", got="none", expected="1 or more")
        for width in self.widths:
            _check_at_least("widths", width, 1, "each is a multiple of the observation's size")

    def _check_discrete(self) -> None:
        for block in self.discrete:
            check_word(block, BLOCKS, what="discrete block")
        if bool(self.discrete) != (self.n_classes is not None):
            raise UsageError(
                "discrete latents and their number of classes come together",
                where="n_classes" if self.discrete else "discrete",
                got="n_classes alone" if not self.discrete else "discrete alone",
                expected="both or neither",
                next_step="such as --discrete content --n-classes 5",
            )
        if self.n_classes is not None:
            _check_at_least("n_classes", self.n_classes, 2, "a latent with one class is a constant")

    def _check_eval_seed(self) -> None:
        if self.eval_seed == self.seed:
            raise UsageError(
                "the encoders would be judged by the samples that they were trained on",
                where="eval_seed",
                got=f"{self.eval_seed}, the training seed",
                expected="another seed",
                next_step="leave it out, and one is derived from the training seed",
            )
        if self.eval_seed is not None:
            _check_at_least("eval_seed", self.eval_seed, 0)

    @property
    def size(self) -> int:
        """Dimensions of an observation, d: content, style and modality-specific ones together."""
        return self.n_content + self.n_style + self.n_modality

    @property
    def n_encoding(self) -> int:
        """Dimensions of an encoding."""
        return self.n_content if self.encoding_size is None else self.encoding_size

    @property
    def evaluation_seed(self) -> int:
        """Seed of the samples for the probes, never that of the training."""
        return self.seed + EVAL_SEED_OFFSET if self.eval_seed is None else self.eval_seed

    def notes(self) -> list[str]:
        """What is allowed, but may surprise."""
        notes = []
        if self.covariances != "independent" and not self.statistical:
            notes.append("without statistical dependence there is no covariance to draw: covariances changes nothing")
        if self.shared_mixing and self.n_modality > 0:
            notes.append(
                "one mixing for both modalities, with modality-specific latents: the paper's setting with f1 = f2 has "
                "none (--n-modality 0)"
            )
        if self.shared_encoder and not self.shared_mixing:
            notes.append("one encoder for two different mixings: neither can be inverted by it alone")
        if self.n_encoding < self.n_content:
            notes.append("encodings smaller than the content: it cannot be recovered wholly")
        return notes


def _check_at_least(name: str, number: int, least: int, why: str | None = None) -> None:
    if number < least:
        what = f"{name} is too small" + (f": {why}" if why else "")
        raise UsageError(what, where=name, got=number, expected=f"{least} or more")
