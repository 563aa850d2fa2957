"""A training step of `m3di train` on a device: alone, compiled, fed by the loader; run by `train.py --device`."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from on_device import (
    Figures,
    Utilisation,
    flops_of,
    matmul_tflops,
    peak_memory_gib,
    release,
    switch_interval,
    synchronise,
    timed,
    waits_of,
)
from torch import Tensor

from m3di.data import Multimodal3DIdent
from m3di.learn import SymInfoNCE, TrainConfig
from m3di.learn.models.encoder_set import Encoders, build_encoders
from m3di.learn.training.device import tuned_convolutions
from m3di.learn.training.inputs import ImageStatistics, TrainingOrder, ViewInput, view_inputs
from m3di.learn.training.loading import batch_loader, to_device
from m3di.learn.training.precision import float32_products
from m3di.learn.training.step import ContrastiveStep, make_optimizer
from m3di.learn.training.update import Updater

STATISTICS = ImageStatistics((0.4, 0.4, 0.4), (0.2, 0.2, 0.2), 1)
N_TOKENS, N_WORDS = 28, 120
Batch = dict[str, Tensor]


class Training:
    """Encoders, loss and optimiser as `m3di train` has them, and a step of theirs from a batch on the device."""

    def __init__(
        self, inputs: dict[str, ViewInput], batch_size: int, device: str, precision: str, *, compiled: bool = False
    ) -> None:
        torch.manual_seed(0)
        self.device, self.precision, self.n_made = torch.device(device), precision, 0
        config = TrainConfig(n_steps=1, batch_size=batch_size, lr=1e-5)
        self.encoders: Encoders = build_encoders(inputs, config, {"image": STATISTICS}).to(device).train()
        self.module = ContrastiveStep(self.encoders, SymInfoNCE(), precision, compiled=compiled).to(self.device)
        optimizer = make_optimizer(self.module, config)
        late = device == "cuda"
        self.updater = Updater(optimizer, self.module.parameters(), 2.0, lambda: self.module.loss.tau, late=late)

    def step(self, batch: Batch) -> None:
        """One step; its loss is read with the next one on a GPU, as in `m3di train`."""
        self.n_made += 1
        loss, _ = self.module(to_device(batch, self.device))
        self.updater.make(self.n_made, loss, 1e-5)


def synthetic(options: argparse.Namespace) -> tuple[dict[str, ViewInput], Batch]:
    """Views and a batch of noise, on the device."""
    size = options.size
    images = torch.randint(0, 256, (options.batch_size, size, size, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    tokens = torch.randint(1, N_WORDS, (options.batch_size, N_TOKENS))
    inputs = {"image": ViewInput("image"), "text": ViewInput("text", N_WORDS, 0, "")}
    return inputs, to_device({"image": images, "text": tokens}, torch.device(options.device))


def compute_only(options: argparse.Namespace, peak: float | None, precision: str, *, compiled: bool) -> dict[str, Any]:
    """A step on one batch that is on the device already."""
    inputs, batch = synthetic(options)
    with tuned_convolutions(options.device), float32_products(precision, options.device):
        training = Training(inputs, options.batch_size, options.device, precision, compiled=compiled)
        found: dict[str, Any] = {"precision": precision}
        start = time.perf_counter()
        training.step(batch)
        synchronise(options.device)
        found["first_step_s"] = time.perf_counter() - start
        found |= timed(lambda: training.step(batch), options.device, seconds=options.seconds, n_warm=3)
        found |= {"images_per_s": options.batch_size / found["step_ms"] * 1e3}
        found |= {"peak_memory_gib": peak_memory_gib(options.device)}
        if options.device == "cuda":
            found["waits"] = waits_of(lambda: training.step(batch))
        if not compiled:
            found["gflop_per_step"] = flops_of(lambda: training.step(batch)) / 1e9
            found |= shares(found, peak)
        training.updater.flush()
    return found


def shares(found: dict[str, Any], peak: float | None) -> dict[str, float]:
    """The step's rate, and which share of the products' peak it is."""
    rate = found["gflop_per_step"] / found["step_ms"]
    return {"tflops": rate} | ({} if peak is None else {"share_of_bf16_peak": rate / peak})


def plain(options: argparse.Namespace, step_of: Callable[[Tensor, Tensor, int], Callable[[], float]]) -> dict[str, Any]:
    """The published step, written plainly, in float32 with torch's own settings."""
    _, batch = synthetic(options)
    step = step_of(batch["image"], batch["text"], N_WORDS)
    found = timed(step, options.device, seconds=options.seconds, n_warm=3)
    found |= {"images_per_s": options.batch_size / found["step_ms"] * 1e3}
    return found | {"peak_memory_gib": peak_memory_gib(options.device)}


def batches_of(dataset: Any, options: argparse.Namespace, n_workers: int, kind: Any) -> Iterator[Batch]:
    """Batches without end, as `m3di train` loads them."""
    order = TrainingOrder(len(dataset), options.batch_size, 10**6, 0)
    device = torch.device(options.device)
    return batch_loader(dataset, ("image", "text"), order, n_workers=n_workers, device=device, kind=kind)


