"""A batch encoded in parts has the loss and the gradients of the whole batch."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from m3di.errors import UsageError
from m3di.learn import TrainConfig, register_image_encoder, train_on
from m3di.learn.losses import LOSSES
from m3di.learn.models.encoder_set import build_encoders
from m3di.learn.training.accumulation import in_parts
from m3di.learn.training.checkpoint import latest_checkpoint
from m3di.learn.training.inputs import measure_image_statistics, view_inputs
from m3di.learn.training.step import ContrastiveStep, make_loss
from m3di.learn.training.tensor_file import read_tensors

CONFIG = TrainConfig(
    n_steps=3,
    batch_size=8,
    hidden_size=8,
    lr=0.01,
    precision="fp32",
    image_encoder="tiny",
    text_encoder="tiny",
    clip_norm=1e9,
    tensorboard=False,
)


def step_for(pairs, config):
    torch.manual_seed(0)
    encoders = build_encoders(view_inputs(pairs), config, {"image": measure_image_statistics(pairs)})
    return ContrastiveStep(encoders.train(), make_loss(config), "fp32")


def gradients(step_of):
    return {name: each.grad.clone() for name, each in step_of.named_parameters()}


@pytest.mark.parametrize("loss", LOSSES.own())
@pytest.mark.parametrize("n_parts", [2, 4, 8])
def test_loss_and_gradients_are_those_of_the_whole_batch(make_pairs, tiny_encoder, loss, n_parts):
    learned = "learn_temperature" in LOSSES[loss].heeds
    pairs, config = make_pairs(), replace(CONFIG, loss=loss, learn_temperature=learned)
    batch = {name: each for name, each in pairs[list(range(8))].items() if name in ("image", "text")}
    whole, parts = step_for(pairs, config), step_for(pairs, config)
    wanted, z = whole(batch)
    wanted.backward()
    found, encoded, backward = in_parts(parts, parts, batch, n_parts)
    backward()
    torch.testing.assert_close(found, wanted.detach())
    torch.testing.assert_close(encoded, z)
    for name, grad in gradients(parts).items():
        torch.testing.assert_close(grad, gradients(whole)[name], rtol=1e-4, atol=1e-5)
    assert ("loss.log_temperature" in gradients(parts)) == learned
    halves = step_for(pairs, config)  # what sums of the losses of parts would be is something else
    for rows in (slice(0, 4), slice(4, 8)):
        (halves({name: each[rows] for name, each in batch.items()})[0] / 2).backward()
    differ = [not torch.allclose(grad, gradients(whole)[name], rtol=0.05) for name, grad in gradients(halves).items()]
    assert any(differ)


class Dropping(nn.Module):
    """Drops pixels, and normalises by the batch."""

    def __init__(self, encoding_size, _hidden_size):
        super().__init__()
        self.drop, self.fc, self.norm = nn.Dropout(0.5), nn.Linear(3, encoding_size), nn.BatchNorm1d(encoding_size)

    def forward(self, image):
        return self.norm(self.fc(self.drop(image.mean(dim=(2, 3)))))


def test_the_second_pass_drops_the_same_and_moves_running_statistics_no_more(make_pairs, tiny_encoder):
    register_image_encoder("dropping", Dropping)
    pairs, config = make_pairs(), replace(CONFIG, image_encoder="dropping")
    batch = {name: each for name, each in pairs[list(range(8))].items() if name in ("image", "text")}
    once, parts = step_for(pairs, config), step_for(pairs, config)
    torch.manual_seed(3)
    z = [once.encode({name: each[rows] for name, each in batch.items()}) for rows in (slice(0, 4), slice(4, 8))]
    wanted = once.loss(*(torch.cat(view) for view in zip(*z, strict=True)))
    wanted.backward()
    after = torch.rand(1)
    torch.manual_seed(3)
    found, _, backward = in_parts(parts, parts, batch, 2)
    backward()
    assert torch.equal(found, wanted.detach())
    assert torch.rand(1) == after
    for name, grad in gradients(parts).items():
        torch.testing.assert_close(grad, gradients(once)[name])
    norms = [each.encoders.image.norm for each in (once, parts)]
    assert norms[1].num_batches_tracked == 2
    torch.testing.assert_close(norms[0].running_mean, norms[1].running_mean)


def test_a_run_in_parts_is_the_run_without(make_pairs, tiny_encoder, tmp_path):
    for n_parts in (1, 4):
        train_on(make_pairs(), tmp_path / str(n_parts), replace(CONFIG, accumulate=n_parts), val=make_pairs(5))
    one, four = (read_tensors(latest_checkpoint(tmp_path / name) / "text_encoder.safetensors")[0] for name in "14")
    torch.testing.assert_close(four, one, rtol=1e-3, atol=1e-5)


def test_parts_that_are_not_equal(make_pairs, tiny_encoder, tmp_path):
    with pytest.raises(UsageError, match="batch cannot be cut into equal parts"):
        train_on(make_pairs(), tmp_path / "run", replace(CONFIG, accumulate=3))
    assert not (tmp_path / "run").exists()
    with pytest.raises(UsageError, match="accumulate is too small"):
        replace(CONFIG, accumulate=0)
