"""Mixings: invertible, well conditioned, and drawn as said."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from m3di.simulate import draw_mixing


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
