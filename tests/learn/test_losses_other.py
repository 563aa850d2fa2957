"""SigLIP, VICReg and Barlow Twins against slow references; all losses, by name, in general."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from m3di.errors import UsageError
from m3di.learn import Objective, TrainConfig, load_encoders, register_loss, train_on
from m3di.learn.losses import LOSSES, LossSettings, build_loss, similarity_of
from m3di.learn.losses.barlow_twins import BarlowTwins
from m3di.learn.losses.siglip import SigLIP
from m3di.learn.losses.vicreg import VICReg
from tests.learn.test_losses_variants import check_equal, slow_cross, slow_similarity, views

TINY = TrainConfig(n_steps=3, batch_size=4, hidden_size=8, precision="fp32", image_encoder="tiny-bn", tensorboard=False)


def slow_siglip(z1, z2, temperature, bias, similarity):
    total = 0.0
    for i in range(len(z1)):
        for j in range(len(z2)):
            sign = 1.0 if i == j else -1.0
            logit = sign * (slow_similarity(z1[i], z2[j], similarity) / temperature + bias)
            total = total - torch.log(1 / (1 + torch.exp(-logit)))
    return total / len(z1)


def slow_vicreg(z1, z2, invariance, variance, covariance):
    n, size = z1.shape
    total = invariance * sum((z1[i, d] - z2[i, d]) ** 2 for i in range(n) for d in range(size)) / (n * size)
    for z in (z1, z2):
        mean = [sum(z[i, d] for i in range(n)) / n for d in range(size)]
        for d in range(size):
            for e in range(size):
                shared = sum((z[i, d] - mean[d]) * (z[i, e] - mean[e]) for i in range(n)) / (n - 1)
                if d == e:
                    spread = 1 - (shared + 1e-4).sqrt()
                    total = total + (variance * spread / size / 2 if spread > 0 else 0.0)
                else:
                    total = total + covariance * shared**2 / size
    return total


def slow_barlow(z1, z2, redundancy):
    n, size = z1.shape

    def standard(z, d):
        mean = sum(z[i, d] for i in range(n)) / n
        variance = sum((z[i, d] - mean) ** 2 for i in range(n)) / n
        return [(z[i, d] - mean) / (variance + 1e-5).sqrt() for i in range(n)]

    total = 0.0
    for d in range(size):
        for e in range(size):
            shared = sum(a * b for a, b in zip(standard(z1, d), standard(z2, e), strict=True)) / n
            total = total + ((1 - shared) ** 2 if d == e else redundancy * shared**2)
    return total


@pytest.mark.parametrize("similarity", ["cosine", "neg_squared_euclidean"])
@pytest.mark.parametrize(("temperature", "bias"), [(1.0, -10.0), (0.1, 0.5)])
def test_siglip(similarity, temperature, bias):
    z = views()
    check_equal(SigLIP(temperature, similarity, bias=bias)(*z), slow_siglip(*z, temperature, bias, similarity), z)


def test_siglip_learns_temperature_and_bias():
    z = [each.detach() for each in views()]
    loss_of = SigLIP(0.2, learn_temperature=True, bias=-1.0).double()
    tau = torch.tensor(0.2, dtype=torch.float64).log().requires_grad_()
    bias = torch.tensor(-1.0, dtype=torch.float64, requires_grad=True)
    nn.init.constant_(loss_of.log_temperature, math.log(0.2))
    wanted = torch.autograd.grad(slow_siglip(*z, tau.exp(), bias, "cosine"), (tau, bias))
    found = torch.autograd.grad(loss_of(*z), (loss_of.log_temperature, loss_of.bias))
    torch.testing.assert_close(found, wanted)
    assert loss_of.temperature == pytest.approx(0.2)
    nn.init.constant_(loss_of.log_temperature, -50.0)
    loss_of(*z)
    assert loss_of.log_temperature.item() == pytest.approx(math.log(0.01))


@pytest.mark.parametrize("weights", [(25.0, 25.0, 1.0), (1.0, 0.0, 3.0)])
@pytest.mark.parametrize("scale", [0.3, 3.0])
def test_vicreg(weights, scale):
    z = [(scale * each).detach().requires_grad_() for each in views()]
    names = ("invariance", "variance", "covariance")
    check_equal(VICReg(**dict(zip(names, weights, strict=True)))(*z), slow_vicreg(*z, *weights), z)


@pytest.mark.parametrize("redundancy", [0.0051, 1.0])
def test_barlow_twins(redundancy):
    z = views()
    check_equal(BarlowTwins(redundancy=redundancy)(*z), slow_barlow(*z, redundancy), z)


def test_known_values():
    z = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]) * 3  # dimensions that do not go together
    assert VICReg()(z, z) == 0.0
    assert BarlowTwins()(z, z).item() == pytest.approx(0.0, abs=1e-9)
    dead = torch.zeros(4, 2)
    assert VICReg()(dead, dead).item() == pytest.approx(25 * (1 - 0.01))
    assert BarlowTwins()(dead, dead).item() == pytest.approx(2.0)
    assert SigLIP(bias=0.0)(dead, dead).item() == pytest.approx(4 * math.log(2))


# One a loss: with its defaults, term by term. The one line beside its own file that a new loss needs.
SLOW = {
    "infonce": lambda *z: slow_cross(*z, 1.0, "cosine"),
    "siglip": lambda *z: slow_siglip(*z, 1.0, -10.0, "cosine"),
    "vicreg": lambda *z: slow_vicreg(*z, 25.0, 25.0, 1.0),
    "barlow-twins": lambda *z: slow_barlow(*z, 0.0051),
}


@pytest.mark.parametrize("name", LOSSES.own())
def test_every_loss_is_its_slow_reference_and_has_its_gradient(name):
    assert name in SLOW, "write the loss term by term, and enter it in SLOW"
    z, loss_of = views(), build_loss(name, LossSettings())
    check_equal(loss_of(*z), SLOW[name](*z), z)
    assert torch.autograd.gradcheck(loss_of, tuple(z))


@pytest.mark.parametrize("name", LOSSES.own())
def test_every_loss(name, make_pairs, tiny_encoder, tmp_path):
    loss_of = build_loss(name, LossSettings())
    z1, z2, z3 = (each.detach().float() for each in views(3))
    both, all_three = loss_of(z1, z2), loss_of(z1, z2, z3)
    assert both.ndim == 0 and torch.isfinite(both)
    torch.testing.assert_close(all_three, both + loss_of(z1, z3) + loss_of(z2, z3))
    torch.testing.assert_close(loss_of(z2, z1), both)  # no modality comes first
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    torch.testing.assert_close(loss_of(z1[order], z2[order]), both)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert loss_of(z1.bfloat16(), z2.bfloat16()).dtype == torch.float32
    assert loss_of(z1, z1) < loss_of(z1, z1.flip(0))  # pairs that belong together
    with pytest.raises(UsageError, match="must have the same shape"):
        loss_of(z1, z2[:, :2])
    with pytest.raises(UsageError, match="at least two pairs"):
        loss_of(z1[:1], z2[:1])
    config = replace(TINY, loss=name)
    first = train_on(make_pairs(), tmp_path / "a", config, val=make_pairs(5))
    again = train_on(make_pairs(), tmp_path / "b", config, val=make_pairs(5))
    assert first.final_loss == again.final_loss and math.isfinite(first.val_loss)
    assert torch.equal(load_encoders(tmp_path / "a").text.fc.weight, again.encoders.text.fc.weight)


def test_the_similarity_of_a_loss_is_a_setting_where_it_heeds_one():
    apart = LossSettings(similarity="neg_squared_euclidean")
    found = {name: (similarity_of(name, LossSettings()), similarity_of(name, apart)) for name in LOSSES.own()}
    assert found["infonce"] == found["siglip"] == ("cosine", "neg_squared_euclidean")
    assert set(found["vicreg"]) == {"neg_squared_euclidean"}  # its invariance is a squared distance
    assert set(found["barlow-twins"]) == {"cosine"}
    for name, (similarity, _) in found.items():
        assert build_loss(name, LossSettings()).similarity == similarity


@pytest.mark.parametrize("name", ["vicreg", "barlow-twins", "siglip"])
def test_metrics_of_a_temperature_are_empty_where_there_is_none(name, make_pairs, tiny_encoder, tmp_path):
    train_on(make_pairs(), tmp_path, replace(TINY, loss=name, diagnostics_every=1))
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    summary = json.loads((tmp_path / "summary.json").read_text())
    has_temperature = name == "siglip"
    for column in ("temperature", "alignment", "entropy"):
        assert [row[column] != "" for row in rows] == [has_temperature] * 3
    assert summary["temperature"] == (1.0 if has_temperature else None)


def test_own_options_reach_the_loss_and_are_part_of_the_run(make_pairs, tiny_encoder, tmp_path):
    config = replace(TINY, loss="siglip", loss_options={"bias": -3.0}, temperature=0.1, learn_temperature=True)
    train_on(make_pairs(), tmp_path, config)
    train_on(make_pairs(), tmp_path, config)  # looked at
    with pytest.raises(Exception, match=r"already holds a run(?s:.)*loss_options"):
        train_on(make_pairs(), tmp_path, replace(config, loss_options={"bias": -2.0}))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"loss": "siglib"}, r"no loss is called 'siglib'(?s:.)*barlow-twins, infonce(?s:.)*did you mean 'siglip'"),
        ({"loss": "siglip", "loss_options": {"bais": 1.0}}, r"siglip has no option 'bais'(?s:.)*bias \(default -10\)"),
        ({"loss_options": {"bias": 1.0}}, r"infonce has no option 'bias'(?s:.)*no options"),
        ({"loss": "vicreg", "temperature": 0.1}, r"vicreg has no temperature(?s:.)*got: +0\.1(?s:.)*set it to 1\.0"),
        ({"loss": "siglip", "negatives": "all"}, "siglip has no negatives"),
        ({"loss": "barlow-twins", "learn_temperature": True}, "barlow-twins has no learn temperature"),
        ({"loss": "vicreg", "loss_options": {"variance": -1.0}}, r"weight of the loss is out of range(?s:.)*variance"),
    ],
)
def test_losses_that_cannot_be(changes, said):
    with pytest.raises(UsageError, match=said):
        replace(TINY, **changes)


def test_a_loss_of_yours(registries, make_pairs, tiny_encoder, tmp_path):
    @register_loss("distance")
    class Distance(Objective):
        """Its own weight, and nothing else."""

        def __init__(self, *, weight: float = 2.0):
            super().__init__()
            self.weight = weight

        def of_pair(self, z1, z2):
            return self.weight * (z1 - z2).square().mean()

    assert "distance" in LOSSES
    config = replace(TINY, loss="distance", loss_options={"weight": 0.5})
    assert math.isfinite(train_on(make_pairs(), tmp_path, config).final_loss)
    with pytest.raises(UsageError, match="a loss of that name already"):
        register_loss("infonce")(Distance)
