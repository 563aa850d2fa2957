"""The encoder in blocks equals a plain MLP, gradients included."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from m3di.simulate import encoder as encoder_module
from m3di.simulate.encoder import MLPEncoder


def plain(encoder):
    layers = []
    for layer in encoder.layers:
        layers += [layer, nn.LeakyReLU(0.01)]
    return nn.Sequential(*layers[:-1])


def build(size=4, encoding_size=3, **options):
    torch.manual_seed(0)
    return MLPEncoder(size, encoding_size, **options)


def test_widths():
    encoder = build(15, 5)
    assert [layer.in_features for layer in encoder.layers] == [15, 150, 750, 750, 750, 750, 150]
    assert encoder.layers[-1].out_features == 5
    narrow = build(15, 5, widths=(2, 3))
    assert [layer.in_features for layer in narrow.layers] == [15, 30, 45]


@pytest.mark.parametrize("block_rows", [7, 10, 100])
def test_value_and_gradients_equal_the_plain_mlp(monkeypatch, block_rows):
    monkeypatch.setitem(encoder_module.BLOCK_ROWS, "cpu", block_rows)
    encoder = build()
    x = torch.randn(20, 4, generator=torch.Generator().manual_seed(1))
    weights = torch.randn(20, 3, generator=torch.Generator().manual_seed(2))
    encoding = encoder(x)
    torch.testing.assert_close(encoding, plain(encoder)(x))
    (encoding * weights).sum().backward()
    gradients = [parameter.grad.clone() for parameter in encoder.parameters()]
    encoder.zero_grad()
    (plain(encoder)(x) * weights).sum().backward()
    for gradient, parameter in zip(gradients, encoder.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad, rtol=1e-4, atol=1e-6)


def test_without_gradients_it_holds_one_block():
    encoder = build()
    x = torch.randn(2000, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        encoding = encoder(x)
    torch.testing.assert_close(encoding, encoder(x).detach(), rtol=0, atol=0)


def test_an_encoder_shared_by_two_inputs_adds_its_gradients():
    encoder = build()
    x, y = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(1))
    (encoder(x).sum() + encoder(y).sum()).backward()
    both = [parameter.grad.clone() for parameter in encoder.parameters()]
    encoder.zero_grad()
    encoder(torch.cat([x, y])).sum().backward()
    for gradient, parameter in zip(both, encoder.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad)


def test_bf16_is_near_and_its_gradients_are_float32():
    fast, slow = build(dtype=torch.bfloat16), build()
    x = torch.randn(1000, 4, generator=torch.Generator().manual_seed(1))
    a, b = fast(x), slow(x)
    assert a.dtype == torch.float32
    torch.testing.assert_close(a, b, rtol=0.05, atol=0.02)
    a.square().sum().backward()
    b.square().sum().backward()
    for p, q in zip(fast.parameters(), slow.parameters(), strict=True):
        assert p.grad.dtype == torch.float32
        assert (p.grad - q.grad).norm() <= 0.05 * q.grad.norm() + 1e-6


def test_parameters_are_named_by_layer():
    names = [name for name, _ in build().named_parameters()]
    expected = itertools.product(range(7), ("weight", "bias"))
    assert names == [f"layers.{layer}.{kind}" for layer, kind in expected]
