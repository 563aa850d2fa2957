"""Encode a dataset by a run: encoders in evaluation mode, on every view that they can read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from m3di.data import Multimodal3DIdent
from m3di.errors import M3diError, UsageError
from m3di.evaluate.encoded import Encoded
from m3di.evaluate.probe_data import ProbeData
from m3di.learn.models.encoder_set import Encoders
from m3di.learn.training.device import resolve_device
from m3di.learn.training.inputs import vocabulary_sha256
from m3di.learn.training.loading import batch_loader, resolve_workers, to_device
from m3di.learn.training.precision import float32_products
from m3di.learn.training.run_folder import CONFIG_NAME, load_encoders, read_config

BATCH_SIZE = 256
Progress = Callable[[int, int], None]


def encode_run(
    run: Path,
    data: ProbeData,
    *,
    name: str | None = None,
    device: str = "auto",
    n_workers: int | None = None,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> Encoded:
    """Encode the samples that probes are fitted and scored on.

    The encoder of a declared view also reads its variants (`image_permuted`, `image_do_FACTOR`).

    Args:
        run: A folder that `train` wrote.
        data: The samples.
        name: Name of the run in results; its path if None.
        device: Where to encode: "cpu", "cuda", or "auto" (cuda where there is one).
        n_workers: Threads that load images ahead; None suits the device, 0 is none.
        checkpoint: Which of the run's checkpoints; the newest if None.
        progress: Called with samples done and samples in all.

    Raises:
        M3diError: The run has no encoder for any view, or was trained on another vocabulary.
        UsageError: The device is not there, or `n_workers` is negative.
    """
    if n_workers is not None and n_workers < 0:
        raise UsageError("n_workers is too small", where="n_workers", got=n_workers, expected="0 or more")
    device = resolve_device(device)
    encoders, config = load_encoders(run, device, checkpoint), read_config(run)
    readers = _readers(encoders, data, run)
    _check_vocabularies(encoders, readers, data)
    total = len(data.fit) + len(data.test)
    with float32_products("fp32", device):
        parts = (
            _encode(encoders, readers, data.fit, n_workers, _ProgressAfter(progress, 0, total)),
            _encode(encoders, readers, data.test, n_workers, _ProgressAfter(progress, len(data.fit), total)),
        )
    encodings = {view: (parts[0][view], parts[1][view]) for view in readers}
    stored = config["config"]
    return Encoded(
        name or str(run),
        encodings,
        {view: data.factors[view] for view in readers},
        data.name,
        data.pairs(readers),
        stored.get("similarity", "cosine"),
        {"encoding_size": stored.get("encoding_size"), "seed": stored.get("seed")},
    )


def check_trained_on(run: Path, data: ProbeData) -> None:
    """Check that a run was trained on this very dataset; else raise M3diError."""
    stored = read_config(run).get("data", {}).get("fingerprint")
    if stored != data.fingerprint:
        raise M3diError(
            "the dataset is not the one that the run was trained on",
            where=f"{data.root}, named in {run / CONFIG_NAME}",
            got=f"fingerprint {data.fingerprint[:12]}",
            expected=f"fingerprint {str(stored)[:12]}",
            next_step=f"put the dataset back; or say --data {data.root} to evaluate on it as it is now",
        )


def _readers(encoders: Encoders, data: ProbeData, run: Path) -> Mapping[str, str]:
    """Map each observed view that can be encoded to the view whose encoder reads it."""
    declared = {view: data.spec.observed[view].declared for view in data.views}
    readers = {view: view if view in encoders.views else declared[view] for view in data.views}
    found = {view: reader for view, reader in readers.items() if reader in encoders.views}
    if not found:
        raise M3diError(
            "the dataset has no view that the run can encode",
            where=str(data.root),
            got=f"views {', '.join(data.views)}",
            expected=f"{', '.join(encoders.views)}, as {run} was trained on",
            next_step="give a dataset of the same spec with --data",
        )
    return found


def _check_vocabularies(encoders: Encoders, readers: Mapping[str, str], data: ProbeData) -> None:
    for dataset in (data.fit, data.test):
        for view, vocabulary in dataset.vocabularies.items():
            expected = encoders.inputs[readers[view]].vocabulary_sha256 if view in readers else None
            if expected is not None and vocabulary_sha256(vocabulary) != expected:
                raise M3diError(
                    "the dataset's vocabulary is not the one that the run was trained on",
                    where=f"view {view!r} of {dataset.root}",
                    got=f"{len(vocabulary)} tokens, SHA-256 {vocabulary_sha256(vocabulary)[:12]}",
                    expected=f"{encoders.inputs[readers[view]].vocabulary_size} tokens, SHA-256 {expected[:12]}",
                    next_step="give data of the same spec and template as the run's",
                )


def _encode(
    encoders: Encoders,
    readers: Mapping[str, str],
    dataset: Multimodal3DIdent,
    n_workers: int | None,
    tell: Callable[[int], None],
) -> dict[str, NDArray[Any]]:
    """Return the encodings [N, D] float64 of each view."""
    n, device = len(dataset), next(encoders.parameters()).device
    found: dict[str, list[Tensor]] = {view: [] for view in readers}
    order = [list(range(start, min(start + BATCH_SIZE, n))) for start in range(0, n, BATCH_SIZE)]
    n_workers = resolve_workers(n_workers, device.type, dataset)
    with (
        torch.inference_mode(),
        closing(batch_loader(dataset, tuple(readers), order, n_workers=n_workers, device=device)) as batches,
    ):
        for indices, batch in zip(order, batches, strict=True):
            there = to_device(batch, device)
            for view, reader in readers.items():
                found[view].append(encoders.encode(reader, there[view]).double())  # stays on the device until the end
            tell(indices[-1] + 1)
        return {view: torch.cat(each).cpu().numpy() if each else np.empty((0, 1)) for view, each in found.items()}


@dataclass(frozen=True)
class _ProgressAfter:
    """A progress callback that adds samples done before."""

    progress: Progress | None
    before: int
    total: int

    def __call__(self, done: int) -> None:
        if self.progress is not None:
            self.progress(self.before + done, self.total)
