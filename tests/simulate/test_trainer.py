"""Training: resumes to the bit, refuses what does not fit, and finds a known optimum."""

from __future__ import annotations

import json
import math
import os
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from m3di.errors import M3diError, UsageError
from m3di.learn import SymInfoNCE
from m3di.learn.training.run_folder import hold_run
from m3di.simulate import LatentProcess, Simulation, SimulationConfig, draw_mixing, evaluate, simulate, train
from m3di.simulate.encoder import MLPEncoder
from m3di.simulate.graphed_step import GraphedStep

TINY = {"n_content": 1, "n_style": 1, "n_modality": 1, "batch_size": 16, "n_steps": 12, "n_eval": 30, "device": "cpu"}


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    """Mixings of the true kind, from fewer candidates."""
    monkeypatch.setattr("m3di.simulate.mixing.draw_mixing.__kwdefaults__", {"n_draws": 1000, "n_layers": 3})


class Killed(Exception):
    pass


def kill_at(last):
    def kill(step, loss):
        if step == last:
            raise Killed

    return kill


def told(run):
    """Steps and losses of metrics.csv, as they stand there."""
    return [line.split(",")[:2] for line in (run / "metrics.csv").read_text().splitlines()]


def weights(simulation):
    return [weight.detach().clone() for weight in simulation.weights]


