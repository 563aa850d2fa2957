"""What benchmarks on a device share: the machine, its speed limits, timing that waits, and figures kept as they come.

Works without an installed m3di: the checkout that this file lies in is put on the path.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import os
import platform
import statistics
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gpu_machine import ask_driver

ROOT = Path(__file__).resolve().parents[1]


def reach_m3di() -> None:
    """Make m3di importable from a checkout that is not installed."""
    if importlib.util.find_spec("m3di") is None:
        sys.path.insert(0, str(ROOT))


reach_m3di()

import torch  # noqa: E402

NOT_KNOWN = "not known"


def machine(device: str) -> dict[str, Any]:
    """Card, driver, versions and cores."""
    found: dict[str, Any] = {
        "device": device,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "platform": f"{platform.machine()} {platform.system()} {platform.release()}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        found |= {
            "card": properties.name,
            "card_memory_gib": round(properties.total_memory / 2**30, 1),
            "multiprocessors": properties.multi_processor_count,
            "driver": next(iter(ask_driver("driver_version")), NOT_KNOWN),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    return found


class Utilisation:
    """Samples the share of time in which the GPU is busy inside the block; "not known" if nothing tells."""

    def __init__(self, device: str, interval_s: float = 0.1) -> None:
        self.samples: list[float] = []
        self._interval_s, self._read = interval_s, _utilisation_reader() if device == "cuda" else None
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Utilisation:
        if self._read is not None:
            self._thread = threading.Thread(target=self._sample, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        if self._thread is not None:
            self._thread.join(timeout=25)

    def _sample(self) -> None:
        while not self._end.wait(self._interval_s):
            try:
                self.samples.append(float(self._read()))  # type: ignore[misc]
            except Exception:
                return

    @property
    def mean(self) -> float | str:
        """Percent; the first sample is of the time before."""
        later = self.samples[1:] or self.samples
        return round(statistics.fmean(later), 1) if later else NOT_KNOWN


def _utilisation_reader() -> Callable[[], float] | None:
    try:
        torch.cuda.utilization()
    except Exception:
        query = ("utilization.gpu", "csv,noheader,nounits")
        return (lambda: float(next(iter(ask_driver(*query)), "nan"))) if ask_driver(*query) else None
    return torch.cuda.utilization


def synchronise(device: str) -> None:
    """Wait until the device has done all that it was asked for."""
    if device == "cuda":
        torch.cuda.synchronize()


def release(device: str) -> None:
    """Free what the figure before used, so that the next starts alike."""
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_memory_gib(device: str) -> float | str:
    """Most memory that tensors held at once on the GPU since `release`."""
    return round(torch.cuda.max_memory_allocated() / 2**30, 3) if device == "cuda" else NOT_KNOWN


def timed(step: Callable[[], object], device: str, *, seconds: float, n_warm: int, least: int = 3) -> dict[str, Any]:
    """Milliseconds a step: rounds of steps with a wait at the end of each, for some seconds; median and spread."""
    for _ in range(n_warm):
        step()
    synchronise(device)
    start = time.perf_counter()
    step()
    synchronise(device)
    once = time.perf_counter() - start
    n = max(1, min(50, round(seconds / 6 / max(once, 1e-6))))  # steps a round, so that about six rounds are made
    rounds = []
    with Utilisation(device) as used:
        until = time.perf_counter() + seconds
        while len(rounds) < least or time.perf_counter() < until:
            start = time.perf_counter()
            for _ in range(n):
                step()
            synchronise(device)
            rounds.append((time.perf_counter() - start) / n * 1e3)
    return {
        "step_ms": statistics.median(rounds),
        "step_ms_least": min(rounds),
        "step_ms_most": max(rounds),
        "n_steps": n * len(rounds),
        "gpu_utilisation_percent": used.mean,
    }


def matmul_tflops(device: str, dtype: torch.dtype, size: int, seconds: float) -> float:
    """Best rate of a square product of that many rows, on random numbers."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    found = timed(lambda: torch.mm(a, b, out=out), device, seconds=seconds, n_warm=3)
    return 2 * size**3 / found["step_ms_least"] / 1e9


