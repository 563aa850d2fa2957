"""From a run and a dataset to encodings: encoders in evaluation mode, every view that they can read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from m3di.data import Multimodal3DIdent
from m3di.errors import M3diError
from m3di.learn.encoder_set import Encoders
from m3di.learn.evaluation.encoded import Encoded
from m3di.learn.evaluation.probe_data import ProbeData
from m3di.learn.inputs import vocabulary_sha256
from m3di.learn.run_folder import CONFIG_NAME, load_encoders, read_config

BATCH_SIZE = 256
Progress = Callable[[int, int], None]


def encode_run(
    run: Path, data: ProbeData, *, name: str | None = None, device: str = "cpu", progress: Progress | None = None
) -> Encoded:
    """Encode what probes are fitted and scored on.

    A view in another world (`image_permuted`, `image_do_FACTOR`) is read by the encoder of the view as declared.

    Args:
        run: A folder that `train` wrote.
        data: The samples.
        name: What to call the run in results; its path if None.
        device: Where to encode ("cpu", "cuda").
        progress: Called with samples done and samples in all.

    Raises:
        M3diError: The run has no encoder for any view, or was trained on another vocabulary.
    """
    encoders, config = load_encoders(run, device), read_config(run)
    readers = _readers(encoders, data, run)
    _check_vocabularies(encoders, readers, data)
    total, done = len(data.fit) + len(data.test), 0
    parts = []
    for dataset in (data.fit, data.test):
        parts.append(
            _encode(encoders, readers, dataset, device, lambda n, before=done: _tell(progress, before + n, total))
        )
        done += len(dataset)
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
    """Raise M3diError unless a run was trained on this very dataset."""
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
    """For each observed view that can be encoded, the view whose encoder reads it."""
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
    device: str,
    tell: Callable[[int], None],
) -> dict[str, NDArray[Any]]:
    """[N, D] float64 of each view."""
    found: dict[str, list[NDArray[np.float64]]] = {view: [] for view in readers}
    with torch.inference_mode():
        for start in range(0, len(dataset), BATCH_SIZE):
            batch = dataset[list(range(start, min(start + BATCH_SIZE, len(dataset))))]
            for view, reader in readers.items():
                encoding = encoders.encode(reader, batch[view].to(device))
                found[view].append(encoding.double().cpu().numpy())
            tell(min(start + BATCH_SIZE, len(dataset)))
    return {view: np.concatenate(each) if each else np.empty((0, 1)) for view, each in found.items()}


def _tell(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)
