"""Encoders by name: ours, your own, and those of timm.

An encoder of m3di's own is one file of this folder that calls `register_image_encoder` or `register_text_encoder`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from torch import Tensor, nn

from m3di.errors import UsageError, did_you_mean, near_match

ImageEncoderBuilder = Callable[[int, int], nn.Module]  # (encoding_size, hidden_size)
TextEncoderBuilder = Callable[[int, int, int], nn.Module]  # (vocabulary_size, encoding_size, pad_index)

IMAGE_ENTRY_POINTS = "m3di.image_encoders"
TEXT_ENTRY_POINTS = "m3di.text_encoders"
_TIMM = "timm:"


_image_encoders: dict[str, ImageEncoderBuilder] = {}
_text_encoders: dict[str, TextEncoderBuilder] = {}


def register_image_encoder(name: str, build: ImageEncoderBuilder) -> None:
    """Make an image encoder known by a name, for `TrainConfig.image_encoder`.

    A package can do the same without a call, so that the command line knows it too: by an entry point of the group
    `m3di.image_encoders`.

    Args:
        name: Its name.
        build: From encoding size D and hidden size to a module, [B, 3, H, W] float -> [B, D]. Whatever is drawn for
            its weights must come from torch's generator.

    Raises:
        UsageError: The name is taken.
    """
    _add(_image_encoders, name, build)


def register_text_encoder(name: str, build: TextEncoderBuilder) -> None:
    """Make a text encoder known by a name, for `TrainConfig.text_encoder`; see `register_image_encoder`.

    Args:
        name: Its name.
        build: From vocabulary size, encoding size D and padding index to a module, [B, L] int64 -> [B, D].

    Raises:
        UsageError: The name is taken.
    """
    _add(_text_encoders, name, build)


def build_image_encoder(name: str, encoding_size: int, hidden_size: int) -> nn.Module:
    """A new image encoder; its weights come from torch's process-wide random generator.

    Raises:
        UsageError: No encoder has that name, or it is one of timm's and timm is not installed.
    """
    if name.startswith(_TIMM):
        return TimmEncoder(name.removeprefix(_TIMM), encoding_size, hidden_size)
    builder = _find(name, _image_encoders, IMAGE_ENTRY_POINTS, "image encoder")
    module: nn.Module = builder(encoding_size, hidden_size)
    return module


def build_text_encoder(name: str, vocabulary_size: int, encoding_size: int, pad_index: int) -> nn.Module:
    """A new text encoder; its weights come from torch's process-wide random generator.

    Raises:
        UsageError: No encoder has that name.
    """
    builder = _find(name, _text_encoders, TEXT_ENTRY_POINTS, "text encoder")
    module: nn.Module = builder(vocabulary_size, encoding_size, pad_index)
    return module


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


@cache
def _import_own() -> None:
    """Import each file of this folder, so that the encoders in it are registered."""
    package = importlib.import_module("m3di.learn.models")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"m3di.learn.models.{module.name}")


def _add(known: dict[str, Any], name: str, build: Callable[..., nn.Module]) -> None:
    if name in known or name.startswith(_TIMM):
        raise UsageError("there is an encoder of that name already", where="register", got=repr(name))
    known[name] = build


def _find(name: str, known: dict[str, Any], group: str, what: str) -> Any:
    _import_own()
    if name in known:
        return known[name]
    installed = {point.name: point for point in entry_points(group=group)}
    if name in installed:
        return installed[name].load()
    names = sorted({*known, *installed})
    register = f"m3di.learn.register_{what.replace(' ', '_')}"
    raise UsageError(
        f"no {what} is called {name!r}",
        where=what.replace(" ", "_"),
        expected=", ".join(names) + (f", or {_TIMM}NAME" if what == "image encoder" else ""),
        next_step=did_you_mean(
            name, names, otherwise=f"register yours with {register}; on the command line --import its module"
        ),
    )
