"""Moments and dependence structure of the process."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from m3di.simulate import LatentProcess, SimulationConfig
from m3di.simulate.process import _binned_covariance, _class_edges
from tests.conftest import slow

N = 100_000


def sample(n=N, seed=1, **settings):
    process = LatentProcess(SimulationConfig(**settings))
    return process, process.sample(n, torch.Generator().manual_seed(seed))


def array(tensor):
    return tensor.double().numpy()


def covariance(a, b):
    a, b = array(a), array(b)
    return (a - a.mean(0)).T @ (b - b.mean(0)) / len(a)


def test_independent_latents_are_standard_normal():
    _, latents = sample(style_change_prob=0.75)
    for block in (latents.content, latents.style, latents.modality1, latents.modality2):
        assert block.shape == (N, 5)
        np.testing.assert_allclose(array(block).mean(0), 0, atol=0.02)
        np.testing.assert_allclose(covariance(block, block), np.eye(5), atol=0.025)
        np.testing.assert_allclose((array(block) ** 4).mean(0), 3, atol=0.15)
    blocks = [latents.content, latents.style, latents.modality1, latents.modality2]
    for k, a in enumerate(blocks):
        for b in blocks[k + 1 :]:
            np.testing.assert_allclose(covariance(a, b), 0, atol=0.02)


@pytest.mark.parametrize("probability", [0.0, 0.3, 0.75, 1.0])
def test_style_changes_in_each_dimension_on_its_own(probability):
    _, latents = sample(style_change_prob=probability)
    difference = latents.changed_style - latents.style
    changed = array(difference) != 0
    np.testing.assert_allclose(changed.mean(0), probability, atol=0.01)
    together = (changed[:, 0] & changed[:, 1]).mean()
    assert together == pytest.approx(probability**2, abs=0.01)
    np.testing.assert_allclose(covariance(difference, difference), probability * np.eye(5), atol=0.03)
    np.testing.assert_allclose(covariance(difference, latents.style), 0, atol=0.025)


def test_content_is_the_same_in_both_views_and_private_latents_differ():
    _, latents = sample(100, n_content=2, n_style=3, n_modality=4)
    assert latents.view1.shape == latents.view2.shape == (100, 9)
    torch.testing.assert_close(latents.view1[:, :2], latents.view2[:, :2], rtol=0, atol=0)
    torch.testing.assert_close(latents.view1[:, 2:5], latents.style, rtol=0, atol=0)
    torch.testing.assert_close(latents.view2[:, 2:5], latents.changed_style, rtol=0, atol=0)
    assert (latents.view1[:, 5:] != latents.view2[:, 5:]).all()


def test_statistical_dependence_has_the_covariances_that_were_drawn():
    process, latents = sample(statistical=True, style_change_prob=1.0)
    difference = latents.changed_style - latents.style
    parts = {
        "content": latents.content,
        "style": latents.style,
        "change": difference,
        "modality1": latents.modality1,
        "modality2": latents.modality2,
    }
    for name, part in parts.items():
        scale = np.abs(process.covariances[name]).max()
        np.testing.assert_allclose(covariance(part, part), process.covariances[name], atol=0.03 * scale)
        assert np.abs(process.covariances[name] - np.diag(np.diag(process.covariances[name]))).max() > 0.1
    drawn = list(process.covariances.values())
    assert all(not np.allclose(a, b) for k, a in enumerate(drawn) for b in drawn[k + 1 :])
    np.testing.assert_allclose(covariance(latents.content, latents.style), 0, atol=0.1)


def test_one_seed_for_all_covariances_makes_those_of_one_size_equal():
    settings = {"statistical": True, "n_content": 3, "n_style": 3, "n_modality": 2}
    shared = LatentProcess(SimulationConfig(**settings, covariances="shared")).covariances
    np.testing.assert_array_equal(shared["content"], shared["style"])
    np.testing.assert_array_equal(shared["content"], shared["change"])
    np.testing.assert_array_equal(shared["modality1"], shared["modality2"])
    again = LatentProcess(SimulationConfig(**settings, covariances="shared", seed=1)).covariances
    assert not np.allclose(shared["content"], again["content"])


@pytest.mark.slow
def test_wishart_draws_have_the_right_mean():
    # E[W(I, n)] = n I and Var[W_kk] = 2 n, over seeds.
    size = 3
    config = {"n_content": size, "n_style": 1, "n_modality": 1, "statistical": True}
    draws = np.stack([LatentProcess(SimulationConfig(seed=k, **config)).covariances["content"] for k in range(1500)])
    np.testing.assert_allclose(draws.mean(0), size * np.eye(size), atol=0.3)
    np.testing.assert_allclose(draws[:, 0, 0].var(), 2 * size, rtol=0.2)


def test_causal_dependence_is_the_linear_model_that_was_drawn():
    process, latents = sample(causal=True, style_change_prob=0.75)
    content, style = array(latents.content), array(latents.style)
    design = np.concatenate([np.ones((N, 1)), content], axis=1)
    coefficients, *_ = np.linalg.lstsq(design, style, rcond=None)
    np.testing.assert_allclose(coefficients[0], process.offset, atol=0.02)
    np.testing.assert_allclose(coefficients[1:].T, process.effect, atol=0.02)
    residual = style - design @ coefficients
    np.testing.assert_allclose(residual.T @ residual / N, np.eye(5), atol=0.03)
    np.testing.assert_allclose(covariance(latents.style, latents.style), process.style_covariance(), atol=0.5)
    assert np.abs(process.effect).max() > 0.5


def test_equal_seeds_give_equal_processes_and_a_new_block_changes_no_other():
    a, latents_a = sample(50, statistical=True, causal=True)
    b, latents_b = sample(50, statistical=True, causal=True)
    torch.testing.assert_close(latents_a.view1, latents_b.view1, rtol=0, atol=0)
    c, _ = sample(50, statistical=True, causal=True, n_modality=7)
    for name in ("content", "style", "change"):
        np.testing.assert_array_equal(a.covariances[name], c.covariances[name])
    np.testing.assert_array_equal(b.effect, c.effect)
    d = LatentProcess(SimulationConfig(statistical=True, causal=True, seed=3))
    assert not np.allclose(a.effect, d.effect)


@pytest.mark.parametrize("n_classes", [3, *slow(2, 5)])
@pytest.mark.parametrize("block", ["content", "style", "modality"])
def test_discrete_blocks(block, n_classes):
    settings = {"discrete": (block,), "n_classes": n_classes, "statistical": True, "style_change_prob": 0.0}
    process, latents = sample(**settings)
    values = {"content": latents.content, "style": latents.style, "modality": latents.modality2}
    for name, value in values.items():
        if name != block:
            assert len(np.unique(array(value)[:1000, 0])) > 900
            continue
        classes = process.classes(value)
        shares = [(classes == k).double().mean(0).numpy() for k in range(n_classes)]
        np.testing.assert_allclose(shares, 1 / n_classes, atol=0.01)
        np.testing.assert_allclose(array(value).mean(0), 0, atol=0.02)
        np.testing.assert_allclose(array(value).var(0), 1, atol=0.02)


def test_the_covariance_of_binned_normals():
    rho = np.array([[1.0, -0.5, 0.9], [-0.5, 1.0, 0.0], [0.9, 0.0, 1.0]])
    signs = 2 / np.pi * np.arcsin(rho)  # of two classes, Sheppard's formula
    np.testing.assert_allclose(_binned_covariance(rho, 2), signs, atol=1e-12)
    pair = np.random.default_rng(0).multivariate_normal([0, 0], [[1, 0.9], [0.9, 1]], N)
    for n_classes in (3, 10):
        binned = np.searchsorted(_class_edges(n_classes).numpy(), pair) / np.sqrt((n_classes**2 - 1) / 12)
        np.testing.assert_allclose(_binned_covariance(rho[::2, ::2], n_classes), np.cov(binned.T), atol=0.01)


@pytest.mark.parametrize("n_classes", [3, 5])
@pytest.mark.parametrize("statistical", [False, True])
def test_style_that_discrete_content_causes_has_nearly_equal_classes(n_classes, statistical):
    """Not equal ones: what few classes of content cause is no Gaussian."""
    settings = {"discrete": ("content", "style"), "n_classes": n_classes, "causal": True, "statistical": statistical}
    process, latents = sample(**settings)
    np.testing.assert_allclose(covariance(latents.content, latents.content), process.content_covariance(), atol=0.02)
    for number in range(n_classes):
        shares = (process.classes(latents.style) == number).double().mean(0)
        np.testing.assert_allclose(shares.numpy(), 1 / n_classes, atol=0.08)


def test_the_outer_classes_of_changed_style_are_likelier():
    process, latents = sample(discrete=("style",), n_classes=10, style_change_prob=0.75)
    style, changed = (
        [float((process.classes(part) == k).double().mean()) for k in range(10)]
        for part in (latents.style, latents.changed_style)
    )
    np.testing.assert_allclose(style, 0.1, atol=0.01)
    np.testing.assert_allclose([changed[0], changed[9]], 0.16, atol=0.01)  # as docs/simulation.md says
    assert max(changed[1:9]) < 0.1


def test_discrete_content_causes_style_and_changed_style_stays_in_its_classes():
    process, latents = sample(discrete=("content", "style"), n_classes=4, causal=True, style_change_prob=1.0)
    assert set(np.unique(process.classes(latents.changed_style))) == {0, 1, 2, 3}
    correlation = covariance(latents.content, latents.style)
    assert np.sign(correlation.T[np.abs(process.effect) > 1]).tolist() == pytest.approx(
        np.sign(process.effect[np.abs(process.effect) > 1]).tolist()
    )


def test_permuted_content_moves_content_only():
    _, latents = sample(1000, causal=True)
    moved = latents.with_permuted_content(torch.Generator().manual_seed(0))
    assert not torch.equal(moved.content, latents.content)
    torch.testing.assert_close(moved.content.sort(0).values, latents.content.sort(0).values, rtol=0, atol=0)
    for name in ("style", "changed_style", "modality1", "modality2"):
        assert torch.equal(getattr(moved, name), getattr(latents, name))


def test_blocks_may_be_empty():
    _, latents = sample(10, n_style=0, n_modality=0, statistical=True, causal=True)
    assert latents.view1.shape == (10, 5)
