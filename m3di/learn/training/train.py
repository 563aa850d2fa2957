"""Contrastive training of encoders, into a run folder; a run that was stopped goes on where it stood."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from m3di.data import Multimodal3DIdent
from m3di.errors import UsageError
from m3di.learn.models.encoder_set import build_encoders, check_shared
from m3di.learn.models.view_encodings import encoding_of
from m3di.learn.training import run_folder
from m3di.learn.training.config import TrainConfig
from m3di.learn.training.describe import describe
from m3di.learn.training.device import resolve_device, tuned_convolutions
from m3di.learn.training.distributed import Processes, check_divides, joined_world
from m3di.learn.training.inputs import PairedDataset, ViewInput, view_inputs
from m3di.learn.training.job import Job, OnStep, TrainResult
from m3di.learn.training.precision import float32_products, resolve_precision


def train(
    data_root: Path, run: Path | None, config: TrainConfig, on_step: OnStep | None = None, *, runs: Path = Path("runs")
) -> TrainResult:
    """Train on a dataset on disk: its train split, with the loss on its val split now and then.

    That is the mean over the whole batches of the val split; what is left over is not in it. A val split of fewer
    samples than a batch is one smaller batch, whose loss is lower against fewer negatives.

    Args:
        data_root: The dataset's folder.
        run: Where to write; see `run_folder` for what goes there. A run that is there goes on, if it is this one. None
            takes the newest unfinished run of this kind below `runs`, or begins a new one.
        config: What to train and for how long.
        on_step: Called after each step with its number (from 1) and its loss.
        runs: Where runs go that are not told where to.

    Raises:
        M3diError: The dataset or the run folder is bad, or the loss stopped being finite.
        UsageError: The configuration does not fit the machine or the dataset.

    Example:
        >>> from pathlib import Path
        >>> from m3di import TrainConfig, train
        >>> result = train(Path("data/m3di"), Path("runs/first"), TrainConfig(n_steps=2, batch_size=4))
        >>> Path("runs/first/config.json").is_file()
        True
    """
    cache = None if config.cache == "none" else config.cache
    splits = [Multimodal3DIdent(data_root, split=split, views=config.views, cache=cache) for split in ("train", "val")]
    return train_on(splits[0], run, config, on_step, val=splits[1], runs=runs)


def train_on(
    dataset: PairedDataset,
    run: Path | None,
    config: TrainConfig,
    on_step: OnStep | None = None,
    *,
    val: PairedDataset | None = None,
    runs: Path = Path("runs"),
) -> TrainResult:
    """As `train`, on any dataset of tuples of views.

    On the CPU, equal data, configuration, torch and number of threads give equal weights, bit for bit, however often
    the run was stopped on the way. The process-wide random generator and thread count are as before when this returns.
    A random transform in the dataset repeats as well if it draws from torch's generator and `n_workers` is 0.
    """
    device = resolve_device(config.device)
    inputs = view_inputs(dataset, config.views)
    _check_enough_samples(len(dataset), config.batch_size, dataset.root)
    if config.patience is not None and (val is None or len(val) < 2):
        raise UsageError(
            "to end when the validation loss falls no more, there must be one",
            where=f"patience, with the data in {dataset.root}",
            got="no val split, or one of fewer than 2 samples",
            next_step="render a val split, or leave patience out",
        )
    if config.share_encoders:
        check_shared(inputs)
    _check_augmented(config, inputs)
    with joined_world(device) as world, _reproducible(config, device), _computing(config, device) as precision:
        check_divides(config.batch_size, world, config.accumulate)
        measured = {view: encoding_of(each.modality).measure(dataset, view) for view, each in inputs.items()}
        statistics = {view: each for view, each in measured.items() if each is not None}
        encoders = build_encoders(inputs, config, statistics).to(device)
        description = describe(
            dataset, val, config, inputs, statistics, device=device, precision=precision, world=world
        )
        if run is None:
            name = Path(str(dataset.root)).resolve().name
            run = world.agreed(
                lambda: run_folder.run_to_continue(runs, name, description) or run_folder.next_run(runs, name)
            )
        with _claimed(run, description, world):
            job = Job(dataset, val, encoders, run, config, precision, world)
            return job.result() if job.is_finished() else job.fit(on_step)


@contextmanager
def _claimed(run: Path, description: dict[str, Any], world: Processes) -> Iterator[None]:
    """Process 0 holds the run folder; the others go on once it does."""
    if world.rank:
        world.wait()
        yield
        return
    run_folder.claim(run, description)
    with run_folder.hold_run(run):
        run_folder.note_continuation(run, description)
        world.wait()
        yield


@contextmanager
def _reproducible(config: TrainConfig, device: str) -> Iterator[None]:
    """Seed torch's generators and set its thread count; put both back afterwards."""
    n_threads_before = torch.get_num_threads()
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if device == "cuda" else []):
        torch.default_generator.manual_seed(config.seed)
        if device == "cuda":
            torch.cuda.manual_seed(config.seed)
        if config.n_threads is not None:
            torch.set_num_threads(config.n_threads)
        try:
            yield
        finally:
            torch.set_num_threads(n_threads_before)


@contextmanager
def _computing(config: TrainConfig, device: str) -> Iterator[str]:
    """Have the device compute as the run asks, and as before afterwards; the precision that it computes in."""
    precision = resolve_precision(config.precision, device)
    with tuned_convolutions(device), float32_products(precision, device):
        yield precision


def _check_augmented(config: TrainConfig, inputs: Mapping[str, ViewInput]) -> None:
    if config.augment and not any(encoding_of(each.modality).is_augmented for each in inputs.values()):
        raise UsageError(
            "no view is augmented, so augmentations have no effect",
            where="augment",
            got=f"{', '.join(config.augment)}, and views {', '.join(inputs)}",
            expected="a view of images",
            next_step="leave augment out, or empty where a preset has some (on the command line: --augment '')",
        )


def _check_enough_samples(n_samples: int, batch_size: int, root: object) -> None:
    if batch_size > n_samples:
        raise UsageError(
            "the batch is larger than the train split",
            where=f"batch_size, with the data in {root}",
            got=f"a batch of {batch_size}, a split of {n_samples}",
            expected=f"a batch of {n_samples} or fewer",
            next_step="use a smaller batch, or render more samples",
        )
