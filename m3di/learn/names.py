"""The names of `m3di.learn`, see `m3di.system.lazy_names`."""

from __future__ import annotations

from m3di.learn.choices import DEVICES
from m3di.learn.losses import Objective, SymInfoNCE, register_loss
from m3di.learn.models.encoder_set import Encoders
from m3di.learn.models.encoders import MLP, ResNet18, TextConvNet
from m3di.learn.models.registry import register_image_encoder, register_text_encoder
from m3di.learn.training.config import PRESETS, TrainConfig, config_from, find_preset
from m3di.learn.training.inputs import ImageStatistics, PairedDataset, measure_image_statistics
from m3di.learn.training.job import TrainResult
from m3di.learn.training.run_folder import load_encoders, next_run
from m3di.learn.training.train import train, train_on
from m3di.system.allocator import keep_freed_memory
from m3di.system.plugins import import_modules

__all__ = [
    "DEVICES",
    "MLP",
    "PRESETS",
    "Encoders",
    "ImageStatistics",
    "Objective",
    "PairedDataset",
    "ResNet18",
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
