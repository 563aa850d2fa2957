"""The optimiser: what decays, and what does not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from m3di.learn import SymInfoNCE, TextConvNet, TrainConfig
from m3di.learn.training.step import make_optimizer, parameter_groups


class Trained(nn.Module):
    """All kinds of parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.text = TextConvNet(9, 3)
        self.norm = nn.LayerNorm(4)
        self.attention = nn.MultiheadAttention(4, 2)
        self.loss = SymInfoNCE(0.07, learn_temperature=True)


def test_matrices_convolutions_and_embeddings_decay_and_nothing_else():
    module = Trained()
    names = {id(each): name for name, each in module.named_parameters()}
    decaying, others = parameter_groups(module, 0.1)
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    assert {names[id(each)] for each in decaying["params"]} == {
        *("text.embedding.weight", "text.conv1.weight", "text.conv2.weight", "text.conv3.weight", "text.fc.weight"),
        *("attention.in_proj_weight", "attention.out_proj.weight"),
    }
    assert {"text.bn1.weight", "text.bn1.bias", "norm.weight", "loss.log_temperature", "text.fc.bias"} <= {
        names[id(each)] for each in others["params"]
    }
    assert len(decaying["params"]) + len(others["params"]) == len(names)


def test_weight_decay_alone_moves_weights_by_its_factor_and_leaves_the_rest():
    module = Trained()
    before = {name: each.detach().clone() for name, each in module.named_parameters()}
    config = TrainConfig(n_steps=1, batch_size=2, lr=1e-2, weight_decay=0.1)
    optimizer = make_optimizer(module, config)
    for each in module.parameters():
        each.grad = torch.zeros_like(each)
    for _ in range(100):
        optimizer.step()
    for name, each in module.named_parameters():
        factor = (1 - 1e-2 * 0.1) ** 100 if each.ndim >= 2 else 1.0
        torch.testing.assert_close(each.detach(), before[name] * factor, rtol=1e-5, atol=1e-8)
    assert module.loss.temperature == pytest.approx(0.07)


def test_without_weight_decay_it_is_adam_with_one_group():
    optimizer = make_optimizer(Trained(), TrainConfig(n_steps=1, batch_size=2))
    assert type(optimizer) is torch.optim.Adam
    assert len(optimizer.param_groups) == 1


def test_a_module_of_scalars_has_one_group():
    (group,) = parameter_groups(SymInfoNCE(0.07, learn_temperature=True), 0.1)
    assert group["weight_decay"] == 0.0
