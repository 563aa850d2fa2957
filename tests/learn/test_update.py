"""Steps told of at once or with the next one: the same steps, and none where a loss or gradient is not finite."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from m3di.learn.training.job import Job
from m3di.learn.training.update import Made, NotFiniteError, Updater

NEEDS_FUSED = pytest.mark.skipif(torch.__version__ < "2.4", reason="fused Adam on the CPU came with torch 2.4")
pytestmark = NEEDS_FUSED


class Learner:
    """A small network, its optimiser, and the temperature of its loss, which is learned too."""

    def __init__(self, *, late: bool, weight_decay: float = 0.01, learned: bool = True) -> None:
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
        self.log_tau = nn.Parameter(torch.tensor(-0.7))
        self.weights = [*self.net.parameters(), self.log_tau]
        optimizer = torch.optim.AdamW(self.weights, lr=1e-2, weight_decay=weight_decay, fused=True)
        tau = (lambda: self.log_tau.exp()) if learned else (lambda: 0.25)
        self.updater = Updater(optimizer, self.weights, 2.0, tau, late=late)

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        return (self.net(x) / self.log_tau.exp()).square().mean()

    def state(self) -> list[torch.Tensor]:
        moments = [each for state in self.updater.optimizer.state.values() for each in state.values()]
        return [each.detach().clone() for each in (*self.weights, *moments)]


def batches(n: int) -> torch.Tensor:
    return torch.randn(n, 16, 4, generator=torch.Generator().manual_seed(1))


def test_late_steps_are_the_same_steps_and_are_told_of_one_later():
    at_once, late = Learner(late=False), Learner(late=True)
    told: list[list[Made]] = []
    for step, x in enumerate(batches(8), start=1):
        lr = 0.01 / step
        told.append(late.updater.make(step, late.loss(x), lr))
        told[-1] += late.updater.flush() if step == 5 else []
        (made,) = at_once.updater.make(step, at_once.loss(x), lr)
        assert (made.step, made.lr) == (step, lr)
        assert all(torch.equal(a, b) for a, b in zip(at_once.state(), late.state(), strict=True))
        assert made.temperature == at_once.log_tau.exp().item()
    told.append(late.updater.flush())
    assert [[made.step for made in each] for each in told] == [[], [1], [2], [3], [4, 5], [], [6], [7], [8]]
    again = Learner(late=False)
    known = [
        made for step, x in enumerate(batches(8), 1) for made in again.updater.make(step, again.loss(x), 0.01 / step)
    ]
    assert [made for each in told for made in each] == known
    assert late.updater.flush() == []


@pytest.mark.parametrize("late", [False, True])
def test_a_loss_that_is_not_finite_moves_nothing(late):
    learner = Learner(late=late)
    first, second, third = batches(3)
    learner.updater.make(1, learner.loss(first), 0.01)
    before = learner.state()
    with pytest.raises(NotFiniteError, match="loss nan") as caught:
        learner.updater.make(2, learner.loss(second) * math.nan, 0.01)
        learner.updater.make(3, learner.loss(third), 0.01)  # asked for before the loss of step 2 is known
    assert caught.value.step == 2
    assert all(torch.equal(a, b) for a, b in zip(before, learner.state(), strict=True))


@pytest.mark.parametrize("late", [False, True])
def test_a_gradient_that_is_not_finite_moves_nothing(late):
    learner = Learner(late=late, learned=False)
    before = [each.detach().clone() for each in learner.weights]

    def spoiled(gradient: torch.Tensor) -> torch.Tensor:
        return gradient * math.inf

    learner.weights[0].register_hook(spoiled)
    with pytest.raises(NotFiniteError, match=r"loss [\d.]+ with a gradient of length (inf|nan)") as caught:
        learner.updater.make(1, learner.loss(batches(1)[0]), 0.01)
        learner.updater.flush()
    assert caught.value.step == 1
    assert all(torch.equal(a, b) for a, b in zip(before, learner.weights, strict=True))


def test_a_temperature_that_is_fixed_is_told_of_as_it_is():
    for late in (False, True):
        learner = Learner(late=late, learned=False)
        made = learner.updater.make(1, learner.loss(batches(1)[0]), 0.01) + learner.updater.flush()
        assert [each.temperature for each in made] == [0.25]


def test_a_run_that_is_told_of_late_is_the_same_run(make_pairs, tiny_encoder, tmp_path, monkeypatch):
    """A whole run as on a GPU, but for the GPU: equal files, equal calls, the right step named where it diverges."""
    from dataclasses import replace

    from m3di.errors import M3diError
    from m3di.learn import TrainConfig, train_on
    from m3di.learn.training.checkpoint import latest_checkpoint

    config = TrainConfig(
        n_steps=7,
        batch_size=4,
        hidden_size=8,
        image_encoder="tiny-bn",
        text_encoder="tiny",
        precision="fp32",
        learn_temperature=True,
        checkpoint_every=3,
        diagnostics_every=2,
        val_every=5,
        tensorboard=False,
    )
    bad = replace(config, n_steps=50, lr=1e30, similarity="neg_squared_euclidean", checkpoint_every=50)
    told: dict[bool, list[tuple[int, float]]] = {}
    for late in (False, True):
        monkeypatch.setattr(Job, "tells_late", late)
        told[late] = []
        train_on(
            make_pairs(), tmp_path / f"{late}", config, lambda *made, to=told[late]: to.append(made), val=make_pairs(5)
        )
        with pytest.raises(M3diError, match="no longer finite") as caught:
            train_on(make_pairs(), tmp_path / f"bad-{late}", bad)
        told[late].append(str(caught.value).replace(f"bad-{late}", ""))
    assert told[False] == told[True]
    runs = [tmp_path / "False", tmp_path / "True"]
    rows = [[line.rsplit(",", 1)[0] for line in (run / "metrics.csv").read_text().splitlines()] for run in runs]
    assert rows[0] == rows[1]
    assert len(rows[0]) == 8
    files = [{path.name: path.read_bytes() for path in latest_checkpoint(run).glob("*_encoder*")} for run in runs]
    assert files[0] == files[1]
