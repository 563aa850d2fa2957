"""What only a GPU can show. Left out unless asked for: `pytest -m gpu tests/learn/test_on_gpu.py`.

Needs no other test file's fixtures, so it runs with `--noconftest` where m3di and Blender are not installed.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from m3di.learn import SymInfoNCE, TrainConfig, load_encoders, register_image_encoder, train_on
from m3di.learn.models import registry
from m3di.learn.training.loading import batch_loader, pinned, to_device
from m3di.learn.training.precision import exact_products, float32_products
from m3di.learn.training.update import NotFiniteError, Updater
from m3di.simulate import Simulation, SimulationConfig, train
from tests.conftest import keep
from tests.learn.conftest import FakePairs, TinyEncoder

pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("default")]
TINY = TrainConfig(
    n_steps=6,
    batch_size=4,
    hidden_size=8,
    device="cuda",
    learn_temperature=True,
    checkpoint_every=2,
    diagnostics_every=3,
    val_every=4,
    tensorboard=False,
)
SIMULATED = {"n_content": 2, "n_style": 2, "n_modality": 2, "batch_size": 256, "n_steps": 24, "device": "cuda"}


class Killed(Exception):
    pass


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    keep(registry.IMAGE_ENCODERS, monkeypatch)
    register_image_encoder("tiny-bn", TinyEncoder)


def weights_of(run: Path) -> list[torch.Tensor]:
    return [*load_encoders(run).image.state_dict().values(), *load_encoders(run).text.state_dict().values()]


@pytest.mark.parametrize("workers", [{"n_workers": 0}, {"n_workers": 3}, {"n_workers": 1, "worker_kind": "processes"}])
def test_it_trains_and_goes_on_after_it_was_killed(tmp_path, workers):
    config, told = replace(TINY, **workers), []
    result = train_on(FakePairs(), tmp_path / "whole", config, lambda *made: told.append(made), val=FakePairs(5))
    assert result.device == "cuda"
    assert [step for step, _ in told] == [1, 2, 3, 4, 5, 6]
    lines = (tmp_path / "whole" / "metrics.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == ["1", "2", "3", "4", "5", "6"]
    assert [bool(line.split(",")[2]) for line in lines[1:]] == [False, False, False, True, False, True]
    assert next(load_encoders(tmp_path / "whole").image.parameters()).device.type == "cpu"

    def kill(step, _loss):
        if step == 3:
            raise Killed

    with pytest.raises(Killed):
        train_on(FakePairs(), tmp_path / "killed", config, kill, val=FakePairs(5))
    again = train_on(FakePairs(), tmp_path / "killed", config, val=FakePairs(5))
    for whole, killed in zip(weights_of(tmp_path / "whole"), weights_of(tmp_path / "killed"), strict=True):
        torch.testing.assert_close(whole, killed, rtol=1e-2, atol=1e-3)
    assert again.final_loss == pytest.approx(result.final_loss, rel=1e-2)


def test_settings_of_the_process_are_as_before(tmp_path):
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = (matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark)
    for precision in ("fp32", "tf32", "bf16"):
        config = replace(TINY, image_encoder="tiny-bn", precision=precision)
        within = []
        train_on(
            FakePairs(),
            tmp_path / precision,
            config,
            lambda *_, to=within: to.append((matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark)),
        )
        assert set(within) == {(precision == "tf32", precision == "tf32", True)}
        assert (matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark) == before


def error_of(product, factors) -> float:
    exact = product(*(each.double() for each in factors))
    return float((product(*factors) - exact).abs().max() / exact.abs().max())


@pytest.mark.parametrize(
    ("product", "shapes"),
    [
        (torch.mm, ((1024, 1024), (1024, 1024))),
        (torch.nn.functional.conv2d, ((8, 64, 32, 32), (64, 64, 3, 3))),
    ],
)
def test_tf32_is_only_what_is_called_so(product, shapes):
    factors = [torch.randn(shape, device="cuda") for shape in shapes]
    with float32_products("fp32", "cuda"):
        assert error_of(product, factors) < 5e-6
    with float32_products("tf32", "cuda"):
        assert 2e-5 < error_of(product, factors) < 5e-3
        if product is torch.mm:
            with exact_products("cuda"):
                assert error_of(product, factors) < 5e-6
            assert error_of(product, factors) > 2e-5


def test_the_loss_is_exact_under_tf32():
    torch.manual_seed(0)
    z = [(100 + torch.randn(512, 5, device="cuda")).requires_grad_() for _ in range(2)]
    loss = SymInfoNCE(similarity="neg_squared_euclidean")
    found = []
    for precision in ("fp32", "tf32"):
        with float32_products(precision, "cuda"):
            value = loss(*z)
            found.append([value, *torch.autograd.grad(value, z)])
    for exact, rounded in zip(*found, strict=True):
        torch.testing.assert_close(exact, rounded, rtol=1e-6, atol=1e-9)


def test_batches_are_page_locked_and_whole():
    pairs, device = FakePairs(64), torch.device("cuda", 0)
    order = [list(range(first, first + 8)) for first in range(0, 64, 8)] * 40
    for indices, batch in zip(order, batch_loader(pairs, ("image",), order, n_workers=4, device=device), strict=True):
        assert batch["image"].is_pinned()
        there = to_device(batch, device)["image"]
        del batch  # its memory may be given out again, but not before it has been copied
        assert torch.equal(there.cpu(), pairs.images[indices])


def test_page_locked_copies_keep_their_layout():
    images = torch.randint(0, 255, (3, 5, 7, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    copy = pinned({"image": images})["image"]
    assert torch.equal(copy, images)
    assert copy.stride() == images.stride() == to_device({"image": copy}, torch.device("cuda"))["image"].stride()


def test_a_step_does_not_wait_and_a_bad_one_moves_nothing():
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)).cuda()
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-2, fused=True)
    updater = Updater(optimizer, module.parameters(), 2.0, lambda: 0.5, late=True)
    x = torch.randn(16, 4, device="cuda")
    assert updater.make(1, module(x).square().mean(), 1e-2) == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "Synchronization debug mode is a prototype")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            (made,) = updater.make(2, module(x).square().mean(), 1e-2)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert (made.step, made.temperature) == (1, 0.5)
    before = [weight.detach().clone() for weight in module.parameters()]
    updater.make(3, module(x).square().mean() * float("nan"), 1e-2)
    with pytest.raises(NotFiniteError, match="loss nan") as caught:
        updater.make(4, module(x).square().mean(), 1e-2)
    assert caught.value.step == 3
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))


def test_a_learned_temperature_is_told_of_without_waiting(tmp_path):
    told = []
    train_on(FakePairs(), tmp_path, replace(TINY, image_encoder="tiny-bn", lr=0.1), lambda *made: told.append(made))
    rows = [line.split(",") for line in (tmp_path / "metrics.csv").read_text().splitlines()]
    temperatures = [float(row[rows[0].index("temperature")]) for row in rows[1:]]
    assert len(set(temperatures)) == 6


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
@pytest.mark.parametrize("negatives", ["cross", "fresh"])
def test_a_graph_makes_the_steps_that_are_made_without(precision, negatives):
    with float32_products(precision, "cuda"):
        plain, graphed = (
            Simulation(SimulationConfig(**SIMULATED, precision=precision, negatives=negatives, cuda_graph=graph))
            for graph in (False, True)
        )
        losses = [(plain.step().item(), graphed.step().item()) for _ in range(24)]
    assert [one for one, _ in losses] == pytest.approx([other for _, other in losses], rel=1e-4)
    assert torch.equal(plain.generator.get_state(), graphed.generator.get_state())
    for a, b in zip(plain.weights, graphed.weights, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


def test_a_graph_heeds_a_falling_learning_rate():
    plain, graphed = (
        Simulation(SimulationConfig(**SIMULATED, schedule="cosine", cuda_graph=graph)) for graph in (False, True)
    )
    for _ in range(24):
        assert plain.step().item() == graphed.step().item()
    for a, b in zip(plain.weights, graphed.weights, strict=True):
        assert torch.equal(a, b)


def test_a_simulation_with_a_graph_goes_on_after_it_was_killed(tmp_path):
    config = SimulationConfig(**SIMULATED, cuda_graph=True, log_every=4, checkpoint_every=10)

    def kill(step, _loss):
        if step == 16:
            raise Killed

    whole, rest = Simulation(config), Simulation(replace(config, cuda_graph=False))
    train(whole, tmp_path / "whole")
    with pytest.raises(Killed):
        train(Simulation(config), tmp_path / "killed", kill)
    train(rest, tmp_path / "killed")
    assert torch.equal(whole.generator.get_state(), rest.generator.get_state())
    for a, b in zip(whole.weights, rest.weights, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)
