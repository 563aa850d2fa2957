"""Training by modality: what to measure first, how to prepare a batch, and which encoder to build."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from m3di.latents import Modality, find_modality
from m3di.learn.models.registry import build_image_encoder, build_text_encoder
from m3di.learn.training.config import TrainConfig
from m3di.learn.training.inputs import ImageStatistics, PairedDataset, ViewInput, measure_image_statistics


class ViewEncoding:
    """Training on views of one modality, by its own methods.

    Attributes:
        is_augmented: `TrainConfig.augment` is for them.
    """

    is_augmented = False

    def __init__(self, modality: Modality) -> None:
        self.modality = modality

    def measure(self, dataset: PairedDataset, view: str) -> ImageStatistics | None:
        """Measure the training samples before the first step, if needed."""
        return None

    def prepare(self, batch: Tensor, statistics: ImageStatistics | None) -> Tensor:
        """Prepare a batch for the encoder, on its device."""
        prepared: Tensor = self.modality.prepare(batch)
        return prepared

    def build(self, each: ViewInput, config: TrainConfig) -> nn.Module:
        """Build an encoder; its weights come from torch's process-wide random generator."""
        module: nn.Module = self.modality.build_encoder(each.shape, config.encoding_size, config.hidden_size)
        return module


class ImageEncoding(ViewEncoding):
    """Pixels [B, 3, H, W] uint8, normalised by the statistics of the training images."""

    is_augmented = True

    def measure(self, dataset: PairedDataset, view: str) -> ImageStatistics:
        """Measure mean and standard deviation of each channel."""
        return measure_image_statistics(dataset, view)

    def prepare(self, batch: Tensor, statistics: ImageStatistics | None) -> Tensor:
        """Normalise to [B, 3, H, W] float32, if there are statistics."""
        if statistics is None:
            return batch
        return statistics.normalise(batch).contiguous(memory_format=torch.channels_last)

    def build(self, each: ViewInput, config: TrainConfig) -> nn.Module:
        """Build the image encoder of the configuration."""
        return build_image_encoder(config.image_encoder, config.encoding_size, config.hidden_size)


class TextEncoding(ViewEncoding):
    """Token ids [B, L] int64, as they are."""

    def prepare(self, batch: Tensor, statistics: ImageStatistics | None) -> Tensor:
        """Return the batch as it is."""
        return batch

    def build(self, each: ViewInput, config: TrainConfig) -> nn.Module:
        """Build the text encoder of the configuration."""
        size, pad_index = each.vocabulary_size or 0, each.pad_index or 0
        return build_text_encoder(config.text_encoder, size, config.encoding_size, pad_index)


def encoding_of(modality: str) -> ViewEncoding:
    """Return how to train on views of a modality.

    Raises:
        UsageError: It is not known here.
    """
    kind = find_modality(modality)
    return {"rendered": ImageEncoding, "told": TextEncoding}.get(kind.source, ViewEncoding)(kind)
