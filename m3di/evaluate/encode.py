"""Encode a dataset by a run: encoders in evaluation mode, on every view that they can read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from m3di.data import LocalFolder, Multimodal3DIdent, open_folder
from m3di.errors import DataError, M3diError, UsageError
from m3di.evaluate.encoded import Encoded
from m3di.evaluate.probe_data import ProbeData
from m3di.learn.losses import similarity_of
from m3di.learn.models.encoder_set import Encoders
from m3di.learn.training.checkpoint import CHECKPOINT_NAME, latest_checkpoint
from m3di.learn.training.config import config_from_json
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
    everything = [(each, range(len(each))) for each in (data.fit, data.test)]
    fit, test = encode_samples(
        run, everything, device=device, n_workers=n_workers, checkpoint=checkpoint, progress=progress
    )
    encodings = {view: (fit[view], test[view]) for view in fit}
    trained = config_from_json(read_config(run)["config"])
    return Encoded(
        name or str(run),
        encodings,
        {view: data.factors[view] for view in encodings},
        data.name,
        data.pairs(encodings),
        similarity_of(trained.loss, trained.loss_settings),
        {"encoding_size": trained.encoding_size, "seed": trained.seed},
        samples=data.samples,
    )


def encode_samples(
    run: Path,
    chosen: Sequence[tuple[Multimodal3DIdent, Sequence[int]]],
    *,
    device: str = "auto",
    n_workers: int | None = None,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> list[dict[str, NDArray[np.float64]]]:
    """Encode some samples of datasets of the same views.

    Args:
        run: A folder that `train` wrote.
        chosen: Datasets, each with the indices of samples.
        device: Where to encode: "cpu", "cuda", or "auto".
        n_workers: Threads that load images ahead; None suits the device.
        checkpoint: Which of the run's checkpoints; the newest if None.
        progress: Called with samples done and samples in all.

    Returns:
        For each dataset, the encodings [n, D] of each view that the run can read.

    Raises:
        M3diError, UsageError: As for `encode_run`.
    """
    if n_workers is not None and n_workers < 0:
        raise UsageError("n_workers is too small", where="n_workers", got=n_workers, expected="0 or more")
    device = resolve_device(device)
    encoders = load_encoders(run, device, checkpoint)
    readers = _readers(encoders, chosen[0][0], run)
    _check_vocabularies(encoders, readers, [dataset for dataset, _ in chosen])
    total, done, found = sum(len(indices) for _, indices in chosen), 0, []
    with float32_products("fp32", device):
        for dataset, indices in chosen:
            tell = _ProgressAfter(progress, done, total)
            found.append(_encode(encoders, readers, dataset, indices, n_workers, tell))
            done += len(indices)
    return found


def newest_checkpoint(run: Path) -> Path | None:
    """The checkpoint that a run is encoded by; None before its first one."""
    return latest_checkpoint(run) if any(run.glob(f"{CHECKPOINT_NAME}/step-*[0-9]")) else None


def check_trained_on(run: Path, data: ProbeData) -> None:
    """Check that a run was trained on this very dataset; else raise M3diError."""
    folder = open_folder(data.root)
    if isinstance(folder, LocalFolder) and not folder.root.exists():
        raise DataError(
            "the dataset that the run was trained on is not where it was",
            where=f"{data.root}, named in {run / CONFIG_NAME}",
            got=f"nothing at {folder.root.absolute()}",
            expected="the dataset, seen from this folder",
            next_step="say with --data where it is now, or go to the folder that the run was trained from",
        )
    stored = read_config(run).get("data", {}).get("fingerprint")
    if stored != data.fingerprint:
        raise M3diError(
            "the dataset is not the one that the run was trained on",
            where=f"{data.root}, named in {run / CONFIG_NAME}",
            got=f"fingerprint {data.fingerprint[:12]}",
            expected=f"fingerprint {str(stored)[:12]}",
            next_step=f"put the dataset back; or say --data {data.root} to evaluate on it as it is now",
        )


def _readers(encoders: Encoders, data: Multimodal3DIdent, run: Path) -> Mapping[str, str]:
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
            next_step="give a dataset of the same spec",
        )
    return found


def _check_vocabularies(encoders: Encoders, readers: Mapping[str, str], datasets: Sequence[Multimodal3DIdent]) -> None:
    for dataset in datasets:
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
    indices: Sequence[int],
    n_workers: int | None,
    tell: Callable[[int], None],
) -> dict[str, NDArray[Any]]:
    """Return the encodings [n, D] float64 of each view."""
    device = next(encoders.parameters()).device
    found: dict[str, list[Tensor]] = {view: [] for view in readers}
    order = [list(indices[start : start + BATCH_SIZE]) for start in range(0, len(indices), BATCH_SIZE)]
    n_workers = resolve_workers(n_workers, device.type, dataset)
    with (
        torch.inference_mode(),
        closing(batch_loader(dataset, tuple(readers), order, n_workers=n_workers, device=device)) as batches,
    ):
        for number, batch in enumerate(batches):
            there = to_device(batch, device)
            for view, reader in readers.items():
                found[view].append(encoders.encode(reader, there[view]).double())  # stays on the device until the end
            tell(min((number + 1) * BATCH_SIZE, len(indices)))
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
