"""From a dataset to the batches that the trainer sees: pairs, their order, and image normalisation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from m3di.errors import M3diError

Pair = tuple[Tensor, Tensor]  # image [3, H, W] uint8, tokens [L] int64; or a batch: [B, 3, H, W], [B, L]


class PairedDataset(Protocol):
    """What the trainer needs of a dataset; `m3di.data.Multimodal3DIdent` is one.

    An item has at least `image` (uint8 [3, H, W]) and `text` (int64 [L], filled up to the same L).
    """

    @property
    def root(self) -> object: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def vocabulary_size(self) -> int: ...

    @property
    def pad_index(self) -> int: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Mapping[str, Any]: ...


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
        mean = torch.tensor(self.mean, device=image.device).view(3, 1, 1)
        std = torch.tensor(self.std, device=image.device).view(3, 1, 1)
        return (image.float() / 255 - mean) / std


def check_is_paired(dataset: PairedDataset) -> None:
    """Raise M3diError unless samples have an `image` and a `text`."""
    sample = dataset[0]
    if not {"image", "text"} <= sample.keys():
        raise M3diError(
            "the dataset holds no image/text pairs",
            where=str(dataset.root),
            got=", ".join(sample),
            expected="samples with image, text",
            next_step="train on a dataset whose spec names its views image and text",
        )


def measure_image_statistics(dataset: PairedDataset, n_samples: int = 512) -> ImageStatistics:
    """Channel statistics of up to `n_samples` images, evenly spaced over the dataset.

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
        image = dataset[index]["image"]
        if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] != 3:
            raise M3diError(
                "the dataset's images are not 8-bit RGB",
                where=f"sample {index} of {dataset.root}",
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


class ShuffledBatches(Sampler[list[int]]):
    """Batches of sample indices: a new shuffle each epoch, incomplete batches dropped, `n_steps` in all.

    The order is a function of the arguments only. It is drawn as it is read, so a long run costs no memory.
    """

    def __init__(self, n_samples: int, batch_size: int, n_steps: int, seed: int) -> None:
        self.n_samples = n_samples
        self.batch_size = batch_size
        self.n_steps = n_steps
        self.seed = seed

    def __len__(self) -> int:
        return self.n_steps

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed(self.seed)
        n_batches = self.n_samples // self.batch_size
        for step in range(self.n_steps):
            if step % n_batches == 0:
                order = torch.randperm(self.n_samples, generator=generator)
            first = step % n_batches * self.batch_size
            yield order[first : first + self.batch_size].tolist()


class _Pairs(Dataset[Pair]):
    """Image and tokens of each sample; captions and latents need not cross from loader to trainer."""

    def __init__(self, dataset: PairedDataset) -> None:
        self.dataset = dataset

    def __getitem__(self, index: int) -> Pair:
        sample = self.dataset[index]
        return sample["image"], sample["text"]


def pair_loader(dataset: PairedDataset, batches: ShuffledBatches, *, n_workers: int, pin: bool) -> DataLoader[Pair]:
    """A loader of (image [B, 3, H, W] uint8, tokens [B, L] int64), one batch a step, in the order of `batches`."""
    return DataLoader(
        _Pairs(dataset),
        batch_sampler=batches,
        num_workers=n_workers,
        pin_memory=pin,
        # Worker seeds come from here rather than from the process-wide generator.
        generator=torch.Generator().manual_seed(batches.seed),
    )
