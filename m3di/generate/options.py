"""What to render, and how: the options of `m3di render` and what follows from them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict

from m3di import data
from m3di.errors import UsageError, check_word, did_you_mean
from m3di.latents import Spec, intervene, load_spec
from m3di.render import (
    GB,
    GPU_BACKENDS,
    LEAST_SIZE_PX,
    PASSES,
    WorkerLimits,
    default_n_workers,
)


class WorkerOptions(TypedDict, total=False):
    """Those of `RenderOptions` that change no byte of a dataset: also who renders a given one again may choose them."""

    n_workers: int | None
    gpu_devices: tuple[int, ...]
    gpu_backend: str | None
    worker_memory_gb: float
    image_timeout_s: float


@dataclass(frozen=True)
class RenderOptions:
    """What to render, and how.

    Attributes:
        out: Folder or URL of the dataset.
        spec: Name of a built-in spec, path of a spec file, or a spec.
        n_train: Training samples; None takes the number that the spec gives.
        n_val: Validation samples; None takes 8 % of `n_train`, at least one.
        n_test: Test samples; likewise.
        seed: Seed of all noise streams.
        size_px: Side of the square images.
        quality: Name of a quality preset.
        n_workers: Worker processes; None takes one a core, or with `gpu` up to eight a GPU.
        shard_size: Samples of a shard.
        gpu: Render on the GPU; without one it is an error.
        interventions: Interventions on the spec, written FACTOR=VALUE.
        passes: Passes to write beside each image, out of `m3di.render.PASSES`.
        gpu_devices: Numbers of the GPUs to use, with `gpu`; all of the back end if empty.
        gpu_backend: Back end to render with, with `gpu`: optix, cuda, hip, oneapi or metal; None takes the first of
            these that has a device.
        worker_memory_gb: A worker that holds more memory after an image is replaced.
        image_timeout_s: An image that takes longer has failed.
    """

    out: Path | str
    spec: str | Spec = "m3di"
    n_train: int | None = None
    n_val: int | None = None
    n_test: int | None = None
    seed: int = 0
    size_px: int = 224
    quality: str = "standard"
    n_workers: int | None = None
    shard_size: int = 1000
    gpu: bool = False
    interventions: tuple[str, ...] = ()
    passes: tuple[str, ...] = ()
    gpu_devices: tuple[int, ...] = ()
    gpu_backend: str | None = None
    worker_memory_gb: float = 4.0
    image_timeout_s: float = 600.0

    @property
    def limits(self) -> WorkerLimits:
        """When a worker is replaced."""
        return WorkerLimits(memory_bytes=round(self.worker_memory_gb * GB), image_timeout_s=self.image_timeout_s)

    def load_spec(self) -> Spec:
        """The spec, under the interventions.

        Raises:
            UsageError: There is no such spec, it is not valid, or an intervention does not fit it.
        """
        spec = self.spec if isinstance(self.spec, Spec) else load_spec(self.spec)
        return intervene(spec, self.interventions)

    def check(self) -> None:
        """Raise where a number is out of its range.

        Raises:
            UsageError: It names the option.
        """
        least: dict[str, float] = {
            "n_train": 1,
            "n_val": 0,
            "n_test": 0,
            "seed": 0,
            "size_px": LEAST_SIZE_PX,
            "n_workers": 1,
            "shard_size": 1,
        }
        least |= {"worker_memory_gb": 0.1, "image_timeout_s": 1}
        options = {"n_train": "--n", "size_px": "--size", "n_workers": "--workers"}
        options |= {"worker_memory_gb": "--worker-memory", "image_timeout_s": "--image-timeout"}
        most = dict.fromkeys(("n_train", "n_val", "n_test"), data.MAX_SAMPLES)
        most |= {"seed": data.MAX_SEED, "size_px": data.MAX_SIZE_PX}
        for name, bound in least.items():
            value = getattr(self, name)
            option = options.get(name, f"--{name.replace('_', '-')}")
            if value is not None and value > most.get(name, math.inf):
                raise UsageError(f"{option} is too large", where=option, got=value, expected=f"at most {most[name]}")
            if value is not None and not math.isfinite(value):
                raise UsageError(f"{option} is not a finite number", where=option, got=value)
            if value is not None and value < bound:
                raise UsageError(f"{option} is too small", where=option, got=value, expected=f"{bound} or more")
        chosen = {"--gpu-devices": ",".join(map(str, self.gpu_devices)), "--gpu-backend": self.gpu_backend}
        for option, value in chosen.items():
            if value and not self.gpu:
                raise UsageError(
                    f"{option} chooses among GPUs, and rendering is on the CPU",
                    where=option,
                    got=value,
                    next_step="add --gpu",
                )
        if self.gpu_backend:
            check_word(self.gpu_backend.upper(), GPU_BACKENDS, what="GPU back end")
        for name in self.passes:
            if name not in PASSES:
                raise UsageError(
                    f"no pass is called {name!r}",
                    where="--passes",
                    expected=f"some of {','.join(PASSES)}",
                    next_step=did_you_mean(name, PASSES),
                )

    def resolved(self, spec: Spec) -> RenderOptions:
        """These options with every default filled in."""
        n_train = spec.splits.get("train", 0) if self.n_train is None else self.n_train
        scaled = max(1, round(0.08 * n_train))
        return replace(
            self,
            n_train=n_train,
            n_val=scaled if self.n_val is None else self.n_val,
            n_test=scaled if self.n_test is None else self.n_test,
            n_workers=self.n_workers or (None if self.gpu else default_n_workers()),
        )


def options_like(manifest: data.Manifest, out: Path, workers: WorkerOptions) -> RenderOptions:
    """Options that give images as those of a dataset: its size, quality, device and passes.

    Args:
        manifest: The manifest of the dataset.
        out: Where they go.
        workers: What renders them.

    Raises:
        UsageError: A GPU is chosen, and the dataset was rendered on the CPU.
    """
    gpu = manifest.render["device"] == "gpu"
    for name, value in (("gpu_devices", workers.get("gpu_devices")), ("gpu_backend", workers.get("gpu_backend"))):
        if value and not gpu:
            raise UsageError(
                "this dataset was rendered on the CPU, and so are more of its images",
                where=f"--{name.replace('_', '-')}",
                got=value,
                next_step="leave it out",
            )
    return RenderOptions(
        out=out,
        size_px=int(manifest.render["size_px"]),
        quality=str(manifest.render["quality"]),
        gpu=gpu,
        passes=passes_of(data.plan_of(manifest)),
        **workers,
    )


def passes_of(plan: data.Plan) -> tuple[str, ...]:
    """The passes beside each image of a dataset."""
    parts = (name.rpartition(".")[2] for name in plan.extensions if "." in name)
    return tuple(dict.fromkeys(name for name in parts if name in PASSES))
