"""The encoders of a run, one a view, with the normalisation of images from their training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from m3di.errors import UsageError, did_you_mean
from m3di.latents import find_modality, modalities
from m3di.learn.models.view_encodings import encoding_of
from m3di.learn.training.config import TrainConfig
from m3di.learn.training.inputs import ImageStatistics, ViewInput


class Encoders:
    """An encoder for each view.

    Args:
        modules: Encoders by view; views may share one.
        inputs: Description of each view, in the same order.
        statistics: Statistics of each image view.
    """

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        inputs: Mapping[str, ViewInput],
        statistics: Mapping[str, ImageStatistics],
    ) -> None:
        self.modules, self.inputs, self.statistics = dict(modules), dict(inputs), dict(statistics)
        self._encodings = {view: encoding_of(each.modality) for view, each in inputs.items()}

    @property
    def views(self) -> tuple[str, ...]:
        """Names of the views, in their order."""
        return tuple(self.modules)

    @property
    def image(self) -> Any:
        """The encoder of the (first) image view."""
        return self.modules[self._first("rendered")]

    @property
    def text(self) -> Any:
        """The encoder of the (first) text view."""
        return self.modules[self._first("told")]

    @property
    def image_statistics(self) -> ImageStatistics:
        """The normalisation of the (first) image view."""
        return self.statistics[self._first("rendered")]

    def encode(self, view: str, batch: Tensor) -> Tensor:
        """Encode a batch of a view.

        Args:
            view: Name of the view.
            batch: Images [B, 3, H, W] uint8, token ids [B, L] int64, or what the files of another modality hold; on the
                device of the encoder.

        Returns:
            [B, D] float, on that device.

        Raises:
            UsageError: There is no encoder for that view.
        """
        if view not in self.modules:
            raise UsageError(
                f"the run has no encoder for a view {view!r}",
                expected=", ".join(self.views),
                next_step=did_you_mean(view, self.views, otherwise="use a view that it was trained on"),
            )
        encoding: Tensor = self.modules[view](self.prepare(view, batch))
        return encoding

    def prepare(self, view: str, batch: Tensor) -> Tensor:
        """Prepare a batch for the encoder of a view: normalise images [B, 3, H, W] to float32, keep token ids, ..."""
        return self._encodings[view].prepare(batch, self.statistics.get(view))

    @property
    def augmented(self) -> list[str]:
        """The views that `TrainConfig.augment` is for."""
        return [view for view, each in self._encodings.items() if each.is_augmented]

    def encode_images(self, image: Tensor) -> Tensor:
        """[B, 3, H, W] uint8 of the (first) image view -> [B, D] float, on the device of `image`."""
        return self.encode(self._first("rendered"), image)

    def encode_texts(self, tokens: Tensor) -> Tensor:
        """[B, L] int64 token ids of the (first) text view -> [B, D] float, on the device of `tokens`."""
        return self.encode(self._first("told"), tokens)

    def parameters(self) -> Iterator[nn.Parameter]:
        """All weights, each once."""
        return nn.ModuleList(self._distinct()).parameters()

    def eval(self) -> Encoders:
        """Put the encoders in evaluation mode (batch norm uses its running statistics)."""
        return self.train(False)

    def train(self, mode: bool = True) -> Encoders:
        """Put the encoders in training mode."""
        for module in self._distinct():
            module.train(mode)
        return self

    def to(self, device: str) -> Encoders:
        """Move the encoders to a device."""
        for module in self._distinct():
            module.to(device)
        return self

    def _distinct(self) -> Iterable[nn.Module]:
        return {id(module): module for module in self.modules.values()}.values()

    def _first(self, source: str) -> str:
        for view, each in self.inputs.items():
            if find_modality(each.modality).source == source:
                return view
        name = next(each.name for each in modalities() if each.source == source)
        raise UsageError(f"the run has no {name} view", got=", ".join(self.views))


def check_shared(inputs: Mapping[str, ViewInput]) -> None:
    """Check that there are views of one modality, and that they can share an encoder.

    Raises:
        UsageError: What two of them give to it differs, or each has a modality of its own.
    """
    kinds = [each.modality for each in inputs.values()]
    if len(set(kinds)) == len(kinds):
        raise UsageError(
            "no two views can share an encoder",
            where="--share-encoders",
            got=", ".join(f"{view} ({each.modality})" for view, each in inputs.items()),
            expected="two views of one modality",
            next_step="leave it out, or name two such views with --views",
        )
    first: dict[str, str] = {}
    for view, each in inputs.items():
        other = first.setdefault(each.modality, view)
        if inputs[other] != each:
            raise UsageError(
                f"the views {other!r} and {view!r} cannot share an encoder: what they give to it differs",
                where="--share-encoders",
                expected=f"views of modality {each.modality} with one vocabulary and one shape",
                next_step="leave it out, or name views that are alike with --views",
            )


def build_encoders(
    inputs: Mapping[str, ViewInput], config: TrainConfig, statistics: Mapping[str, ImageStatistics]
) -> Encoders:
    """New encoders on the CPU; their weights come from torch's process-wide random generator.

    Weights and images lie channels-last: convolutions read all channels of a pixel together, and images are stored so.
    """
    modules: dict[str, nn.Module] = {}
    for view, each in inputs.items():
        shared = next((modules[other] for other in modules if inputs[other] == each), None)
        if config.share_encoders and shared is not None:
            modules[view] = shared
        else:
            modules[view] = encoding_of(each.modality).build(each, config)
    for module in modules.values():
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Encoders(modules, inputs, statistics)
