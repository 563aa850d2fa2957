"""Inputs of the trainer: views of a dataset, the order of batches, and the normalisation of images."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

from m3di.data import Batches, Normaliser
from m3di.errors import M3diError, UsageError, did_you_mean
from m3di.latents import find_modality

Batch = dict[str, Tensor]  # of each view, images [B, 3, H, W] uint8, tokens [B, L] int64, or what else its files hold


class PairedDataset(Protocol):
    """The dataset of a trainer, such as `m3di.data.Multimodal3DIdent`.

    `dataset[index]` is a sample: of each image view, uint8 [3, H, W]; of each text view, int64 [L], filled up to the
    same L. `dataset[[3, 1, 2]]` is those samples as a batch, uint8 [B, 3, H, W] and int64 [B, L].

    Where several threads may take batches at once, it may say so by an attribute `thread_safe = True`; else it is read
    by one thread at a time, unless a number of workers is asked for. Where `fingerprint` is that of more samples, it
    may say which ones these are by an attribute `selection`, a text: a run does not go on with others.
    """

    @property
    def root(self) -> object: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def modalities(self) -> Mapping[str, str]: ...

    @property
    def vocabularies(self) -> Mapping[str, Sequence[str]]: ...

    @property
    def pad_index(self) -> int: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class ViewInput:
    """The view that an encoder reads.

    Args:
        modality: What kind of view.
        vocabulary_size: Of a text, how many token ids there are; else None.
        pad_index: Of a text, the id that fills up a short caption; else None.
        vocabulary_sha256: Of a text, a hash of all tokens in their order; else None.
        shape: For your own modality, the shape of a decoded file; else empty.
    """

    modality: str
    vocabulary_size: int | None = None
    pad_index: int | None = None
    vocabulary_sha256: str | None = None
    shape: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """What config.json says of it; views that had no shape before have none there."""
        return {name: each for name, each in asdict(self).items() if name != "shape" or each}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> ViewInput:
        """The same from config.json."""
        return cls(**{**stored, "shape": tuple(stored.get("shape", ()))})


def view_inputs(dataset: PairedDataset, views: Sequence[str] | None = None) -> dict[str, ViewInput]:
    """The views to train on, in their order.

    Args:
        dataset: The dataset.
        views: Names of two or more of its views; all of them if None.

    Raises:
        UsageError: A view does not exist or is named twice, or there are fewer than two.
    """
    known = dataset.modalities
    names = tuple(known) if views is None else tuple(views)
    for name in names:
        if name not in known:
            raise UsageError(
                f"the dataset has no view {name!r}",
                where=str(dataset.root),
                expected=", ".join(known),
                next_step=did_you_mean(name, known, otherwise="name views of the dataset's spec"),
            )
    if len(set(names)) < 2 or len(set(names)) < len(names):
        raise UsageError(
            "contrastive training needs two or more different views",
            where=str(dataset.root),
            got=", ".join(names) or "none",
            expected=f"some of {', '.join(known)}",
            next_step="name two views, or render a spec with two (`m3di specs list`)",
        )
    return {name: _view_input(dataset, name) for name in names}


def _view_input(dataset: PairedDataset, name: str) -> ViewInput:
    kind = find_modality(dataset.modalities[name])
    if kind.source == "told":
        vocabulary = dataset.vocabularies[name]
        return ViewInput(kind.name, len(vocabulary), dataset.pad_index, vocabulary_sha256(vocabulary))
    return ViewInput(kind.name, shape=tuple(dataset[0][name].shape) if kind.source == "made" else ())


def vocabulary_sha256(vocabulary: Sequence[str]) -> str:
    """Hash all tokens in their order."""
    return hashlib.sha256("\0".join(vocabulary).encode()).hexdigest()


@dataclass(frozen=True)
class ImageStatistics:
    """Mean and standard deviation of each colour channel, of pixel values in [0, 1].

    Args:
        mean: Of red, green, blue.
        std: Of red, green, blue; at least 1/255, so that a constant channel divides by something.
        n_samples: How many images were measured.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    n_samples: int

    def normalise(self, image: Tensor) -> Tensor:
        """Pixels to zero mean and unit variance, on the device they are on: [B, 3, H, W] uint8 -> float32."""
        return Normaliser(self.mean, self.std).fresh(image)


def measure_image_statistics(dataset: PairedDataset, view: str = "image", n_samples: int = 512) -> ImageStatistics:
    """Channel statistics of up to `n_samples` images of a view, evenly spaced over the dataset.

    Raises:
        M3diError: An image is not uint8 [3, H, W].
    """
    n_samples = min(n_samples, len(dataset))
    indices = np.linspace(0, len(dataset) - 1, n_samples).round().astype(int)
    # Sums of integers are exact, so the result depends on neither order nor machine.
    n_pixels = 0
    total = torch.zeros(3, dtype=torch.int64)
    total_squares = torch.zeros(3, dtype=torch.int64)
    for index in indices.tolist():
        image = dataset[index][view]
        if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] != 3:
            raise M3diError(
                "the dataset's images are not 8-bit RGB",
                where=f"view {view!r} of sample {index} of {dataset.root}",
                got=f"{image.dtype}, shape {list(image.shape)}",
                expected="torch.uint8, shape [3, H, W]",
                next_step="leave `transform` out, or return uint8: the trainer normalises",
            )
        pixels = image.reshape(3, -1).long()
        n_pixels += pixels.shape[1]
        total += pixels.sum(dim=1)
        total_squares += pixels.square().sum(dim=1)
    mean = total.double() / n_pixels
    variance = (total_squares.double() / n_pixels - mean.square()).clamp_min(0)
    std = variance.sqrt().clamp_min(1)
    red, green, blue = (mean / 255).tolist()
    std_red, std_green, std_blue = (std / 255).tolist()
    return ImageStatistics((red, green, blue), (std_red, std_green, std_blue), n_samples)


class TrainingOrder(Sampler[list[int]]):
    """Batches of sample indices from step to step: a new shuffle each epoch, incomplete batches dropped.

    The order is a function of the arguments only, so a run that goes on from step s needs to know s and nothing else.

    Args:
        n_samples: Of the dataset.
        batch_size: Samples a step, of all processes together.
        n_steps: The last step.
        seed: Of the order.
        first_step: Steps that were made already.
        rank: Number of this process, which gets every `world_size`-th sample of a batch.
        world_size: Number of processes; it divides `batch_size`.
    """

    def __init__(
        self,
        n_samples: int,
        batch_size: int,
        n_steps: int,
        seed: int,
        *,
        first_step: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.first_step, self.n_steps, self.seed = first_step, n_steps, seed
        options = {"shuffle": True, "drop_last": True, "rank": rank, "world_size": world_size}
        self._batches = Batches(range(n_samples), batch_size // world_size, seed=seed, **options)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return self.n_steps - self.first_step

    def __iter__(self) -> Iterator[list[int]]:
        batches = self._batches
        batches.epoch, batches.position = divmod(self.first_step, len(batches))
        step = self.first_step
        while step < self.n_steps:
            for indices in batches:
                yield indices
                step += 1
                if step == self.n_steps:
                    return