def flops_of(step: Callable[[], object]) -> int:
    """Floating-point operations of the convolutions and matrix products of a step, forward and backward."""
    from torch.utils.flop_counter import FlopCounterMode

    def addmm_(_self: Any, a: Any, b: Any, **_: Any) -> int:
        return 2 * a[0] * a[1] * b[1]

    with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.addmm_: addmm_}) as counter:
        step()
    return int(counter.get_total_flops())


def waits_of(step: Callable[[], object]) -> list[str]:
    """What makes the host wait for the GPU in a step, as torch tells of it: a line each."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    lines = [f"{Path(each.filename).name}:{each.lineno} {str(each.message).splitlines()[0]}" for each in caught]
    return [line for line in lines if "synchron" in line]


class Figures:
    """Figures by name, printed and written to a file as they come; one that fails leaves its reason and no gap.

    Args:
        options: With those of `add_options`.
        title: Of what.
    """

    def __init__(self, options: argparse.Namespace, title: str) -> None:
        self.path, self.device, self.only = options.json, options.device, options.only
        self.until = time.perf_counter() + options.seconds_in_all
        self.content: dict[str, Any] = {
            "benchmark": title,
            "command": " ".join(sys.argv),
            "machine": machine(self.device),
            "figures": {},
            "failures": {},
        }
        print(
            f"{title}: " + ", ".join(f"{name} {value}" for name, value in self.content["machine"].items()), flush=True
        )
        self.write()

    @property
    def figures(self) -> dict[str, Any]:
        """What has been found."""
        return self.content["figures"]

    def add(self, name: str, measure: Callable[[], Any]) -> Any:
        """Measure, print and keep a figure; None if it fails, is not wanted, or the time is up."""
        if self.only and not any(name.startswith(start) for start in self.only):
            return None
        if time.perf_counter() > self.until:
            self.content["failures"][name] = "left out: the time given is up"
            print(f"{name}: left out, the time given is up", flush=True)
            self.write()
            return None
        start = time.perf_counter()
        found = None
        try:
            release(self.device)
            found = measure()
            self.figures[name] = found
            print(f"{name}: {_shown(found)}  [{time.perf_counter() - start:.0f} s]", flush=True)
        except Exception as error:
            self.content["failures"][name] = "".join(traceback.format_exception(error))[-4000:]
            print(f"{name}: FAILED, {type(error).__name__}: {str(error)[:500]}", flush=True)
        self.write()
        return found

    def write(self) -> None:
        """Write all that has been found to the file, if one is wanted."""
        if self.path is not None:
            partial = self.path.with_name(self.path.name + ".partial")
            partial.write_text(json.dumps(self.content, indent=1, default=str) + "\n", encoding="utf-8")
            partial.replace(self.path)

    def exit_code(self) -> int:
        """1 where a figure failed."""
        return 1 if self.content["failures"] else 0


def _shown(found: Any) -> str:
    if isinstance(found, dict):
        return ", ".join(f"{name} {_shown(value)}" for name, value in found.items())
    return f"{found:.4g}" if isinstance(found, float) else str(found)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that all benchmarks on a device share."""
    parser.add_argument("--device", choices=("cpu", "cuda"), help="measure on this device")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there, as they come")
    parser.add_argument("--quick", action="store_true", help="small sizes and short rounds: does it run?")
    parser.add_argument("--seconds", type=float, help="of each timed figure  [default: 2, or 0.1 with --quick]")
    parser.add_argument(
        "--seconds-in-all", type=float, default=80.0, help="with --device: no figure is begun after that"
    )
    parser.add_argument("--only", nargs="+", metavar="START", help="with --device: figures whose names start so")


def settle(options: argparse.Namespace) -> None:
    """Fill in what was left open, and see that the device is there."""
    if options.seconds is None:
        options.seconds = 0.1 if options.quick else 2.0
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit(f"torch {torch.__version__} finds no CUDA device")
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)


@contextmanager
def switch_interval(seconds: float | None) -> Iterator[None]:
    """Have Python's lock change hands after that long at most, within."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(before if seconds is None else seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
