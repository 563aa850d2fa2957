"""Members: what is done once for all results that need it. A member's key is its folder below OUT."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from m3di.data import MANIFEST
from m3di.evaluate import NamedRun, ProbeData, Request, evaluate, read_results
from m3di.evaluate import Protocol as ProbeProtocol
from m3di.evaluate.runs import RESULTS
from m3di.generate import RenderOptions, render
from m3di.learn.training.config import TrainConfig
from m3di.learn.training.train import train
from m3di.simulate import SimulationConfig, folder_name, is_finished, simulate
from m3di.system.files import read_json

OnUnit = Callable[[int, int], None]  # units done, and units in all
DATA, RUNS, SIMULATIONS = "data", "runs", "simulations"


@dataclass(frozen=True)
class Resources:
    """What a member may use.

    Args:
        n_cores: Processor cores.
        gpu: Whether datasets are rendered on a GPU.
    """

    n_cores: int = 1
    gpu: bool = False


class Member(Protocol):
    """Something that is done once."""

    @property
    def key(self) -> str:
        """Its folder below OUT, with slashes."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Keys of members that must be finished before."""

    @property
    def n_units(self) -> int:
        """What its progress counts: samples, or steps."""

    def settings(self) -> dict[str, Any]:
        """All that decides its outcome, as JSON has it."""

    def is_finished(self, out: Path) -> bool:
        """Whether it is done.

        Raises:
            M3diError: Its results are there and cannot be read.
        """

    def run(self, out: Path, resources: Resources, on_unit: OnUnit) -> None:
        """Do it, or the rest of it."""


@dataclass(frozen=True)
class Rendering:
    """A dataset of images.

    Args:
        name: Of its folder.
        spec: A built-in spec.
        n_samples: Of train, val and test.
        size_px: Side of the images.
        quality: Of the images.
    """

    name: str
    spec: str
    n_samples: tuple[int, int, int]
    size_px: int
    quality: str

    @property
    def key(self) -> str:
        return f"{DATA}/{self.name}"

    @property
    def needs(self) -> tuple[str, ...]:
        return ()

    @property
    def n_units(self) -> int:
        return sum(self.n_samples)

    def settings(self) -> dict[str, Any]:
        return asdict(self)

    def is_finished(self, out: Path) -> bool:
        path = out / self.key / MANIFEST
        if not path.is_file():
            return False
        read_json(path)  # raises if it is cut
        return True

    def options(self, out: Path, resources: Resources) -> RenderOptions:
        """Options of `m3di render`."""
        n_train, n_val, n_test = self.n_samples
        return RenderOptions(
            out=out / self.key,
            spec=self.spec,
            n_train=n_train,
            n_val=n_val,
            n_test=n_test,
            size_px=self.size_px,
            quality=self.quality,
            gpu=resources.gpu,
            n_workers=None if resources.gpu else resources.n_cores,
        )

    def run(self, out: Path, resources: Resources, on_unit: OnUnit) -> None:
        render(self.options(out, resources), on_unit)


@dataclass(frozen=True)
class Training:
    """Encoders trained on a dataset, and what probes read from them.

    Args:
        data: The dataset.
        values: Encoding size and seed.
        config: Everything about the training.
        probes: Metrics to score with.
    """

    data: Rendering
    values: Mapping[str, int]
    config: TrainConfig
    probes: tuple[str, ...]

    @property
    def name(self) -> str:
        """As in a sweep."""
        return ",".join(f"{name}={value}" for name, value in self.values.items())

    @property
    def key(self) -> str:
        return f"{RUNS}/{self.data.name}/{self.name}"

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.data.key,)

    @property
    def n_units(self) -> int:
        return self.config.n_steps

    def settings(self) -> dict[str, Any]:
        return {"data": self.data.key, "config": asdict(self.config), "probes": list(self.probes)}

    def is_finished(self, out: Path) -> bool:
        path = out / self.key / RESULTS
        return path.is_file() and read_results(path).num_rows > 0  # raises if it is cut

    def run(self, out: Path, resources: Resources, on_unit: OnUnit) -> None:
        root, run = out / self.data.key, out / self.key
        train(root, run, self.config, lambda step, loss: on_unit(step, self.n_units))
        request = Request(ProbeData(root), ProbeProtocol(self.probes), device=self.config.device)
        evaluate(NamedRun(run, self.name, self.values), request)


@dataclass(frozen=True)
class Simulating:
    """A numerical simulation, with its probes as observed and under permuted content."""

    config: SimulationConfig

    @property
    def key(self) -> str:
        return f"{SIMULATIONS}/{folder_name(self.config)}"

    @property
    def needs(self) -> tuple[str, ...]:
        return ()

    @property
    def n_units(self) -> int:
        return self.config.n_steps

    def settings(self) -> dict[str, Any]:
        return asdict(self.config)

    def is_finished(self, out: Path) -> bool:
        return is_finished(self.config, out / self.key)

    def run(self, out: Path, resources: Resources, on_unit: OnUnit) -> None:
        simulate(self.config, out / self.key, lambda step, loss: on_unit(step, self.n_units))
