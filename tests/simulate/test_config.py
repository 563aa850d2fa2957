"""Every bad setting is refused with a message of its own."""

from __future__ import annotations

import pytest

from m3di.errors import UsageError
from m3di.simulate import SimulationConfig


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"encoding_size": 0}, "encoding_size is too small"),
        ({"n_content": 0}, "n_content is too small"),
        ({"n_style": -1}, "n_style is too small"),
        ({"n_modality": -1}, "n_modality is too small"),
        ({"n_steps": 0}, "n_steps is too small"),
        ({"batch_size": 1}, "no negatives"),
        ({"n_eval": 5}, "n_eval is too small"),
        ({"style_change_prob": 1.5}, "a probability lies between 0 and 1"),
        ({"style_change_prob": -0.1}, "a probability lies between 0 and 1"),
        ({"style_change_prob": float("nan")}, "a probability lies between 0 and 1"),
        ({"discrete": ("content",), "n_classes": 1}, "n_classes is too small: a latent with one class"),
        ({"discrete": ("content",)}, "discrete latents and their number of classes"),
        ({"n_classes": 3}, "discrete latents and their number of classes"),
        ({"discrete": ("contents",), "n_classes": 3}, "did you mean 'content'"),
        ({"seed": 4, "eval_seed": 4}, "judged by the samples that they were trained on"),
        ({"eval_seed": -1}, "eval_seed is too small"),
        ({"seed": -1}, "seed is too small"),
        ({"lr": 0.0}, "lr must be positive"),
        ({"clip_norm": float("inf")}, "clip_norm must be positive"),
        ({"temperature": 0.0}, "temperature must be positive"),
        ({"similarity": "cosin"}, "did you mean 'cosine'"),
        ({"negatives": "fesh"}, "did you mean 'fresh'"),
        ({"precision": "fp16"}, "unknown precision"),
        ({"device": "gpu"}, "unknown device"),
        ({"covariances": "share"}, "did you mean 'shared'"),
        ({"covariances": "shared"}, "no covariance to draw(?s:.)*add --statistical"),
        ({"schedule": "cosin"}, "did you mean 'cosine'"),
        ({"widths": ()}, "an encoder needs a hidden layer"),
        ({"widths": (10, 0)}, "widths is too small"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(UsageError, match=message):
        SimulationConfig(**settings)


def test_the_defaults_are_the_papers():
    config = SimulationConfig()
    assert (config.size, config.n_encoding, config.batch_size, config.n_steps) == (15, 5, 6144, 300_000)
    assert (config.lr, config.temperature, config.clip_norm) == (1e-4, 1.0, 2.0)
    assert config.evaluation_seed != config.seed
    assert config.notes() == []


def test_notes():
    (note,) = SimulationConfig(shared_mixing=True, shared_encoder=True).notes()
    assert "modality-specific latents" in note
    assert SimulationConfig(shared_mixing=True, shared_encoder=True, n_modality=0).notes() == []
    (note,) = SimulationConfig(shared_encoder=True).notes()
    assert "two different mixings" in note
    assert SimulationConfig(covariances="shared", statistical=True).notes() == []
    (note,) = SimulationConfig(encoding_size=2).notes()
    assert "smaller than the content" in note