@pytest.mark.parametrize(
    "options",
    [
        {"negatives": "fresh", "statistical": True, "causal": True, "schedule": "cosine", "widths": (2, 3)},
        pytest.param({}, marks=pytest.mark.slow),
        pytest.param({"shared_encoder": True}, marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_goes_on_to_the_same_weights(tmp_path, options):
    config = SimulationConfig(**TINY, **options, log_every=3, checkpoint_every=5)
    whole = Simulation(config)
    train(whole, tmp_path / "whole")

    with pytest.raises(Killed):
        train(Simulation(config), tmp_path / "killed", kill_at(9))
    resumed = Simulation(config)
    steps = []
    train(resumed, tmp_path / "killed", lambda step, loss: steps.append(step))
    assert steps == [6, 9, 12]  # the checkpoint was that of step 5
    for a, b in zip(weights(whole), weights(resumed), strict=True):
        assert torch.equal(a, b)
    lines = [told(tmp_path / name) for name in ("whole", "killed")]
    assert lines[0][0] == ["step", "loss"] and [line[0] for line in lines[0][1:]] == ["3", "6", "9", "12"]
    assert lines[1] == lines[0]  # line 6 is of step 4 too, which the process that was killed had made


def test_a_checkpoint_of_before_it_held_losses_goes_on(tmp_path):
    config = SimulationConfig(**TINY, log_every=3, checkpoint_every=5)
    with pytest.raises(Killed):
        train(Simulation(config), tmp_path, kill_at(9))
    path = tmp_path / "checkpoint.safetensors"
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    assert int(tensors.pop("tally.since")) == 3 and float(tensors.pop("tally.total")) > 0
    save_file(tensors, path, metadata=metadata)
    steps = []
    train(Simulation(config), tmp_path, lambda step, loss: steps.append((step, math.isfinite(loss))))
    assert steps == [(6, True), (9, True), (12, True)]


def test_config_json_says_what_was_run(tmp_path):
    config = SimulationConfig(**TINY, shared_mixing=True)
    simulation = Simulation(config)
    train(simulation, tmp_path)
    content = json.loads((tmp_path / "config.json").read_text())
    assert content["config"]["n_steps"] == 12
    assert content["condition_numbers"]["mixing1"] == simulation.mixing1.condition_numbers()
    assert len(content["condition_numbers"]["mixing2"]) == 3
    assert "modality-specific latents" in content["notes"][0]


def test_the_cosine_schedule_ends_near_zero():
    simulation = Simulation(SimulationConfig(**TINY, schedule="cosine"))
    rates = []
    for _ in range(12):
        simulation.step()
        rates.append(simulation.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([simulation.config.lr * (1 + math.cos(math.pi * k / 12)) / 2 for k in range(12)])


def test_a_run_from_before_an_option_existed_goes_on(tmp_path):
    config = SimulationConfig(**TINY)
    train(Simulation(config), tmp_path)
    content = json.loads((tmp_path / "config.json").read_text())
    for name in ("covariances", "widths", "schedule", "whiten"):
        del content["config"][name]
    (tmp_path / "config.json").write_text(json.dumps(content))
    train(Simulation(config), tmp_path)
    with pytest.raises(M3diError, match=r"widths \["):
        train(Simulation(SimulationConfig(**{**TINY, "widths": (3,)})), tmp_path)


def test_another_run_in_the_folder_is_refused(tmp_path):
    train(Simulation(SimulationConfig(**TINY)), tmp_path)
    with pytest.raises(M3diError, match="the run folder already holds a run, and it is another one"):
        train(Simulation(SimulationConfig(**{**TINY, "lr": 0.5})), tmp_path)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    train(Simulation(SimulationConfig(**TINY)), tmp_path)
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(M3diError, match="the checkpoint is damaged"):
        train(Simulation(SimulationConfig(**TINY)), tmp_path)


def test_a_damaged_config_is_refused(tmp_path):
    for text, message in (("{", "config.json is not JSON"), ("[]", "config.json is not a JSON object")):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(M3diError, match=message):
            train(Simulation(SimulationConfig(**TINY)), tmp_path)


def kept_numbers(run):
    with safe_open(run / "checkpoint.safetensors", framework="pt") as file:
        return file.metadata()["step"], all(file.get_tensor(name).isfinite().all() for name in file.keys())  # noqa: SIM118


@pytest.mark.parametrize(("log_every", "spoilt_at", "kept"), [(4, 8, "6"), (1, 7, "6"), (1, 12, "10")])
def test_a_loss_that_is_not_finite_stops_with_the_last_good_checkpoint(tmp_path, log_every, spoilt_at, kept):
    simulation = Simulation(SimulationConfig(**TINY, log_every=log_every, checkpoint_every=2))

    def spoil(step, loss):
        if step == spoilt_at:
            nn.init.constant_(simulation.weights[0], float("nan"))

    with pytest.raises(M3diError, match=rf"the loss is no longer finite(?s:.)*lower lr(?s:.)*of step {kept}, was kept"):
        train(simulation, tmp_path, spoil)
    assert kept_numbers(tmp_path) == (kept, True)


def test_a_checkpoint_between_two_lines_of_metrics_is_finite_too(tmp_path):
    config = SimulationConfig(**{**TINY, "lr": 1e30}, log_every=12, checkpoint_every=3)
    message = r"no longer finite(?s:.)*before step 3 of 12(?s:.)*a mean loss of (nan|inf)(?s:.)*there is no checkpoint"
    for _ in range(2):  # and the same command does not go on from a bad one
        with pytest.raises(M3diError, match=message):
            train(Simulation(config), tmp_path)
        assert not (tmp_path / "checkpoint.safetensors").exists()


def test_weights_that_are_not_finite_are_no_checkpoint(tmp_path):
    """Their step's loss was that of before the step."""
    simulation = Simulation(SimulationConfig(**TINY, checkpoint_every=1, log_every=1))

    def spoil(step, loss):
        nn.init.constant_(simulation.optimizer.state[simulation.weights[0]]["exp_avg"], float("inf"))

    with pytest.raises(M3diError, match=r"no longer finite(?s:.)*weights that are not finite(?s:.)*no checkpoint yet"):
        train(simulation, tmp_path, spoil)
    assert not (tmp_path / "checkpoint.safetensors").exists()


def test_a_checkpoint_that_is_not_finite_is_refused(tmp_path):
    config = SimulationConfig(**TINY)
    train(Simulation(config), tmp_path)
    path = tmp_path / "checkpoint.safetensors"
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    tensors["encoder1.layers.0.weight"][0, 0] = float("nan")
    save_file(tensors, path, metadata=metadata)
    message = r"not finite, and nothing can go on from it(?s:.)*encoder1.layers.0.weight(?s:.)*lower lr"
    with pytest.raises(M3diError, match=message):
        train(Simulation(config), tmp_path)


def test_config_json_has_the_settings_of_the_last_training_and_evaluation(tmp_path):
    config = SimulationConfig(**{**TINY, "n_eval": 12}, log_every=3, checkpoint_every=5)
    with pytest.raises(Killed):
        train(Simulation(config), tmp_path, kill_at(9))
    simulate(replace(config, log_every=2, checkpoint_every=4), tmp_path)
    kept = json.loads((tmp_path / "config.json").read_text())
    assert [kept["config"][name] for name in ("log_every", "checkpoint_every", "n_eval")] == [2, 4, 12]
    results = simulate(replace(config, n_eval=20, eval_seed=7, log_every=6), tmp_path)
    again = json.loads((tmp_path / "config.json").read_text())
    assert (
        (again["config"]["n_eval"], again["config"]["eval_seed"])
        == (20, 7)
        == (
            results["n_eval"],
            results["eval_seed"],
        )
    )
    assert again["config"]["log_every"] == 2  # nothing was trained in lines of 6 steps
    assert {**again, "config": None} == {**kept, "config": None}


def test_python_has_the_precision_that_was_asked_for(tmp_path, monkeypatch):
    """Every product of the encoders; what it does on a GPU is tested in tests/learn."""
    active, seen = [], []

    @contextmanager
    def recorded(precision, device):
        active.append((precision, device))
        yield
        active.pop()

    forward = MLPEncoder.forward

    def watched(encoder, x):
        seen.append(active[-1] if active else None)
        return forward(encoder, x)

    for module in ("trainer", "judge", "simulation"):
        monkeypatch.setattr(f"m3di.simulate.{module}.float32_products", recorded)
    monkeypatch.setattr(MLPEncoder, "forward", watched)
    simulation = Simulation(SimulationConfig(**TINY, precision="bf16"))
    simulation.step()
    simulation.encode(simulation.process.sample(3, simulation.generator))
    train(simulation, tmp_path)
    evaluate(simulation)
    assert len(seen) > 2 * 12 and set(seen) == {("bf16", "cpu")} and not active


@pytest.mark.slow
def test_the_checkpoint_of_another_device_is_refused(tmp_path):
    """A GPU's generator has a state of 16 bytes; torch alone would say so in words of its own."""
    config = SimulationConfig(**TINY, checkpoint_every=4)
    train(Simulation(config), tmp_path)
    path = tmp_path / "checkpoint.safetensors"
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        assert file.metadata() == {"step": "12", "device": "cpu"}
    tensors["generator"] = torch.zeros(16, dtype=torch.uint8)
    for metadata in ({"step": "12", "device": "cuda"}, {"step": "12"}):  # the latter as they were before
        save_file(tensors, path, metadata=metadata)
        before = path.read_bytes()
        with pytest.raises(
            M3diError, match=r"another kind of device(?s:.)*made on cuda, a run on cpu(?s:.)*--device cuda"
        ):
            train(Simulation(config), tmp_path)
        assert path.read_bytes() == before


@pytest.mark.slow
def test_config_json_names_the_device_that_the_checkpoint_is_of(tmp_path):
    train(Simulation(SimulationConfig(**TINY)), tmp_path)
    path = tmp_path / "config.json"
    kept = json.loads(path.read_text())
    path.write_text(json.dumps({**kept, "device": "NVIDIA X"}))
    train(Simulation(SimulationConfig(**TINY)), tmp_path)
    assert json.loads(path.read_text())["device"] == "NVIDIA X"  # goes on there: left as it was
    (tmp_path / "checkpoint.safetensors").unlink()
    train(Simulation(SimulationConfig(**TINY)), tmp_path)
    assert json.loads(path.read_text()) == kept


def test_a_checkpoint_that_names_no_device_goes_on_where_its_state_fits(tmp_path):
    config = SimulationConfig(**TINY, checkpoint_every=4)
    train(Simulation(config), tmp_path)
    path = tmp_path / "checkpoint.safetensors"
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(tensors, path, metadata={"step": "12"})
    simulation = Simulation(config)
    train(simulation, tmp_path)
    assert simulation.n_done == 12


def test_what_a_gpu_alone_has(monkeypatch):
    with pytest.raises(UsageError, match="tf32 is a precision of NVIDIA GPUs"):
        Simulation(SimulationConfig(**TINY, precision="tf32"))
    with pytest.raises(UsageError, match="a CUDA graph needs an NVIDIA GPU"):
        Simulation(SimulationConfig(**TINY, cuda_graph=True))
    monkeypatch.setattr("torch.cuda.CUDAGraph", type("CUDAGraph", (), {}))  # as before torch 2.4
    with pytest.raises(UsageError, match=r"cannot draw random numbers in a CUDA graph(?s:.)*leave --cuda-graph out"):
        GraphedStep(lambda: torch.zeros(()), torch.optim.Adam([nn.Parameter(torch.zeros(1))]), FakeGenerator())


class FakeGenerator:
    device = torch.device("cuda")


def test_cuda_that_is_not_there(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UsageError, match="cuda was asked for"):
        Simulation(SimulationConfig(**{**TINY, "device": "cuda"}))


def test_what_is_finished_is_not_done_again(tmp_path, monkeypatch):
    config = SimulationConfig(**TINY)
    first = simulate(config, tmp_path)
    monkeypatch.setattr("m3di.simulate.run.Simulation", None)  # would fail if it were made
    assert simulate(config, tmp_path) == first
    with pytest.raises(M3diError, match="it is another one"):
        simulate(SimulationConfig(**TINY, causal=True), tmp_path)


def test_two_at_once(tmp_path):
    with (
        hold_run(tmp_path),
        pytest.raises(M3diError, match=rf"another process is training(?s:.)*process {os.getpid()}"),
    ):
        simulate(SimulationConfig(**TINY), tmp_path)
    assert not list(tmp_path.iterdir())


def test_other_samples_for_the_probes_need_no_training(tmp_path):
    first = simulate(SimulationConfig(**TINY), tmp_path)
    steps = []
    again = simulate(SimulationConfig(**TINY, eval_seed=77), tmp_path, lambda step, loss: steps.append(step))
    assert steps == []
    assert again["eval_seed"] == 77
    assert again["rows"] != first["rows"]


def test_shared_parts_are_one():
    simulation = Simulation(SimulationConfig(**TINY, shared_mixing=True, shared_encoder=True))
    assert simulation.mixing1 is simulation.mixing2
    assert simulation.encoder1 is simulation.encoder2
    assert len(simulation.weights) == 14
    assert len(Simulation(SimulationConfig(**TINY)).weights) == 28


@pytest.mark.slow
def test_linear_mixings_have_a_known_optimum():
    # x_i = A_i (c, s~_i, m_i), linear encoders W_i: the loss is least where both W_i A_i are zero but for the content,
    # and equal there, W_1 A_1 = W_2 A_2 = (M, 0, 0) with M invertible.
    process = LatentProcess(SimulationConfig(n_content=2, n_style=1, n_modality=2, style_change_prob=1.0))
    mixings = [draw_mixing(5, 0, number, n_layers=1) for number in (1, 2)]
    torch.manual_seed(0)
    encoders = [nn.Linear(5, 2, bias=False) for _ in mixings]
    optimizer = torch.optim.Adam([encoder.weight for encoder in encoders], lr=0.02)
    generator, loss_of = torch.Generator().manual_seed(0), SymInfoNCE(similarity="neg_squared_euclidean")
    for _ in range(400):
        latents = process.sample(256, generator)
        views = (latents.view1, latents.view2)
        loss = loss_of(*(g(f(z)) for g, f, z in zip(encoders, mixings, views, strict=True)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    through1, through2 = ((g.weight @ f.weights[0]).detach() for g, f in zip(encoders, mixings, strict=True))
    scale = torch.linalg.svdvals(through1[:, :2]).min()
    assert scale > 1
    for through in (through1, through2):
        assert through[:, 2:].abs().max() < 0.05 * scale
    assert (through1[:, :2] - through2[:, :2]).abs().max() < 0.05 * scale


@pytest.mark.slow
def test_bf16_encoders_reach_the_same_loss_and_scores(tmp_path):
    found = {}
    for precision in ("fp32", "bf16"):
        settings = {**TINY, "batch_size": 64, "n_steps": 150, "lr": 1e-3, "n_eval": 400, "precision": precision}
        results = simulate(SimulationConfig(**settings), tmp_path / precision)
        scores = [
            row["value"]
            for row in results["rows"]
            if row["data"] == "observed" and row["block"] == "content" and row["estimator"] == "kernel ridge"
        ]
        found[precision] = (results["loss"], *scores)
    assert min(found["fp32"][1:]) > 0.8
    assert found["bf16"][0] == pytest.approx(found["fp32"][0], abs=0.1)
    assert found["bf16"][1:] == pytest.approx(found["fp32"][1:], abs=0.03)
