"""Augmentations: what each does to an image, and that a run repeats and goes on with them, bit for bit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from m3di.errors import UsageError
from m3di.learn import TrainConfig, train_on
from m3di.learn.training.augmentation import AUGMENTATIONS, augmented, generator_of
from tests.conftest import slow
from tests.learn.test_resume import check_equal

CPU = torch.device("cpu")
CONFIG = TrainConfig(
    n_steps=6,
    batch_size=4,
    hidden_size=8,
    precision="fp32",
    image_encoder="tiny-bn",
    checkpoint_every=2,
    augment=tuple(AUGMENTATIONS),
    tensorboard=False,
)


def images(n=64, side=32):
    return torch.randint(0, 256, (n, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def one(name, x, step=1):
    return augmented(x, (name,), generator_of(CPU, 0, step))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_shape_range_and_draws_of_a_step(name):
    x = images()
    found = one(name, x)
    assert (found.shape, found.dtype) == (x.shape, torch.float32)
    assert found.min() >= 0 and found.max() <= 255
    assert torch.equal(found, one(name, x))
    assert not torch.equal(found, one(name, x, step=2))
    assert not torch.equal(found, x.float())
    assert not torch.equal(found, augmented(x, (name,), generator_of(CPU, 0, 1, rank=1)))
    assert not torch.equal(found, augmented(x, (name,), generator_of(CPU, 1, 1)))


def test_flip_mirrors_about_half_of_the_images():
    x = images().float()
    found = one("flip", x)
    mirrored = torch.tensor([torch.equal(a, b.flip(2)) for a, b in zip(found, x, strict=True)])
    same = torch.tensor([torch.equal(a, b) for a, b in zip(found, x, strict=True)])
    assert (mirrored ^ same).all() and 20 <= mirrored.sum() <= 44


def test_shift_moves_by_up_to_two_of_32_pixels():
    x = torch.zeros(200, 3, 32, 32)
    x[:, :, 16, 16] = 255
    found = one("shift", x)
    at = found[:, 0].flatten(1).argmax(1)
    offsets = {(row.item() // 32 - 16, row.item() % 32 - 16) for row in at}
    assert {abs(each) for pair in offsets for each in pair} == {0, 1, 2}
    assert len(offsets) == 25
    assert (found.sum(dim=(1, 2, 3)) == 3 * 255).all()
    ramp = torch.arange(32.0).expand(50, 3, 32, 32)
    assert set(one("shift", ramp)[:, 0, 0, 0].tolist()) == {0.0, 1.0, 2.0}  # edge pixels fill up


def test_crop_keeps_a_plane_a_plane_of_at_least_four_fifths_its_slope():
    ramp = (torch.arange(32.0) * 8).expand(100, 3, 32, 32)
    found = one("crop", ramp)[:, 0, 16]
    slopes = (found[:, 20] - found[:, 12]) / 8 / 8
    assert 0.8 - 1e-5 <= slopes.min() < 0.85 and 0.95 < slopes.max() <= 1 + 1e-5
    plain = torch.full((4, 3, 32, 32), 77.0)
    torch.testing.assert_close(one("crop", plain), plain)


def test_color_gray_and_noise():
    plain = torch.full((500, 3, 8, 8), 100.0)
    brightness = one("color", plain)[:, 0, 0, 0] / 100
    assert 0.8 <= brightness.min() < 0.82 and 1.18 < brightness.max() <= 1.2
    red = torch.zeros(500, 3, 8, 8)
    red[:, 0] = 200.0
    grayed = one("gray", red)
    without = (grayed[:, 0] == grayed[:, 1]).all(dim=2).all(dim=1)
    assert 70 <= without.sum() <= 130
    assert grayed[without][0, 0, 0, 0].item() == pytest.approx(0.299 * 200)
    assert (one("noise", plain) - plain).std().item() == pytest.approx(7.65, rel=0.02)


def test_erase_hides_a_square_of_a_quarter_of_the_side():
    x = images().float()
    changed = (one("erase", x) != x).any(dim=1)
    assert (changed.sum(dim=(1, 2)) == 64).all()
    assert (changed.any(dim=1).sum(dim=1) == 8).all()


@pytest.mark.slow
@pytest.mark.parametrize("stop_at", [3, *slow(1, 5)])
def test_a_run_goes_on_with_the_augmentations_of_its_steps(make_pairs, tiny_encoder, tmp_path, stop_at):
    def stop(step, _loss):
        if step == stop_at:
            raise KeyboardInterrupt

    train_on(make_pairs(), tmp_path / "whole", CONFIG, val=make_pairs(5))
    with pytest.raises(KeyboardInterrupt):
        train_on(make_pairs(), tmp_path / "run", CONFIG, on_step=stop, val=make_pairs(5))
    train_on(make_pairs(), tmp_path / "run", replace(CONFIG, n_workers=2), val=make_pairs(5))
    check_equal(tmp_path / "run", tmp_path / "whole")
    plain = train_on(make_pairs(), tmp_path / "plain", replace(CONFIG, augment=()), val=make_pairs(5))
    assert plain.final_loss != train_on(make_pairs(), tmp_path / "run", CONFIG).final_loss


def test_an_augmentation_that_there_is_not():
    with pytest.raises(UsageError, match=r"unknown augmentation(?s:.)*color, crop, erase(?s:.)*did you mean 'noise'"):
        replace(CONFIG, augment=("nois",))


def test_an_augmentation_of_yours_is_known_by_its_name(registries):
    @AUGMENTATIONS.register("darken")
    def darken(x, draws):
        return 0.5 * x

    assert replace(CONFIG, augment=("darken",)).augment == ("darken",)
    assert torch.equal(one("darken", images(2, 4)), images(2, 4) / 2)
    with pytest.raises(UsageError, match=r"augmentation of that name already"):
        AUGMENTATIONS.register("flip")(darken)
