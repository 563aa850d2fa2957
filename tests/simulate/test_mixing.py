"""Mixings: invertible, well conditioned, and drawn as said."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from m3di.simulate import Simulation, SimulationConfig, draw_mixing
from m3di.simulate.mixing import Whitening


@pytest.mark.parametrize(("size", "n_draws"), [(1, 1000), (6, 2000), pytest.param(15, 25_000, marks=pytest.mark.slow)])
def test_round_trip_through_the_numerical_inverse(size, n_draws):
    mixing = draw_mixing(size, seed=0, number=1, n_draws=n_draws)
    z = 3 * torch.randn(500, size, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(mixing.inverse(mixing(z)).float(), z, rtol=1e-4, atol=1e-4)
    # Small differences stay small the other way as well: no direction is lost.
    assert max(mixing.condition_numbers()) < 60


def test_condition_numbers_lie_below_the_quantile():
    size, n_draws = 4, 5000
    mixing = draw_mixing(size, seed=3, number=2, n_draws=n_draws)
    generator = np.random.default_rng(99)
    matrices = generator.uniform(-1, 1, (20_000, size, size))
    conditions = np.sort(np.linalg.cond(matrices / np.linalg.norm(matrices, axis=1, keepdims=True)))
    # Among 20,000 fresh matrices, about 20 have so low a condition number; 100 would be five times too many.
    assert max(mixing.condition_numbers()) < conditions[100]
    for weight in mixing.weights:
        torch.testing.assert_close(weight.norm(dim=0), torch.ones(size))


def test_it_is_what_the_formula_says():
    mixing = draw_mixing(3, seed=0, number=1, n_draws=1000)
    z = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    h = z.clone()
    for number, weight in enumerate(mixing.weights):
        h = h @ weight.T
        if number < 2:
            h = torch.where(h > 0, h, 0.2 * h)
    torch.testing.assert_close(mixing(z), h)


def test_seeds_and_numbers_give_different_mixings():
    first = draw_mixing(3, seed=0, number=1, n_draws=1000)
    again = draw_mixing(3, seed=0, number=1, n_draws=1000)
    assert all(torch.equal(a, b) for a, b in zip(first.weights, again.weights, strict=True))
    for seed, number in ((0, 2), (1, 1)):
        assert not torch.equal(first.weights[0], draw_mixing(3, seed=seed, number=number, n_draws=1000).weights[0])


@pytest.mark.parametrize("size", [1, 4])
def test_whitened_observations_have_mean_0_and_covariance_i(size):
    x = torch.randn(3000, size, generator=torch.Generator().manual_seed(0)) @ torch.rand(size, size) + 5
    whitening = Whitening(x)
    torch.testing.assert_close(whitening(x).mean(dim=0), torch.zeros(size), atol=1e-4, rtol=0)
    torch.testing.assert_close(torch.cov(whitening(x).T).reshape(size, size), torch.eye(size), atol=1e-3, rtol=0)
    torch.testing.assert_close(whitening.matrix, whitening.matrix.T)  # the symmetric one


@pytest.mark.parametrize("multiview", [False, True])
def test_what_encoders_see_is_white_when_asked_for(multiview):
    config = SimulationConfig(
        n_content=2, n_style=1, n_modality=0, statistical=True, style_change_prob=0.0, whiten=True,
        shared_mixing=multiview, shared_encoder=multiview, widths=(2,), batch_size=8, n_steps=1,
    )  # fmt: skip
    simulation = Simulation(config)
    seen = []
    for encoder in (simulation.encoder1, simulation.encoder2):
        encoder.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    simulation.encode(simulation.process.sample(20_000, torch.Generator().manual_seed(1)))
    for x in seen[-2:]:  # an encoder that both share has both hooks
        torch.testing.assert_close(torch.cov(x.T), torch.eye(3), atol=0.06, rtol=0)
