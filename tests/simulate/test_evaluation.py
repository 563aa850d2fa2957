"""Probes of encoders whose scores are known."""

from __future__ import annotations

import pytest
import torch

from m3di.simulate import Simulation, SimulationConfig, evaluate

SETTINGS = {"n_content": 2, "n_style": 2, "n_modality": 1, "n_eval": 240, "batch_size": 100, "device": "cpu"}


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr("m3di.simulate.mixing.draw_mixing.__kwdefaults__", {"n_draws": 1000, "n_layers": 3})


def scores(encode, **settings):
    """{(data, block): [kernel ridge score of each modality]} of an encoder given as a function of latents."""
    simulation = Simulation(SimulationConfig(**SETTINGS, **settings))
    simulation.encode = encode
    results = evaluate(simulation)
    found = {}
    for row in results["rows"]:
        if row["estimator"] == "kernel ridge":
            found.setdefault((row["data"], row["block"]), []).append(row["value"])
    return found, results


def content_only(latents):
    return latents.content, torch.tanh(latents.content @ torch.tensor([[1.0, 0.4], [0.2, -1.0]]))


def test_an_encoder_of_content_only():
    found, results = scores(content_only)
    assert min(found["observed", "content"]) > 0.95
    assert min(found["permuted content", "content'"]) > 0.95
    for data, block in [("observed", "style"), ("observed", "modality"), ("permuted content", "content")]:
        assert max(found[data, block]) < 0.05
    assert {row["estimator"] for row in results["rows"]} == {"kernel ridge", "linear"}
    assert results["n_eval"] == 240 and results["eval_seed"] == 1_000_003


@pytest.mark.slow
def test_causal_dependence_is_revealed_by_the_intervention():
    found, _ = scores(content_only, causal=True, style_change_prob=0.5)
    assert min(found["observed", "style"]) > 0.3
    assert max(found["permuted content", "style"]) < 0.05


@pytest.mark.slow
def test_an_encoder_of_style_and_private_latents():
    def encode(latents):
        return (
            torch.cat([latents.style, latents.modality1], 1),
            torch.cat([latents.changed_style, latents.modality2], 1),
        )

    found, _ = scores(encode)
    assert min(found["observed", "style"] + found["observed", "modality"]) > 0.95
    assert max(found["observed", "content"]) < 0.05


def test_a_useless_encoder():
    found, _ = scores(lambda latents: (torch.zeros_like(latents.content), torch.ones_like(latents.content)))
    assert all(abs(value) < 0.05 for values in found.values() for value in values)


@pytest.mark.parametrize("n_classes", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_discrete_content_is_scored_by_accuracy(n_classes):
    found, results = scores(content_only, discrete=("content",), n_classes=n_classes)
    assert min(found["observed", "content"]) > 0.97
    rows = [row for row in results["rows"] if row["block"] == "content"]
    assert {row["metric"] for row in rows} == {"accuracy"}
    for row in rows:
        assert row["chance"] == pytest.approx(1 / n_classes, abs=0.08)
    assert max(found["permuted content", "content"]) < 1 / n_classes + 0.12
    assert max(found["observed", "style"]) < 0.05


def test_blocks_that_are_empty_have_no_rows():
    simulation = Simulation(SimulationConfig(**{**SETTINGS, "n_style": 0, "n_modality": 0}))
    rows = evaluate(simulation)["rows"]
    assert {row["block"] for row in rows} == {"content", "content'"}


@pytest.mark.slow
def test_evaluation_repeats():
    simulation = Simulation(SimulationConfig(**SETTINGS))
    assert evaluate(simulation) == evaluate(simulation)
