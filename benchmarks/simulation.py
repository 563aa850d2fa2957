"""A training step of the numerical simulation: ours against a plain version of the published one, in one run.

    python benchmarks/simulation.py
    python benchmarks/simulation.py --batch-size 1024 --steps 20 --sides published fresh-fp32
    python benchmarks/simulation.py --device cuda --json simulation.json     # figures of ours on a GPU

Sides: `published` draws a second batch of negatives of each anchor's own modality, takes distances by broadcasting
differences, in float32, as the published simulation does, written plainly; `fresh-fp32` and `fresh-bf16` are
`m3di simulate --negatives fresh`, the same objective; `cross-fp32` is equation 4, the default of m3di simulate.
All train the paper's encoders (d = 15). Each measurement is a process of its own, under both settings of the
allocator: as the C library has it, and told to keep freed memory.

With --device: milliseconds a step in bf16, TF32 and float32, with and without a CUDA graph, and whether the two make
the same weights.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import time

import torch
from on_device import add_options, settle
from torch import nn

SIDES = ("published", "fresh-fp32", "fresh-bf16", "cross-fp32")
ALLOCATORS = {
    "default": {},
    "keeps": {"MALLOC_TRIM_THRESHOLD_": str(2**40), "MALLOC_MMAP_MAX_": "0", "MALLOC_TOP_PAD_": str(2**26)},
}


class PublishedStep:
    """The published step, plainly: sampling, mixing, four encodings, two losses, Adam."""

    def __init__(self, batch_size: int, device: str = "cpu") -> None:
        torch.manual_seed(0)
        self.batch_size, self.device = batch_size, device
        self.mixings = [self._mlp([15] * 4, 0.2, bias=False) for _ in range(2)]
        self.mixings = [mixing.to(device) for mixing in self.mixings]
        for parameter in itertools.chain(*(mixing.parameters() for mixing in self.mixings)):
            parameter.requires_grad_(False)
        self.encoders = [self._mlp([15, 150, 750, 750, 750, 750, 150, 5], 0.01).to(device) for _ in range(2)]
        self.weights = [weight for encoder in self.encoders for weight in encoder.parameters()]
        self.optimizer = torch.optim.Adam(self.weights, lr=1e-4)

    @staticmethod
    def _mlp(sizes: list[int], slope: float, bias: bool = True) -> nn.Sequential:
        layers: list[nn.Module] = []
        for n_in, n_out in itertools.pairwise(sizes):
            layers += [nn.Linear(n_in, n_out, bias=bias), nn.LeakyReLU(slope)]
        return nn.Sequential(*layers[:-1])

    def sample(self) -> tuple[torch.Tensor, torch.Tensor]:
        def normal() -> torch.Tensor:
            return torch.randn(self.batch_size, 5, device=self.device)

        content, style, modality1, modality2 = normal(), normal(), normal(), normal()
        change = torch.distributions.Binomial(probs=torch.tensor(0.75, device=self.device)).sample((self.batch_size, 5))
        return torch.cat([content, style, modality1], 1), torch.cat([content, style + change * normal(), modality2], 1)

    def direction(self, anchors: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
        apart = (anchors[:, None] - negatives[None]).pow(2).sum(-1)  # [K, K], by way of [K, K, 5]
        together = (anchors - positives).pow(2).sum(-1)  # [K]
        logits = -torch.cat([apart, together[:, None]], 1)
        mean_exp = torch.logsumexp(logits, 1) - torch.log(torch.tensor(float(logits.shape[1])))
        return (together + mean_exp).mean()

    def step(self) -> float:
        self.optimizer.zero_grad()
        views, others = self.sample(), self.sample()
        z1, z2 = (self.encoders[k](self.mixings[k](views[k])) for k in (0, 1))
        fresh1, fresh2 = (self.encoders[k](self.mixings[k](others[k])) for k in (0, 1))
        loss = (self.direction(z1, z2, fresh1) + self.direction(z2, z1, fresh2)) / 2
        loss.backward()
        nn.utils.clip_grad_norm_(self.weights, 2.0)
        self.optimizer.step()
        return loss.item()


def step_of(side: str, batch_size: int) -> object:
    if side == "published":
        return PublishedStep(batch_size)
    from m3di.simulate import Simulation, SimulationConfig

    negatives, precision = side.split("-")
    settings = {"style_change_prob": 0.75, "n_steps": 1, "device": "cpu", "batch_size": batch_size}
    return Simulation(SimulationConfig(negatives=negatives, precision=precision, **settings))


def measure(side: str, batch_size: int, n_steps: int) -> dict[str, float]:
    """Median seconds of a step after one to warm up, and the process's peak memory."""
    simulation = step_of(side, batch_size)
    simulation.step()
    seconds = []
    for _ in range(n_steps):
        start = time.perf_counter()
        simulation.step()
        seconds.append(time.perf_counter() - start)
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return {"seconds": sorted(seconds)[len(seconds) // 2], "peak_gb": peak_gb}


def gemm_gflops(dtype: torch.dtype, batch_size: int) -> float:
    """Best rate of the encoders' largest product, [batch, 750] by [750, 750]."""
    a, b = torch.randn(batch_size, 750).to(dtype), torch.randn(750, 750).to(dtype)
    best = float("inf")
    until = time.perf_counter() + 3
    while time.perf_counter() < until:
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return 2 * batch_size * 750**2 / best / 1e9


def encoder_gflop(side: str, batch_size: int) -> float:
    """Matrix products of a step's encoders: forward, and twice that backward (first layer: once)."""
    sizes = [15, 150, 750, 750, 750, 750, 150, 5]
    products = [n_in * n_out for n_in, n_out in itertools.pairwise(sizes)]
    n_samples = batch_size * (2 if side.startswith("cross") else 4)
    return 2 * n_samples * (3 * sum(products) - products[0]) / 1e9


def in_a_process(arguments: list[str], environment: dict[str, str]) -> dict[str, float]:
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def has_fast_bf16() -> bool:
    """Whether this CPU multiplies in bf16; else it is emulated, many times slower than float32."""
    return any(flag in torch.backends.cpu.get_cpu_capability() for flag in ("AMX", "BF16")) or any(
        getattr(torch.cpu, name, bool)() for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument(
        "--batch-size", type=int, nargs="+", help="[default: 1024 6144; with --device 6144 or, quick, 64]"
    )
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--sides", nargs="+", default=list(SIDES), choices=SIDES)
    parser.add_argument("--allocators", nargs="+", default=list(ALLOCATORS), choices=list(ALLOCATORS))
    parser.add_argument("--measure", choices=[*SIDES, "gemm-fp32", "gemm-bf16"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.device:
        settle(options)
        options.batch_size = options.batch_size or [64 if options.quick else 6144]
        from simulation_figures import run

        sys.exit(run(options, PublishedStep))
    options.batch_size = options.batch_size or [1024, 6144]
    if options.measure:
        (batch_size,) = options.batch_size
        kind, _, precision = options.measure.partition("-")
        if kind == "gemm":
            dtype = torch.float32 if precision == "fp32" else torch.bfloat16
            print(json.dumps({"gflops": gemm_gflops(dtype, batch_size)}))
        else:
            print(json.dumps(measure(options.measure, batch_size, options.steps)))
        return
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}")
    if not has_fast_bf16():
        print("this CPU has no bf16 products (AVX-512 BF16 or AMX): bf16 sides are left out")
        options.sides = [side for side in options.sides if not side.endswith("bf16")]
    for batch_size in options.batch_size:
        compare(batch_size, options)


def compare(batch_size: int, options: argparse.Namespace) -> None:
    """Print one table."""
    limits = {
        precision: in_a_process(["--measure", f"gemm-{precision}", "--batch-size", str(batch_size)], {})["gflops"]
        for precision in ({"fp32"} | {side.partition("-")[2] for side in options.sides if "-" in side})
    }
    print(f"\nbatch {batch_size}; products reach " + ", ".join(f"{v:.0f} GFLOP/s ({k})" for k, v in limits.items()))
    titles = f"{'s/step':>8} {'peak GB':>8} {'of GEMM limit':>13} {'times faster':>12} {'of peak':>8}"
    print(f"{'side':12} {'allocator':9} {titles}")
    for allocator in options.allocators:
        base = None
        for side in options.sides:
            arguments = ["--measure", side, "--batch-size", str(batch_size), "--steps", str(options.steps)]
            got = in_a_process(arguments, ALLOCATORS[allocator])
            base = got if side == "published" else base
            share = encoder_gflop(side, batch_size) / got["seconds"] / limits[side.partition("-")[2] or "fp32"]
            line = f"{side:12} {allocator:9} {got['seconds']:8.3f} {got['peak_gb']:8.2f} {share:13.0%}"
            if base is not None:
                line += f" {base['seconds'] / got['seconds']:12.2f} {got['peak_gb'] / base['peak_gb']:8.2f}"
            print(line, flush=True)


if __name__ == "__main__":
    main()
