"""Presets, overrides, the learning rate's course."""

from __future__ import annotations

import pytest

from m3di.errors import UsageError
from m3di.learn.training.config import PRESETS, TrainConfig, config_from, find_preset


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_configuration(name):
    assert config_from(name, {"seed": 3, "lr": None}).seed == 3


@pytest.mark.parametrize(("name", "n_steps"), [("m3di-paper", 100_000), ("image-pairs-paper", 60_000)])
def test_the_papers_settings(name, n_steps):
    config = config_from(name, {})
    assert (config.n_steps, config.batch_size, config.lr, config.temperature) == (n_steps, 256, 1e-5, 1.0)
    assert (config.similarity, config.clip_norm, config.encoding_size, config.hidden_size) == ("cosine", 2.0, 4, 100)
    assert (config.schedule, config.weight_decay, config.image_encoder) == ("constant", 0.0, "resnet18")
    assert find_preset(name).n_seeds == 3


def test_an_option_overrides_the_preset():
    config = config_from("m3di-paper", {"temperature": 0.5, "n_steps": None, "learn_temperature": False})
    assert (config.temperature, config.n_steps) == (0.5, 100_000)


def test_unknown_preset():
    with pytest.raises(UsageError, match=r"unknown preset(?s:.)*did you mean 'm3di-paper'"):
        config_from("m3di-papr", {})


def test_the_learning_rate():
    constant = TrainConfig(n_steps=100, batch_size=2, lr=0.5)
    assert {constant.lr_at(step) for step in range(1, 101)} == {0.5}
    warm = TrainConfig(n_steps=100, batch_size=2, lr=0.5, n_warmup_steps=5)
    assert [warm.lr_at(step) for step in (1, 4, 5, 6)] == pytest.approx([0.1, 0.4, 0.5, 0.5])
    cosine = TrainConfig(n_steps=100, batch_size=2, lr=0.5, schedule="cosine")
    assert [cosine.lr_at(step) for step in (1, 51)] == pytest.approx([0.5, 0.25])
    assert 0 < cosine.lr_at(100) < 1e-3


def test_a_warm_up_ends_within_the_run():
    assert TrainConfig(n_steps=5, batch_size=2, lr=0.5, n_warmup_steps=5).lr_at(5) == 0.5
    with pytest.raises(UsageError, match=r"end before its learning rate(?s:.)*100 steps of warm-up, of 50"):
        config_from("cpu-demo", {"n_steps": 50})


@pytest.mark.parametrize("views", [(), ("text",), ("image", "text", "image")])
def test_pairs_are_of_two_different_views(views):
    with pytest.raises(UsageError, match=r"two or more different views(?s:.)*got: +" + (", ".join(views) or "none")):
        TrainConfig(n_steps=1, batch_size=4, views=views)


def test_no_augmentation_replaces_that_of_a_preset():
    assert config_from("cpu-demo", {}).augment == ("color", "noise")
    assert config_from("cpu-demo", {"augment": ()}).augment == ()