def loader_alone(dataset: Any, options: argparse.Namespace, n_workers: int, kind: str) -> dict[str, Any]:
    """Measure the images a second of the loader alone."""
    with closing(batches_of(dataset, options, n_workers, kind)) as batches:  # type: ignore[type-var]
        for _ in range(n_workers + 2):  # what was read while nobody took it does not count
            next(batches)
        start, n = time.perf_counter(), 0
        while time.perf_counter() - start < options.seconds or n < 2:
            next(batches)
            n += 1
        rate = n * options.batch_size / (time.perf_counter() - start)
    return {"images_per_s": rate, "n_batches": n}


def fed(
    dataset: Any, options: argparse.Namespace, n_workers: int, kind: str, interval: float | None = None
) -> dict[str, Any]:
    """Training steps on what the loader gives."""
    precision = "bf16" if options.device == "cuda" else "fp32"
    with tuned_convolutions(options.device), float32_products(precision, options.device), switch_interval(interval):
        training = Training(view_inputs(dataset, ("image", "text")), options.batch_size, options.device, precision)
        with closing(batches_of(dataset, options, n_workers, kind)) as batches:  # type: ignore[type-var]
            for _ in range(n_workers + 4):
                training.step(next(batches))
            synchronise(options.device)
            with Utilisation(options.device) as used:
                start, n = time.perf_counter(), 0
                while time.perf_counter() - start < options.seconds or n < 2:
                    training.step(next(batches))
                    n += 1
                synchronise(options.device)
                seconds = time.perf_counter() - start
        training.updater.flush()
    return {
        "step_ms": seconds / n * 1e3,
        "images_per_s": n * options.batch_size / seconds,
        "n_steps": n,
        "gpu_utilisation_percent": used.mean,
        "peak_memory_gib": peak_memory_gib(options.device),
    }


def encoding(dataset: Any, options: argparse.Namespace, n_workers: int) -> dict[str, Any]:
    """Images a second through the image encoder in evaluation mode, as `m3di evaluate` encodes them."""
    device = torch.device(options.device)
    encoders = Training(view_inputs(dataset, ("image", "text")), options.batch_size, options.device, "fp32").encoders
    encoders.eval()
    rounds = []
    for _ in range(3):
        order = [
            list(range(start, min(start + options.batch_size, len(dataset))))
            for start in range(0, len(dataset), options.batch_size)
        ]
        start_s = time.perf_counter()
        loader = batch_loader(dataset, ("image",), order, n_workers=n_workers, device=device)
        with torch.inference_mode(), closing(loader), float32_products("fp32", options.device):
            z = [encoders.encode("image", to_device(batch, device)["image"]) for batch in loader]
            torch.cat(z).cpu()
        rounds.append(len(dataset) / (time.perf_counter() - start_s))
    return {"images_per_s": sorted(rounds)[1], "n_images": len(dataset)}


def drawn(root: Path, n: int, size_px: int) -> Path:
    """A dataset of drawn scenes in our format."""
    from loader import scenes
    from loader_sides import write_ours

    write_ours(root, list(scenes(n, size_px, None)), "png")
    return root


def run(options: argparse.Namespace, plain_step: Any) -> int:
    """All figures; the exit code."""
    device = options.device
    figures = Figures(options, "train")
    figures.content["settings"] = {"batch_size": options.batch_size, "size_px": options.size}
    size = 512 if options.quick else 8192
    peak = figures.add("bf16_peak_tflops", lambda: matmul_tflops(device, torch.bfloat16, size, min(2, options.seconds)))
    figures.content["settings"]["peak_measured_with_rows"] = size
    best = "bf16" if device == "cuda" else "fp32"
    figures.add(f"compute_{best}_eager", lambda: compute_only(options, peak, best, compiled=False))
    with tempfile.TemporaryDirectory() as scratch:
        n = options.n or (4 * options.batch_size)
        made = options.data or figures.add("drawn_dataset", lambda: drawn(Path(scratch) / "drawn", n, options.size))
        if made is not None:
            add_fed(figures, options, Multimodal3DIdent(made, split="train", views=("image", "text")))
    for precision in ("tf32", "fp32") if device == "cuda" else ():
        figures.add(f"compute_{precision}_eager", lambda p=precision: compute_only(options, peak, p, compiled=False))
    figures.add("plain_published", lambda: plain(options, plain_step))
    if not options.no_compile:
        found = figures.add(f"compute_{best}_compiled", lambda: compute_only(options, peak, best, compiled=True))
        eager = figures.figures.get(f"compute_{best}_eager")
        if found and eager:
            found["gflop_per_step"] = eager["gflop_per_step"]  # of the same model: what is compiled is not counted
            figures.figures[f"compute_{best}_compiled"] = found | shares(found, peak)
    figures.write()
    release(device)
    return figures.exit_code()


def add_fed(figures: Figures, options: argparse.Namespace, dataset: Any) -> None:
    """What the loader gives, and training on it."""
    for n_workers in options.workers:
        figures.add(f"loader_alone_{n_workers}", lambda n=n_workers: loader_alone(dataset, options, n, "threads"))
        figures.add(f"fed_{n_workers}_threads", lambda n=n_workers: fed(dataset, options, n, "threads"))
    most = max(options.workers)
    figures.add(
        f"fed_{most}_threads_switching_every_0.5_ms", lambda: fed(dataset, options, most, "threads", interval=5e-4)
    )
    figures.add(f"encode_{most}_threads", lambda: encoding(dataset, options, most))
    figures.add(f"fed_{most}_processes", lambda: fed(dataset, options, most, "processes"))
