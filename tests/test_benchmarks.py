"""Benchmarks on a device run from a checkout, and keep what they found when something fails."""

from __future__ import annotations

import argparse
import importlib
import io
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def run(name: str, out: Path, *options: str) -> tuple[subprocess.CompletedProcess[str], dict[str, object]]:
    command = [sys.executable, str(BENCHMARKS / name), "--device", "cpu", "--quick", "--json", str(out), *options]
    done = subprocess.run(
        [*command, "--seconds", "0.01", "--seconds-in-all", "400"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=out.parent,
    )
    return done, json.loads(out.read_text())


@pytest.mark.slow
def test_training_has_all_its_figures(tmp_path: Path) -> None:
    done, found = run("train.py", tmp_path / "train.json", "--no-compile", "--workers", "0", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    figures = found["figures"]
    assert isinstance(figures, dict)
    assert list(figures) == [
        "bf16_peak_tflops",
        "compute_fp32_eager",
        "drawn_dataset",
        "loader_alone_0",
        "fed_0_threads",
        "loader_alone_2",
        "fed_2_threads",
        "fed_2_threads_switching_every_0.5_ms",
        "encode_2_threads",
        "fed_2_processes",
        "plain_published",
    ]
    eager = figures["compute_fp32_eager"]
    assert eager["images_per_s"] == pytest.approx(4000 / eager["step_ms"])
    assert eager["share_of_bf16_peak"] == pytest.approx(eager["tflops"] / figures["bf16_peak_tflops"])
    assert eager["gpu_utilisation_percent"] == "not known"
    assert all(figures[name]["images_per_s"] > 0 for name in figures if name.startswith(("fed", "loader", "encode")))
    machine = found["machine"]
    assert isinstance(machine, dict) and {"torch", "python", "cores", "device"} <= set(machine)


@pytest.mark.slow
def test_the_simulation_counts_its_products(tmp_path: Path) -> None:
    done, found = run("simulation.py", tmp_path / "simulation.json", "--only", "fp32")
    assert done.returncode == 0, done.stdout + done.stderr
    figures = found["figures"]
    assert isinstance(figures, dict) and list(figures) == ["fp32", "fp32_fresh_negatives"]
    sizes = [15, 150, 750, 750, 750, 750, 150, 5]
    products = [n_in * n_out for n_in, n_out in itertools.pairwise(sizes)]
    encoders = 2 * (2 * 64) * (3 * sum(products) - products[0]) / 1e9  # two encoders, forward and twice that backward
    assert figures["fp32"]["gflop_per_step"] == pytest.approx(encoders, rel=1e-3)  # and a little for the loss
    assert "share_of_bf16_peak" not in figures["fp32"]  # the peak was not asked for


@pytest.fixture
def on_device(monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import on_device

    return on_device


def options(path: Path | None, **changes: object) -> argparse.Namespace:
    values = {"json": path, "device": "cpu", "only": None, "seconds_in_all": 60.0, **changes}
    return argparse.Namespace(**values)


@pytest.mark.slow
def test_a_figure_that_fails_leaves_the_others(tmp_path: Path, on_device: object) -> None:
    path = tmp_path / "out.json"
    figures = on_device.Figures(options(path), "trial")  # type: ignore[attr-defined]
    assert figures.add("one", lambda: 1.5) == 1.5
    assert figures.add("two", lambda: 1 / 0) is None
    assert json.loads(path.read_text())["figures"] == {"one": 1.5}
    assert figures.add("three", lambda: {"a": 2}) == {"a": 2}
    found = json.loads(path.read_text())
    assert found["figures"] == {"one": 1.5, "three": {"a": 2}}
    assert "ZeroDivisionError" in found["failures"]["two"]
    assert figures.exit_code() == 1


@pytest.mark.slow
def test_no_figure_is_begun_when_the_time_is_up(tmp_path: Path, on_device: object) -> None:
    figures = on_device.Figures(options(None, seconds_in_all=-1.0), "trial")  # type: ignore[attr-defined]
    assert figures.add("one", lambda: pytest.fail("it was measured")) is None
    assert figures.content["failures"] == {"one": "left out: the time given is up"}


@pytest.mark.slow
def test_operations_are_counted_in_place_too(on_device: object) -> None:
    import torch

    a, b, total = torch.ones(3, 4), torch.ones(4, 5), torch.zeros(3, 5)
    assert on_device.flops_of(lambda: (a @ b, total.addmm_(a, b))) == 2 * (2 * 3 * 4 * 5)  # type: ignore[attr-defined]


@pytest.mark.slow
def test_utilisation_is_not_known_without_a_gpu(on_device: object) -> None:
    with on_device.Utilisation("cpu") as used:  # type: ignore[attr-defined]
        pass
    assert used.mean == "not known"
    used.samples = [0.0, 90.0, 100.0]  # the first is of the time before
    assert used.mean == 95.0


def test_without_a_gpu_nothing_is_measured(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "gpu.py"), "--out", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        # It imports what lies beside it, which `make release` forbids the tests by PYTHONSAFEPATH.
        env={**{name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}, "PATH": str(tmp_path)},
    )
    assert done.returncode == 1
    assert "there is no NVIDIA GPU to measure" in done.stderr
    assert not (tmp_path / "out").exists()


def test_what_is_not_known_is_left_out_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    gpu = importlib.import_module("gpu")
    step = {"step_ms": 12.5, "images_per_s": 800.0, "gpu_utilisation_percent": "not known", "peak_memory_gib": 3.0}
    found = {"train": {"figures": {"fed": step}}, "render": {"ending": "exit code 1; see render.log"}}
    assert gpu.markdown(found).splitlines() == [
        "| what | figure | how |",
        "|---|---|---|",
        "| train, fed | 12.50 ms a step | 800 images/s; 3.00 GiB |",
        "",
        "render: exit code 1; see render.log",
    ]


def test_the_loader_is_compared_with_a_limit_of_as_many_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    loader = importlib.import_module("loader")
    console = loader.Console(width=130, file=io.StringIO())
    rates = {("ours, png, cache=ram", n_workers, True): 600.0 for n_workers in (0, 2)}
    rates[loader.LIMIT, 0, True] = 300.0  # read without workers only
    loader.show(["ours, png, cache=ram", loader.LIMIT], rates, [0, 2], console)
    ratios = [line for line in console.file.getvalue().splitlines() if loader.LIMIT in line and "=" in line]
    assert [line for line in ratios if " / " in line] == [
        f"0 workers, shuffled: ours, cache=ram / {loader.LIMIT} = 2.00"
    ]
