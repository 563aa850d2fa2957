"""A training step of `m3di simulate` on a device, with and without a CUDA graph; run by `simulation.py --device`."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable
from typing import Any

import torch
from on_device import Figures, flops_of, matmul_tflops, peak_memory_gib, synchronise, timed, waits_of

from m3di.learn.training.precision import float32_products
from m3di.simulate import Simulation, SimulationConfig, simulation

# The mixings of all simulations are the same, and to draw them from as many as usual takes seconds.
simulation.draw_mixing = functools.cache(functools.partial(simulation.draw_mixing, n_draws=1000))  # type: ignore[attr-defined]
N_COMPARED = 30  # steps after which weights with and without a graph are compared


def simulation_of(options: argparse.Namespace, precision: str, *, graph: bool, negatives: str = "cross") -> Simulation:
    """The paper's simulation with a style that changes with probability 0.75."""
    settings: dict[str, Any] = {"precision": precision, "cuda_graph": graph, "negatives": negatives}
    return Simulation(
        SimulationConfig(
            style_change_prob=0.75, n_steps=1, device=options.device, batch_size=options.batch_size[0], **settings
        )
    )


def steps(
    options: argparse.Namespace, peak: float | None, precision: str, *, graph: bool, negatives: str = "cross"
) -> dict[str, Any]:
    """Milliseconds a step."""
    with float32_products(precision, options.device):
        simulation = simulation_of(options, precision, graph=graph, negatives=negatives)
        found = timed(simulation.step, options.device, seconds=options.seconds, n_warm=6)
        found |= {"steps_per_s": 1e3 / found["step_ms"], "peak_memory_gib": peak_memory_gib(options.device)}
        found["loss"] = simulation.step().item()
        if graph:
            return found
        if options.device == "cuda":
            found["waits"] = waits_of(simulation.step)
        found["gflop_per_step"] = flops_of(simulation.step) / 1e9
        return found | shares(found, peak)


def shares(found: dict[str, Any], peak: float | None) -> dict[str, float]:
    """The step's rate, and which share of the products' peak it is."""
    rate = found["gflop_per_step"] / found["step_ms"]
    return {"tflops": rate} | ({} if peak is None else {"share_of_bf16_peak": rate / peak})


def graph_is_exact(options: argparse.Namespace, precision: str) -> dict[str, Any]:
    """Whether a graph makes the very weights, and leaves the generator where it would be."""
    with float32_products(precision, options.device):
        made = [simulation_of(options, precision, graph=graph) for graph in (False, True, False)]
        for simulation in made:
            for _ in range(N_COMPARED):
                simulation.step()
        synchronise(options.device)
        one, graphed, again = made
        pairs = {"graph": zip(one.weights, graphed.weights, strict=True)}
        pairs["repetition"] = zip(one.weights, again.weights, strict=True)
        differences = {
            f"largest_difference_{name}": max(float((a - b).abs().max()) for a, b in each)
            for name, each in pairs.items()
        }
        same = torch.equal(one.generator.get_state(), graphed.generator.get_state())
    return {"steps": N_COMPARED, **differences, "generator_the_same": same}


def run(options: argparse.Namespace, published: Callable[[int, str], Any]) -> int:
    """All figures; the exit code."""
    device = options.device
    figures = Figures(options, "simulation")
    size = 512 if options.quick else 8192
    figures.content["settings"] = {"batch_size": options.batch_size[0], "peak_measured_with_rows": size}
    peak = figures.add("bf16_peak_tflops", lambda: matmul_tflops(device, torch.bfloat16, size, min(2, options.seconds)))
    precisions = ("bf16", "tf32", "fp32") if device == "cuda" else ("fp32",)
    for precision in precisions:
        eager = figures.add(f"{precision}", lambda p=precision: steps(options, peak, p, graph=False))
        if device != "cuda":
            continue
        name = f"{precision}_cuda_graph"
        found = figures.add(name, lambda p=precision: steps(options, peak, p, graph=True))
        if eager and found:
            found["gflop_per_step"] = eager["gflop_per_step"]  # the same step; what a graph replays is not counted
            figures.figures[name] = found | shares(found, peak)
    if device == "cuda":
        figures.add("graph_against_none_bf16", lambda: graph_is_exact(options, "bf16"))
        figures.add("graph_against_none_fp32", lambda: graph_is_exact(options, "fp32"))
    fresh = lambda: steps(options, peak, "fp32", graph=False, negatives="fresh")  # noqa: E731
    figures.add("fp32_fresh_negatives", fresh)
    figures.add("published", lambda: plain(options, published))
    figures.write()
    return figures.exit_code()


def plain(options: argparse.Namespace, published: Callable[[int, str], Any]) -> dict[str, Any]:
    """The published step, written plainly, in float32 with torch's own settings."""
    side = published(options.batch_size[0], options.device)
    found = timed(side.step, options.device, seconds=options.seconds, n_warm=2)
    return found | {"peak_memory_gib": peak_memory_gib(options.device)}
