"""Settings of a simulation: its process, its encoders, their training and evaluation."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field
from pydantic.dataclasses import dataclass

from m3di.errors import UsageError
from m3di.learn.choices import Device, Schedule, Similarity
from m3di.system.settings import STRICT, Count, Finite, Option, Positive, Whole, explained

Block = Literal["content", "style", "modality"]
BLOCKS: tuple[str, ...] = get_args(Block)
Negatives = Literal["cross", "all", "fresh"]
Covariances = Literal["independent", "shared"]
WIDTHS = (10, 50, 50, 50, 50, 10)
EVAL_SEED_OFFSET = 1_000_003
PROBABILITY = Option(what="a probability lies between 0 and 1")


@explained()
@dataclass(frozen=True, kw_only=True, config=STRICT)
class SimulationConfig:
    """One run of the numerical simulation (Daunhawer et al., ICLR 2023, section 5.1); the defaults are the paper's.

    Raises:
        UsageError: A value is out of range, or two do not go together.
    """

    n_content: Annotated[Count, "Dimensions of the content, c."] = 5
    n_style: Annotated[Whole, "Dimensions of the style, s."] = 5
    n_modality: Annotated[Whole, "Dimensions that one modality alone has, of m1 and of m2."] = 5
    encoding_size: Annotated[
        Count | None,
        "Numbers that an observation becomes.",
        Option(default="as the content", why="an encoding needs a number"),
    ] = None
    style_change_prob: Annotated[
        Finite, Field(ge=0, le=1), "pi, the probability that a style dimension changes.", PROBABILITY
    ] = 1.0
    statistical: Annotated[bool, "Correlate latents inside c, s, m1, m2 and the style noise (Wishart covariances)."] = (
        False
    )
    covariances: Annotated[
        Covariances,
        "Of statistical dependence: independent draws a Wishart matrix for each block; shared draws "
        "all from one seed, as the published code does, so that blocks of one size have the same.",
    ] = "independent"
    causal: Annotated[bool, "Let content cause style."] = False
    shared_mixing: Annotated[bool, "One mixing for both modalities, f2 = f1."] = False
    shared_encoder: Annotated[bool, "One encoder for both modalities, g2 = g1."] = False
    discrete: Annotated[
        tuple[Block, ...],
        "A block whose dimensions are classes: content, style or modality.",
        Option(repeated=True, noun="discrete block"),
    ] = ()
    n_classes: Annotated[
        int | None,
        Field(ge=2),
        "Classes of a discrete dimension.",
        Option(why="a latent with one class is a constant", default="none, where nothing is discrete"),
    ] = None
    widths: Annotated[
        tuple[Count, ...],
        "Widths of an encoder's hidden layers, in multiples of the observation's size.",
        Option(metavar="NUMBERS", such_as="10,20,20,10", why="each is a multiple of the observation's size"),
    ] = WIDTHS
    whiten: Annotated[
        bool,
        "Give observations mean 0 and covariance I before the encoders, by a fixed linear map: statistical dependence "
        "makes some directions small, and a short training finds those late.",
    ] = False
    n_steps: Annotated[Count, "Optimiser steps.", Option("--steps")] = 300_000
    batch_size: Annotated[
        int, Field(ge=2), "K, pairs a step.", Option(why="one pair alone has no negatives to be told from")
    ] = 6144
    lr: Annotated[Positive, "Learning rate of Adam, at its highest."] = 1e-4
    schedule: Annotated[Schedule, "Schedule of the learning rate: constant (the paper's), or cosine (down to 0)."] = (
        "constant"
    )
    temperature: Annotated[Positive, "Temperature tau of the loss."] = 1.0
    similarity: Annotated[Similarity, "Similarity of two encodings in the loss."] = "neg_squared_euclidean"
    negatives: Annotated[
        Negatives,
        "cross (equation 4); all, those of the own modality too; or fresh, a second draw of the own "
        "modality instead, as published.",
    ] = "cross"
    clip_norm: Annotated[Positive, "Scale the gradient down to this length if it is longer."] = 2.0
    seed: Annotated[Whole, "Seed of process, mixings, initial weights and samples; that of the first run."] = 0
    eval_seed: Annotated[
        Whole | None, "Seed of the samples for evaluation.", Option(default="derived from the seed")
    ] = None
    n_eval: Annotated[int, Field(ge=6), "Samples that probes are fitted on, and as many that they are scored on."] = (
        4096
    )
    precision: Annotated[
        Literal["fp32", "tf32", "bf16"],
        "Precision of the encoders' products: fp32 is IEEE float32, tf32 rounds their factors to 10 bits (NVIDIA "
        "GPUs from Ampere on), bf16 computes in bfloat16.",
    ] = "fp32"
    device: Annotated[Device, "Where it runs; auto is cuda where there is one."] = "auto"
    cuda_graph: Annotated[
        bool | None,
        "Make each step by a single launch on the GPU; the same kernels on the same numbers.",
        Option(default="where it can: on a GPU, with torch 2.4 or newer"),
    ] = None
    log_every: Annotated[
        Count, "Steps between lines of metrics.csv; that the loss is finite is looked at then, too."
    ] = 1000
    checkpoint_every: Annotated[Count, "Steps between checkpoints."] = 1000

    def __post_init__(self) -> None:
        if not self.widths:
            raise UsageError("an encoder needs a hidden layer", where="widths", got="none", expected="1 or more")
        if self.covariances != "independent" and not self.statistical:
            raise UsageError(
                "without statistical dependence there is no covariance to draw",
                where="covariances",
                got=self.covariances,
                expected="independent, or statistical dependence beside it",
                next_step="add --statistical, or leave it out",
            )
        if bool(self.discrete) != (self.n_classes is not None):
            raise UsageError(
                "discrete latents and their number of classes come together",
                where="n_classes" if self.discrete else "discrete",
                got="n_classes alone" if not self.discrete else "discrete alone",
                expected="both or neither",
                next_step="such as --discrete content --n-classes 5",
            )
        if self.eval_seed == self.seed:
            raise UsageError(
                "the encoders would be judged by the samples that they were trained on",
                where="eval_seed",
                got=f"{self.eval_seed}, the training seed",
                expected="another seed",
                next_step="leave it out, and one is derived from the training seed",
            )

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
        """List settings that are allowed, but may surprise."""
        notes = []
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
