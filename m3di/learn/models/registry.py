"""Encoders by name: m3di's own, your own, and those of timm.

An encoder of m3di's own is one file of this folder that calls `register_image_encoder` or `register_text_encoder`.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from m3di.errors import UsageError, near_match
from m3di.system.registry import Registry

ImageEncoderBuilder = Callable[[int, int], nn.Module]  # (encoding_size, hidden_size)
TextEncoderBuilder = Callable[[int, int, int], nn.Module]  # (vocabulary_size, encoding_size, pad_index)

_TIMM = "timm:"
_NEXT = "register your own with m3di.learn.{}; on the command line --import its module"
IMAGE_ENCODERS = Registry[ImageEncoderBuilder](
    "image encoder",
    object,
    group="m3di.image_encoders",
    package="m3di.learn.models",
    besides=f"{_TIMM}NAME",
    otherwise=_NEXT.format("register_image_encoder"),
)
TEXT_ENCODERS = Registry[TextEncoderBuilder](
    "text encoder",
    object,
    group="m3di.text_encoders",
    package="m3di.learn.models",
    otherwise=_NEXT.format("register_text_encoder"),
)


def register_image_encoder(name: str, build: ImageEncoderBuilder) -> None:
    """Make an image encoder known by a name, for `TrainConfig.image_encoder`.

    A package can do the same without a call, so that the command line knows it too: by an entry point of the group
    `m3di.image_encoders`.

    Args:
        name: Its name.
        build: Makes a module [B, 3, H, W] float -> [B, D] from encoding size D and hidden size. Draw its weights from
            torch's generator.

    Raises:
        UsageError: The name is taken.
    """
    IMAGE_ENCODERS.add(name, build)


def register_text_encoder(name: str, build: TextEncoderBuilder) -> None:
    """Make a text encoder known by a name, for `TrainConfig.text_encoder`; see `register_image_encoder`.

    Args:
        name: Its name.
        build: Makes a module [B, L] int64 -> [B, D] from vocabulary size, encoding size D and padding index.

    Raises:
        UsageError: The name is taken.
    """
    TEXT_ENCODERS.add(name, build)


def build_image_encoder(name: str, encoding_size: int, hidden_size: int) -> nn.Module:
    """Build an image encoder; its weights come from torch's process-wide random generator.

    Raises:
        UsageError: No encoder has that name, or it is one of timm's and timm is not installed.
    """
    if name.startswith(_TIMM):
        return TimmEncoder(name.removeprefix(_TIMM), encoding_size, hidden_size)
    return IMAGE_ENCODERS.find(name)(encoding_size, hidden_size)


def build_text_encoder(name: str, vocabulary_size: int, encoding_size: int, pad_index: int) -> nn.Module:
    """Build a text encoder; its weights come from torch's process-wide random generator.

    Raises:
        UsageError: No encoder has that name.
    """
    return TEXT_ENCODERS.find(name)(vocabulary_size, encoding_size, pad_index)


class TimmEncoder(nn.Module):
    """A model of timm in place of ResNet-18, with the same head.

    Args:
        name: Name of the model in timm.
        encoding_size: D, how many numbers an image becomes.
        hidden_size: Width of the layer between the model and the encoding.

    Raises:
        UsageError: timm is not installed, or knows no such model.
    """

    def __init__(self, name: str, encoding_size: int, hidden_size: int) -> None:
        super().__init__()
        try:
            import timm
        except ModuleNotFoundError as error:
            raise UsageError(
                "this image encoder is one of timm's, which is not installed",
                where="image_encoder",
                got=f"{_TIMM}{name}",
                next_step="pip install timm, or use resnet18",
            ) from error
        try:
            self.trunk: nn.Module = timm.create_model(name, num_classes=hidden_size)
        except RuntimeError as error:
            near = near_match(name, timm.list_models())
            raise UsageError(
                f"timm has no model {name!r}",
                where="image_encoder",
                got=error,
                next_step=f"did you mean {_TIMM}{near}?" if near else "timm.list_models() names all",
            ) from error
        self.head = nn.Linear(hidden_size, encoding_size)

    def forward(self, image: Tensor) -> Tensor:
        """[B, 3, H, W] normalised -> [B, D]."""
        encoding: Tensor = self.head(nn.functional.leaky_relu(self.trunk(image)))
        return encoding
