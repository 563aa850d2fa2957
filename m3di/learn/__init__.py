"""Encoders, the contrastive loss and the trainer: the one door of the room.

Importing this package imports PyTorch (never Blender), so import it where training starts, not at the top of
a program that may only list specs. Take names from here: `m3di.learn.train` is the function, not the module.
"""

from __future__ import annotations

from m3di.errors import M3diError

try:
    import safetensors
    import torch
except ModuleNotFoundError as error:
    raise M3diError(
        "training needs PyTorch and safetensors, which are not installed",
        where="import m3di.learn",
        got=error,
        next_step="pip install 'm3di[train]'",
    ) from error

from m3di.learn.losses import SIMILARITIES, Objective, Similarity, SymInfoNCE, register_loss
from m3di.learn.models.encoder_set import Encoders
from m3di.learn.models.encoders import MLP, ResNet18, TextConvNet
from m3di.learn.models.registry import register_image_encoder, register_text_encoder
from m3di.learn.training.config import PRESETS, TrainConfig, config_from, find_preset
from m3di.learn.training.device import DEVICES
from m3di.learn.training.inputs import ImageStatistics, PairedDataset, measure_image_statistics
from m3di.learn.training.job import TrainResult
from m3di.learn.training.run_folder import load_encoders, next_run
from m3di.learn.training.train import train, train_on
from m3di.system.allocator import keep_freed_memory
from m3di.system.plugins import import_modules

del safetensors, torch  # imported only to see that they are there

__all__ = [
    "DEVICES",
    "MLP",
    "PRESETS",
    "SIMILARITIES",
    "Encoders",
    "ImageStatistics",
    "Objective",
    "PairedDataset",
    "ResNet18",
    "Similarity",
    "SymInfoNCE",
    "TextConvNet",
    "TrainConfig",
    "TrainResult",
    "config_from",
    "find_preset",
    "import_modules",
    "keep_freed_memory",
    "load_encoders",
    "measure_image_statistics",
    "next_run",
    "register_image_encoder",
    "register_loss",
    "register_text_encoder",
    "train",
    "train_on",
]
