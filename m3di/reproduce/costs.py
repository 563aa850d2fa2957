"""What a member costs: a few steps, images and probes are made on this machine, and the rest is extrapolated."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from m3di.data import build_tokenizer
from m3di.evaluate.probes import search_kernel_ridge
from m3di.generate import dry_run
from m3di.latents import load_spec
from m3di.learn.training.device import resolve_device
from m3di.learn.training.train import train_on
from m3di.reproduce.ledger import MEASURED, SETTINGS, Reproduction, machine
from m3di.reproduce.members import Member, Rendering, Resources, Simulating, Training
from m3di.simulate import Simulation, SimulationConfig
from m3di.simulate.config import WIDTHS
from m3di.system.allocator import keep_freed_memory
from m3di.system.files import read_json, write_json

LEAST_S = 1.0  # of the steps that are timed
MOST_STEPS = 20
PROBED = 2000  # at most as many samples are probes timed with; beyond, time grows with the cube of the number
N_MODALITIES = 2
N_TRAIN_STEPS = {"cpu": 5, "cuda": 40}  # the first is not counted, for it sets things up; nor the last, which saves
N_WARM_UP = {"cpu": 1, "cuda": 3}  # a graph is made of the third on a GPU
MOST_IN_BATCH = {"cpu": 64, "cuda": 1_000_000}  # on the CPU, a larger batch takes as much longer as it is larger
BYTES_A_WEIGHT = 12  # the weight and Adam's two moments


@dataclass(frozen=True)
class Cost:
    """What members of one kind cost.

    Args:
        unit_s: Seconds a unit: a step, or a sample.
        fixed_s: Seconds beside that: the probes of a simulation.
        unit_bytes: Bytes on disk a unit.
        fixed_bytes: Bytes on disk beside that: a checkpoint.
    """

    unit_s: float
    fixed_s: float = 0.0
    unit_bytes: float = 0.0
    fixed_bytes: float = 0.0

    def seconds(self, n_units: int) -> float:
        """Of a whole member."""
        return self.fixed_s + n_units * self.unit_s

    def n_bytes(self, n_units: int) -> float:
        """Of a whole member."""
        return self.fixed_bytes + n_units * self.unit_bytes


def kind_of(member: Member) -> str:
    """Name what a member costs by; members of one name cost the same."""
    if isinstance(member, Rendering):
        n_images = _modalities(member.spec).count("image")
        return f"render: {n_images} image{'s' * (n_images > 1)} of {member.size_px} px, {member.quality}"
    if isinstance(member, Training):
        views = " and ".join(_modalities(member.data.spec))
        return f"train: {views}, {member.data.size_px} px, batch {member.config.batch_size}"
    assert isinstance(member, Simulating)  # noqa: S101 - there is no other kind
    simulated = member.config
    looks = "wide" if simulated.widths == WIDTHS else "narrow"
    return f"simulate: {simulated.size} dims, {looks}, batch {simulated.batch_size}, probes {simulated.n_eval}"


@functools.cache
def _modalities(spec: str) -> tuple[str, ...]:
    """Of the views of a built-in spec."""
    return tuple(each.view.modality for each in load_spec(spec).observed.values())


def measure(
    reproduction: Reproduction, members: Iterable[Member], resources: Resources, tell: Callable[[str], None]
) -> dict[str, Cost]:
    """Measure what is not measured yet, and keep it in OUT/measured.json; a folder that was not begun keeps nothing.

    Args:
        reproduction: The folder.
        members: What is to be done.
        resources: Of one member.
        tell: Told what is measured.

    Returns:
        Costs by kind, see `kind_of`.
    """
    path, here = reproduction.out / MEASURED, {**machine(), **asdict(resources)}
    stored = read_json(path) if path.is_file() else {}
    costs = {name: Cost(**each) for name, each in stored.get("costs", {}).items()} if stored.get("on") == here else {}
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(resources.n_cores)
        with _on_cores(resources.n_cores):
            for member in members:
                kind = kind_of(member)
                if kind not in costs:
                    tell(kind)
                    costs[kind] = _measured(member, resources)
    finally:
        torch.set_num_threads(before)
    if (reproduction.out / SETTINGS).is_file():
        write_json(path, {"on": here, "costs": {name: asdict(cost) for name, cost in costs.items()}})
    return costs


@contextmanager
def _on_cores(n: int) -> Iterator[None]:
    """Keep this process, and those it starts, to as many cores as a member has: a renderer alone borrows idle ones.

    Threads that are there already stay where they are. Other systems than Linux have no such call.
    """
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    if not before:
        yield
        return
    os.sched_setaffinity(0, sorted(before)[:n])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _measured(member: Member, resources: Resources) -> Cost:
    keep_freed_memory()
    if isinstance(member, Rendering):
        with TemporaryDirectory(prefix="m3di-") as folder:
            estimate = dry_run(member.options(Path(folder), resources))
        return Cost(unit_s=estimate.n_views / estimate.images_per_s, unit_bytes=estimate.sample_bytes)
    if isinstance(member, Training):
        return _of_training(member)
    assert isinstance(member, Simulating)  # noqa: S101 - there is no other kind
    return _of_simulation(member.config)


def _of_simulation(config: SimulationConfig) -> Cost:
    """Time steps, and one of the searches that probes are made of."""
    simulation = Simulation(config)
    for _ in range(N_WARM_UP[simulation.device]):
        simulation.step().item()
    began, n_steps = time.perf_counter(), 0
    while n_steps < MOST_STEPS and time.perf_counter() - began < LEAST_S:
        simulation.step().item()
        n_steps += 1
    unit_s = (time.perf_counter() - began) / n_steps
    n_weights = sum(weight.numel() for weight in simulation.weights)
    n_blocks = sum(n > 0 for n in (config.n_content, config.n_style, config.n_modality))
    n_searches = N_MODALITIES * (2 * n_blocks + 1)  # as observed; under permuted content, which is a block more
    return Cost(unit_s, n_searches * _seconds_of_search(config.n_eval), fixed_bytes=BYTES_A_WEIGHT * n_weights)


@functools.cache
def _seconds_of_search(n: int) -> float:
    """Of kernel ridge regression with its grid, on as many samples."""
    probed = min(n, PROBED)
    rng = np.random.default_rng(0)
    z, y = rng.normal(size=(probed, 5)), rng.normal(size=(probed, 5))
    began = time.perf_counter()
    search_kernel_ridge(z, y).predict(z)
    return (time.perf_counter() - began) * (n / probed) ** 3


def _of_training(member: Training) -> Cost:
    """Time steps on random images and captions of the right size; what probes take is not in it."""
    device, batch_size = resolve_device(member.config.device), member.config.batch_size
    n_steps, measured = N_TRAIN_STEPS[device], min(batch_size, MOST_IN_BATCH[device])
    data = RandomViews(member, measured)
    config = replace(
        member.config,
        n_steps=n_steps,
        batch_size=measured,
        schedule="constant",
        n_warmup_steps=0,
        cache="none",
        tensorboard=False,
        n_workers=0,
    )
    ends: list[float] = []
    with TemporaryDirectory(prefix="m3di-") as folder:
        result = train_on(data, Path(folder) / "run", config, lambda step, loss: ends.append(time.perf_counter()))
    n_weights = sum(weight.numel() for weight in result.encoders.parameters())
    unit_s = (ends[-2] - ends[0]) / (n_steps - 2) * batch_size / measured
    return Cost(unit_s, fixed_bytes=BYTES_A_WEIGHT * n_weights)


class RandomViews:
    """`n` random views of a spec; see `PairedDataset`."""

    root = "random views"
    fingerprint = "random views"
    pad_index = 0

    def __init__(self, member: Training, n: int) -> None:
        spec = load_spec(member.data.spec)
        self._n, self._size_px = n, member.data.size_px
        self._lengths = {name: build_tokenizer(spec, name).length for name in spec.told}
        self.modalities: Mapping[str, str] = {name: each.view.modality for name, each in spec.observed.items()}
        self.vocabularies = {name: build_tokenizer(spec, name).vocabulary for name in spec.told}
        self._rng = np.random.default_rng(0)

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, index: Any, /) -> Mapping[str, Any]:
        lead = () if isinstance(index, int) else (len(index),)
        return {name: self._view(name, lead) for name in self.modalities}

    def _view(self, name: str, lead: tuple[int, ...]) -> torch.Tensor:
        if name in self._lengths:
            words = self._rng.integers(1, len(self.vocabularies[name]), size=(*lead, self._lengths[name]))
            return torch.from_numpy(words)
        pixels = self._rng.integers(0, 256, size=(*lead, 3, self._size_px, self._size_px), dtype=np.uint8)
        return torch.from_numpy(pixels)
