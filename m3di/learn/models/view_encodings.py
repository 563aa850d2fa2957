"""What training does for each modality: what it measures first, what an encoder takes, and which encoder it is."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from m3di.latents import Modality, find_modality
from m3di.learn.models.registry import build_image_encoder, build_text_encoder
from m3di.learn.training.config import TrainConfig
from m3di.learn.training.inputs import ImageStatistics, PairedDataset, ViewInput, measure_image_statistics


class ViewEncoding(Protocol):
    """How views of one modality are trained on.

    Attributes:
        is_augmented: `TrainConfig.augment` is for them.
    """

    is_augmented: bool

    def measure(self, dataset: PairedDataset, view: str) -> ImageStatistics | None:
        """What is measured of the training samples before the first step, if anything."""
        ...

    def prepare(self, batch: Tensor, statistics: ImageStatistics | None) -> Tensor:
        """What the encoder takes of a batch on its device."""
        ...

    def build(self, each: ViewInput, config: TrainConfig) -> nn.Module:
        """A new encoder; its weights come from torch's process-wide random generator."""
        ...


class OfImages:
    """Pixels [B, 3, H, W] uint8, normalised by the statistics of the training images."""

    is_augmented = True

    def measure(self, dataset: PairedDataset, view: str) -> ImageStatistics:
        """Mean and standard deviation of each channel."""
        return measure_image_statistics(dataset, view)

    def prepare(self, batch: Tensor, statistics: ImageStatistics | None) -> Tensor:
        """Normalised, [B, 3, H, W] float32, where there are statistics."""
        if statistics is None:
            return batch
        return statistics.normalise(batch).contiguous(memory_format=torch.channels_last)

    def build(self, each: ViewInput, config: TrainConfig) -> nn.Module:
        """The image encoder that the configuration names."""
        return build_image_encoder(config.image_encoder, config.encoding_size, config.hidden_size)


class OfTexts:
    """Token ids [B, L] int64."""

    is_augmented = False

    def measure(self, dataset: PairedDataset, view: str) -> None:
        """Nothing."""

    def prepare(self, batch: Tensor, statistics: ImageStatistics | None) -> Tensor:
        """As they are."""
        return batch

    def build(self, each: ViewInput, config: TrainConfig) -> nn.Module:
        """The text encoder that the configuration names."""
        size, pad_index = each.vocabulary_size or 0, each.pad_index or 0
        return build_text_encoder(config.text_encoder, size, config.encoding_size, pad_index)


class OfMadeFiles:
    """What a modality of yours says itself.

    Args:
        modality: The modality.
    """

    is_augmented = False

    def __init__(self, modality: Modality) -> None:
        self.modality = modality

    def measure(self, dataset: PairedDataset, view: str) -> None:
        """Nothing: the modality knows the range of its values."""

    def prepare(self, batch: Tensor, statistics: ImageStatistics | None) -> Tensor:
        """As its `prepare` has it."""
        prepared: Tensor = self.modality.prepare(batch)
        return prepared

    def build(self, each: ViewInput, config: TrainConfig) -> nn.Module:
        """Its own encoder."""
        module: nn.Module = self.modality.build_encoder(each.shape, config.encoding_size, config.hidden_size)
        return module


def encoding_of(modality: str) -> ViewEncoding:
    """How views of a modality are trained on.

    Raises:
        UsageError: It is not known here.
    """
    kind = find_modality(modality)
    if kind.source == "rendered":
        return OfImages()
    return OfTexts() if kind.source == "told" else OfMadeFiles(kind)
