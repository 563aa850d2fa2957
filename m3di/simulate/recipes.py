"""The paper's controlled experiments, as lists of simulations."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from m3di.errors import UsageError, check_word
from m3di.learn.choices import Schedule
from m3di.simulate.config import BLOCKS, WIDTHS, SimulationConfig

PAPER_SEEDS = 3
SIZES = ("n_content", "n_style", "n_modality")  # what `Scale.n_latents` sets
SHRUNK = ("n_steps", "batch_size", "lr", "n_eval", "widths", "schedule")
LEAST_BATCH = 256


@dataclass(frozen=True)
class Scale:
    """How far an experiment is shrunk.

    Args:
        n_steps: Optimiser steps.
        batch_size: Pairs a step.
        n_seeds: Runs of each setting.
        lr: Learning rate; fewer steps need larger ones.
        n_eval: Samples that probes are fitted on, and as many that they are scored on.
        n_latents: Dimensions of content, of style and of each modality's own latents, where a recipe does not say.
        widths: Of an encoder's hidden layers, in multiples of what it sees.
        schedule: Of the learning rate.
        if_statistical: What rows with statistical dependence have instead, the number of seeds aside.
    """

    n_steps: int
    batch_size: int
    n_seeds: int
    lr: float
    n_eval: int
    n_latents: int = 5
    widths: tuple[int, ...] = WIDTHS
    schedule: Schedule = "constant"
    if_statistical: Scale | None = None

    def of(self, settings: Mapping[str, Any]) -> Scale:
        """The scale of a row with these settings."""
        return self.if_statistical if self.if_statistical and settings.get("statistical") else self

    @property
    def settings(self) -> dict[str, Any]:
        """What it sets of a `SimulationConfig`."""
        return {name: getattr(self, name) for name in SHRUNK} | dict.fromkeys(SIZES, self.n_latents)


SCALES = {
    "paper": Scale(n_steps=300_000, batch_size=6144, n_seeds=PAPER_SEEDS, lr=1e-4, n_eval=4096),
    "cpu": Scale(
        n_steps=6000,
        batch_size=512,
        n_seeds=1,
        lr=1e-3,
        n_eval=2000,
        n_latents=2,
        # With two dimensions, statistical dependence lets no style through: benchmarks/RESULTS.md.
        if_statistical=Scale(
            n_steps=12_000,
            batch_size=512,
            n_seeds=1,
            lr=1e-3,
            n_eval=2000,
            widths=(10, 20, 20, 20, 10),
            schedule="cosine",
        ),
    ),
    "smoke": Scale(n_steps=20, batch_size=64, n_seeds=1, lr=1e-3, n_eval=60, n_latents=1),
}


@dataclass(frozen=True)
class RecipeRun:
    """One simulation of a recipe.

    Args:
        label: What distinguishes its row in the table, the same for all seeds of it.
        config: What to simulate.
    """

    label: dict[str, Any]
    config: SimulationConfig


# pi, statistical, causal: the rows of tables 1 and 4 and of figure 8
DEPENDENCES = ((1.0, False, False), (0.75, False, False), (0.75, True, False), (0.75, False, True), (0.75, True, True))
MULTIVIEW = {"n_modality": 0, "shared_mixing": True, "shared_encoder": True}  # f1 = f2, g1 = g2
# The paper varies these too; what values it takes was not to be had, so these are ours.
CLASS_COUNTS = (2, 3, 5, 10)
SIZE_FACTORS = (1, 2, 3)  # of the scale's dimensions
ENCODING_FACTOR = 2  # encodings of 1 number to twice the content's

Variants = list[tuple[dict[str, Any], dict[str, Any]]]  # the label of a row, and the settings that make it


def _dependences(setting: str, **changes: Any) -> Variants:
    rows = []
    for probability, statistical, causal in DEPENDENCES:
        varied = {"style_change_prob": probability, "statistical": statistical, "causal": causal}
        rows.append(({"setting": setting, **varied}, {**varied, **changes}))
    return rows


def _discrete() -> Variants:
    return [
        ({"discrete": block, "n_classes": k}, {"style_change_prob": 0.75, "discrete": (block,), "n_classes": k})
        for block in BLOCKS
        for k in CLASS_COUNTS
    ]


def _sizes(n_latents: int) -> Variants:
    return [
        ({"varied": block, "size": n}, {"style_change_prob": 0.75, f"n_{block}": n})
        for block in BLOCKS
        for n in (factor * n_latents for factor in SIZE_FACTORS)
    ]


def _encoding_sizes(n_content: int) -> Variants:
    sizes = range(1, ENCODING_FACTOR * n_content + 1)
    return [({"encoding_size": n}, {"style_change_prob": 0.75, "encoding_size": n}) for n in sizes]


DISTINCT = {"n_modality": 0, "shared_mixing": False}
RECIPES: dict[str, Callable[[int, int], Variants]] = {  # by the scale's number of latents, and that of the content
    "table1": lambda n, n_content: _dependences("multimodal") + _dependences("multiview", **MULTIVIEW),
    "table4": lambda n, n_content: (
        _dependences("multiview", **MULTIVIEW) + _dependences("distinct mixings", **DISTINCT)
    ),
    "figure5": lambda n, n_content: _discrete(),
    "figure6": lambda n, n_content: _sizes(n),
    "figure7a": lambda n, n_content: _encoding_sizes(n_content),
    "figure8": lambda n, n_content: _dependences("multimodal"),
}


def parse_scale(text: str) -> Scale:
    """A named scale, or the paper's times a fraction in (0, 1].

    A fraction f multiplies the steps and the batch (which stays at 256 or more, the steps at 1 or more) and the 3
    seeds (1 or more); the learning rate stays.

    Raises:
        UsageError: It is neither.
    """
    if text in SCALES:
        return SCALES[text]
    try:
        fraction = float(text)
    except ValueError:
        check_word(text, tuple(SCALES), what="scale")
        raise  # not reached: the word is none of them
    if not (math.isfinite(fraction) and 0 < fraction <= 1):
        raise UsageError(
            "a scale is a fraction of the paper's steps, batch and seeds",
            where="scale",
            got=text,
            expected=f"a number above 0 and up to 1, or {', '.join(SCALES)}",
        )
    whole = SCALES["paper"]
    return replace(
        whole,
        n_steps=max(1, round(whole.n_steps * fraction)),
        batch_size=max(LEAST_BATCH, round(whole.batch_size * fraction)),
        n_seeds=max(1, round(whole.n_seeds * fraction)),
    )


def members(recipe: str, scale: Scale, *, first_seed: int = 0, **changes: Any) -> list[RecipeRun]:
    """The simulations of a recipe.

    Args:
        recipe: One of `RECIPES`.
        scale: How far it is shrunk.
        first_seed: Of the first run of each setting; the others follow.
        **changes: Settings of `SimulationConfig` that are other than the recipe and the scale have them.

    Raises:
        UsageError: The recipe is unknown, or sets that itself, or a setting is out of range.
    """
    check_word(recipe, tuple(RECIPES), what="recipe")
    content = SimulationConfig(n_content=changes.get("n_content", scale.n_latents))  # raises where it is out of range
    variants = RECIPES[recipe](scale.n_latents, content.n_content)
    for name in set.intersection(*(set(varied) for _, varied in variants)) & set(changes):
        raise UsageError(
            f"the recipe {recipe} says itself what {name} is",
            where=name,
            got=changes[name],
            expected="a setting that the rows of its table are not about",
            next_step="leave it out, or leave the recipe out and simulate that setting by itself",
        )
    return [
        RecipeRun(  # what makes a row goes before a change: its label tells it
            label, SimulationConfig(**{**scale.of(varied).settings, **changes, **varied, "seed": first_seed + number})
        )
        for label, varied in variants
        for number in range(scale.n_seeds)
    ]
