"""The run folder: what a training run leaves behind, and how encoders come back from it.

RUN/
  config.json         what was asked for and what it ran on; written first, so its presence means "taken"
  metrics.csv         step,loss,lr,seconds: one line a step, flushed as it goes
  checkpoint/
    image_encoder.safetensors
    text_encoder.safetensors      both carry the step they were saved at
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from m3di.errors import M3diError
from m3di.learn.encoders import ResNet18, TextConvNet
from m3di.learn.inputs import ImageStatistics

CONFIG_NAME = "config.json"
METRICS_NAME = "metrics.csv"
CHECKPOINT_NAME = "checkpoint"
_IMAGE_NAME = "image_encoder.safetensors"
_TEXT_NAME = "text_encoder.safetensors"


@dataclass(frozen=True)
class Encoders:
    """Both encoders of a run, with the image normalisation they were trained with."""

    image: ResNet18
    text: TextConvNet
    image_statistics: ImageStatistics

    def encode_images(self, image: Tensor) -> Tensor:
        """[B, 3, H, W] uint8 -> [B, D] float32, on the device of `image`, which must be that of the encoder."""
        encoding: Tensor = self.image(self.image_statistics.normalise(image))
        return encoding

    def encode_texts(self, tokens: Tensor) -> Tensor:
        """[B, L] int64 token ids -> [B, D] float32, on the device of `tokens`."""
        encoding: Tensor = self.text(tokens)
        return encoding

    def eval(self) -> Encoders:
        """Put both encoders in evaluation mode (batch norm uses its running statistics)."""
        self.image.eval()
        self.text.eval()
        return self

    def to(self, device: str) -> Encoders:
        """Move both encoders to a device."""
        self.image.to(device)
        self.text.to(device)
        return self


def next_run(folder: Path, name: str) -> Path:
    """The first of `FOLDER/NAME-001`, `FOLDER/NAME-002`, ... that does not exist."""
    return next(path for number in count(1) if not (path := folder / f"{name}-{number:03d}").exists())


def check_is_free(run: Path) -> None:
    """Raise M3diError if `run` already holds a run, or is not a folder. Changes nothing."""
    if run.exists() and not run.is_dir():
        raise M3diError("the run folder is a file", where=str(run), next_step="choose another run folder")
    for name in (CONFIG_NAME, METRICS_NAME, CHECKPOINT_NAME):
        if (run / name).exists():
            raise M3diError(
                "the run folder already holds a run",
                where=str(run),
                got=name,
                expected="a new or empty folder",
                next_step="choose another run folder, or delete this one; nothing was changed",
            )


def write_config(run: Path, config: Mapping[str, Any]) -> None:
    """Write RUN/config.json, making the folder."""
    run.mkdir(parents=True, exist_ok=True)
    text = json.dumps(config, indent=2, allow_nan=False) + "\n"
    partial = run / (CONFIG_NAME + ".partial")
    partial.write_text(text, encoding="utf-8")
    _replace(partial, run / CONFIG_NAME)


def save_checkpoint(run: Path, encoders: Encoders, step: int) -> None:
    """Write RUN/checkpoint/, replacing an earlier one.

    Both files are complete on disk before either takes its final name.
    """
    folder = run / CHECKPOINT_NAME
    folder.mkdir(exist_ok=True)
    modules: dict[str, nn.Module] = {_IMAGE_NAME: encoders.image, _TEXT_NAME: encoders.text}
    for name, module in modules.items():
        save_file(module.state_dict(), folder / (name + ".partial"), metadata={"step": str(step)})
    for name in modules:
        _replace(folder / (name + ".partial"), folder / name)


def load_encoders(run: Path, device: str = "cpu") -> Encoders:
    """Rebuild the encoders of a run, in evaluation mode.

    Args:
        run: A folder that `train` wrote.
        device: Where to put them ("cpu", "cuda").

    Raises:
        M3diError: The folder holds no run, no checkpoint yet, or one that does not fit its config.json.
    """
    config = read_config(run)
    try:
        encoders = build_encoders(
            vocabulary_size=config["data"]["vocabulary_size"],
            pad_index=config["data"]["pad_index"],
            encoding_size=config["config"]["encoding_size"],
            hidden_size=config["config"]["hidden_size"],
            image_statistics=ImageStatistics(
                mean=tuple(config["image_statistics"]["mean"]),
                std=tuple(config["image_statistics"]["std"]),
                n_samples=config["image_statistics"]["n_samples"],
            ),
        )
    except (KeyError, TypeError) as error:
        raise M3diError(
            "config.json is not that of a training run",
            where=str(run / CONFIG_NAME),
            got=f"{type(error).__name__}: {error}",
            next_step="point to a folder that `m3di train` wrote",
        ) from error
    step = _load_weights(encoders.image, run / CHECKPOINT_NAME / _IMAGE_NAME)
    text_step = _load_weights(encoders.text, run / CHECKPOINT_NAME / _TEXT_NAME)
    if step != text_step:
        raise M3diError(
            "the two encoders were saved at different steps",
            where=str(run / CHECKPOINT_NAME),
            got=f"image encoder at step {step}, text encoder at step {text_step}",
            next_step="if the run is still going, try again; if it was killed as it saved, train again",
        )
    return encoders.to(device).eval()


def read_config(run: Path) -> dict[str, Any]:
    """RUN/config.json as a dict.

    Raises:
        M3diError: There is none, or it is not JSON.
    """
    path = run / CONFIG_NAME
    if not path.is_file():
        raise M3diError(
            "this folder holds no training run",
            where=str(run),
            expected=f"a folder with {CONFIG_NAME}",
            next_step="point to a folder that `m3di train` wrote",
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise M3diError("config.json is not JSON", where=str(path), got=error) from error
    if not isinstance(config, dict):
        raise M3diError("config.json is not a JSON object", where=str(path), got=type(config).__name__)
    return config


def build_encoders(
    *,
    vocabulary_size: int,
    pad_index: int,
    encoding_size: int,
    hidden_size: int,
    image_statistics: ImageStatistics,
) -> Encoders:
    """Two new encoders on the CPU; their weights come from torch's process-wide random generator."""
    image = ResNet18(encoding_size, hidden_size)
    text = TextConvNet(vocabulary_size, encoding_size, pad_index=pad_index)
    return Encoders(image, text, image_statistics)


def _load_weights(module: nn.Module, path: Path) -> str:
    """Fill `module` from a safetensors file; the step it was saved at."""
    if not path.is_file():
        raise M3diError(
            "the run has no checkpoint",
            where=str(path),
            next_step="wait for its first checkpoint, or train again (`checkpoint_every` sets how often one is saved)",
        )
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            step = (file.metadata() or {}).get("step", "unknown")
        module.load_state_dict(weights)
    except (SafetensorError, RuntimeError) as error:
        raise M3diError(
            "the checkpoint does not fit the run's config.json, or is damaged",
            where=str(path),
            got=str(error).splitlines()[0],
            next_step="train again, or restore the file",
        ) from error
    return str(step)


def _replace(partial: Path, final: Path) -> None:
    """Give a complete file its final name, once its bytes are on disk."""
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(final)
