"""How far the paper is shrunk: the settings of `smoke`, `cpu` and `full`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from m3di.errors import check_word
from m3di.learn.training.config import find_preset

Judged = Literal["nothing", "patterns", "numbers"]
RECIPES = ("table1", "table4", "figure5", "figure6", "figure7a")  # figure 8 probes the encoders of table 1 once more
NARROW = (10, 20, 20, 20, 10)


@dataclass(frozen=True)
class ImageExperiment:
    """A rendered dataset, and encoders that are trained on it.

    Args:
        spec: A built-in spec.
        n_samples: Of train, val and test.
        encoding_sizes: One training each, and seed.
        settings: Of a `TrainConfig`, size and seed aside.
    """

    spec: str
    n_samples: tuple[int, int, int]
    encoding_sizes: tuple[int, ...]
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class ReproductionScale:
    """How far everything is shrunk.

    Args:
        name: What `--scale` calls it.
        told: What it is, for the report.
        judged: Whether verdicts are about nothing, about the stated patterns, or about patterns and numbers.
        simulations: Scale of the simulations, see `m3di.simulate.recipes`.
        n_seeds: Trainings of each encoding size.
        size_px: Side of the images.
        quality: Of the images.
        probes: Metrics that trained encoders are scored with.
        experiments: By the name of their dataset.
        changes: Settings of a recipe's simulations that are other than its scale has them.
    """

    name: str
    told: str
    judged: Judged
    simulations: str
    n_seeds: int
    size_px: int
    quality: str
    probes: tuple[str, ...]
    experiments: Mapping[str, ImageExperiment]
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def is_measured(self) -> bool:
        """Whether a plan measures how long it will take: not where all of it takes minutes."""
        return self.judged != "nothing"


Part = tuple[tuple[int, int, int], tuple[int, ...], Mapping[str, Any]]  # samples, encoding sizes, settings


def _experiments(m3di: Part, independent: Part, pairs: Part) -> dict[str, ImageExperiment]:
    """The four datasets: image and text, with hue caused by position and without; pairs of images, likewise."""
    parts = {"m3di": m3di, "m3di-independent": independent, "image-pairs": pairs, "image-pairs-causal": pairs}
    return {name: ImageExperiment(name, *part) for name, part in parts.items()}


_SMOKE = {"n_steps": 6, "batch_size": 8, "image_encoder": "resnet18-small", "device": "auto", "n_threads": 1}
_CPU = {
    **find_preset("cpu-demo").values,
    "device": "auto",
    "n_threads": 1,  # so that a report does not depend on how many members run side by side
    "val_every": 200,
}
_PAPER_SIZES = tuple(range(1, 11))
_ABLATION = {"widths": NARROW, "n_eval": 1000}
# With 6,000 steps and wide encoders 6 dimensions of content are half learned: benchmarks/RESULTS.md.
_SIZES = {**_ABLATION, "n_steps": 12_000, "schedule": "cosine"}

SCALES: dict[str, ReproductionScale] = {
    "smoke": ReproductionScale(
        name="smoke",
        told="a few steps of everything, to see that all roads run to their end; its numbers mean nothing",
        judged="nothing",
        simulations="smoke",
        n_seeds=1,
        size_px=32,
        quality="draft",
        probes=("kernel_ridge", "logistic", "mlp"),
        experiments=_experiments(
            m3di=((24, 16, 16), (1, 2, 3), _SMOKE),
            independent=((16, 12, 12), (3,), _SMOKE),
            pairs=((16, 12, 12), (3,), _SMOKE),
        ),
    ),
    "cpu": ReproductionScale(
        name="cpu",
        told="shrunk to two CPU cores: fewer dimensions, steps and pairs, smaller images, one seed",
        judged="patterns",
        simulations="cpu",
        n_seeds=1,
        size_px=64,
        quality="draft",
        probes=("kernel_ridge", "logistic", "mlp"),
        experiments=_experiments(
            m3di=((8000, 600, 1000), (2, 4, 6, 8), {**_CPU, "n_steps": 2400}),  # with 1 no direction can be learned
            independent=((4000, 400, 800), (8,), {**_CPU, "n_steps": 2000}),
            pairs=((1500, 400, 500), (3,), {**_CPU, "augment": (), "n_steps": 800}),
        ),
        changes={"figure5": _ABLATION, "figure6": _SIZES, "figure7a": _ABLATION},
    ),
    "full": ReproductionScale(
        name="full",
        told="the paper's own settings, for a GPU",
        judged="numbers",
        simulations="paper",
        n_seeds=find_preset("m3di-paper").n_seeds,
        size_px=224,
        quality="standard",
        probes=("linear", "kernel_ridge", "logistic", "mlp"),
        experiments=_experiments(
            m3di=((125_000, 10_000, 10_000), _PAPER_SIZES, find_preset("m3di-paper").values),
            independent=((125_000, 10_000, 10_000), _PAPER_SIZES, find_preset("m3di-paper").values),
            pairs=((250_000, 10_000, 10_000), _PAPER_SIZES, find_preset("image-pairs-paper").values),
        ),
    ),
}


def find_scale(name: str) -> ReproductionScale:
    """Return a scale by its name.

    Raises:
        UsageError: There is none of that name.
    """
    check_word(name, tuple(SCALES), what="scale")
    return SCALES[name]
