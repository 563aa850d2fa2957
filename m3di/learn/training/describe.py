"""Describe a run for config.json: its settings, data, code and machine."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from typing import Any

import torch

from m3di._version import __version__
from m3di.errors import without_credentials
from m3di.learn.training.config import TrainConfig
from m3di.learn.training.distributed import Processes
from m3di.learn.training.inputs import ImageStatistics, PairedDataset, ViewInput
from m3di.system.shipped import PACKAGE


def describe(
    dataset: PairedDataset,
    val: PairedDataset | None,
    config: TrainConfig,
    inputs: Mapping[str, ViewInput],
    statistics: Mapping[str, ImageStatistics],
    *,
    device: str,
    precision: str,
    world: Processes,
) -> dict[str, Any]:
    """Return the content of config.json."""
    return {
        "config": asdict(config),
        "data": {
            "root": without_credentials(str(dataset.root)),
            **_samples_of(dataset),
            "views": {view: each.to_json() for view, each in inputs.items()},
            **({"val": _samples_of(val)} if val is not None else {}),
        },
        "image_statistics": {view: asdict(each) for view, each in statistics.items()},
        "device_type": device,
        "device": torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine(),
        "precision": precision,
        "n_threads": torch.get_num_threads(),
        "world_size": world.size,
        "versions": {
            "m3di": __version__,
            "m3di_code_sha256": code_sha256(),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }


def _samples_of(dataset: PairedDataset) -> dict[str, Any]:
    """Which samples a dataset holds, as far as it says so."""
    selection = getattr(dataset, "selection", None)
    told = {} if selection is None else {"selection": selection}
    return {"fingerprint": dataset.fingerprint, "n_samples": len(dataset), **told}


@cache
def code_sha256() -> str:
    """Hash all Python files of the package: tells apart two states of the code with one version number."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
