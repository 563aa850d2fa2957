"""Image statistics, sample order, and the loader."""

from __future__ import annotations

from itertools import chain

import pytest
import torch

from m3di.errors import M3diError
from m3di.learn.training.inputs import ImageStatistics, TrainingOrder, measure_image_statistics


def test_statistics_equal_torchs(make_pairs):
    pairs = make_pairs(n_samples=5)
    statistics = measure_image_statistics(pairs)
    pixels = pairs.images.double().transpose(0, 1).reshape(3, -1) / 255
    assert statistics.n_samples == 5
    assert statistics.mean == pytest.approx(pixels.mean(dim=1).tolist(), rel=1e-12)
    assert statistics.std == pytest.approx(pixels.std(dim=1, correction=0).tolist(), rel=1e-12)


def test_normalised_images_have_zero_mean_and_unit_variance(make_pairs):
    pairs = make_pairs()
    normal = measure_image_statistics(pairs).normalise(pairs.images)
    assert normal.dtype == torch.float32
    torch.testing.assert_close(normal.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(normal.std(dim=(0, 2, 3)), torch.ones(3), atol=1e-4, rtol=0)


def test_statistics_read_evenly_spaced_samples_once_each(make_pairs):
    class Recording(make_pairs):
        def __getitem__(self, index):
            read.append(index)
            return super().__getitem__(index)

    read: list[int] = []
    assert measure_image_statistics(Recording(n_samples=11), n_samples=6).n_samples == 6
    assert read == [0, 2, 4, 6, 8, 10]


def test_a_constant_channel_stays_finite(make_pairs):
    pairs = make_pairs(n_samples=3)
    pairs.images[:, 1] = 77
    statistics = measure_image_statistics(pairs)
    assert statistics.std[1] == pytest.approx(1 / 255)
    assert statistics.normalise(pairs.images)[:, 1].abs().max() < 1e-4


def test_images_that_are_not_8_bit_rgb(make_pairs):
    pairs = make_pairs()
    pairs.images = pairs.images.float()
    with pytest.raises(M3diError, match=r"not 8-bit RGB(?s:.)*torch\.float32"):
        measure_image_statistics(pairs)
    pairs.images = pairs.images[:, :1].to(torch.uint8)
    with pytest.raises(M3diError, match=r"not 8-bit RGB(?s:.)*\[1, 32, 32\]"):
        measure_image_statistics(pairs)


def test_normalise_by_hand():
    statistics = ImageStatistics((0.0, 0.2, 1.0), (1.0, 0.5, 0.1), 1)
    white = statistics.normalise(torch.full((1, 3, 1, 1), 255, dtype=torch.uint8))
    torch.testing.assert_close(white.flatten(), torch.tensor([1.0, 1.6, 0.0]))


def test_each_epoch_is_a_new_shuffle_without_its_incomplete_batch():
    batches = list(TrainingOrder(n_samples=10, batch_size=3, n_steps=7, seed=0))
    assert len(batches) == 7
    assert {len(batch) for batch in batches} == {3}
    first, second = ([*chain.from_iterable(epoch)] for epoch in (batches[:3], batches[3:6]))
    assert len(set(first)) == len(set(second)) == 9
    assert first != second


def test_order_is_a_function_of_the_seed():
    def order(seed):
        return list(TrainingOrder(10, 3, 7, seed))

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_a_longer_run_begins_as_a_shorter_one():
    assert list(TrainingOrder(10, 3, 9, 0))[:4] == list(TrainingOrder(10, 3, 4, 0))


def test_an_order_goes_on_from_any_step():
    whole = list(TrainingOrder(10, 3, 9, 0))
    for first_step in range(10):
        rest = TrainingOrder(10, 3, 9, 0, first_step=first_step)
        assert list(rest) == whole[first_step:]
        assert len(rest) == 9 - first_step


def test_processes_share_out_each_batch():
    whole = list(TrainingOrder(11, 4, 5, 0))
    parts = [list(TrainingOrder(11, 4, 5, 0, rank=rank, world_size=2)) for rank in range(2)]
    assert [sorted(a + b) for a, b in zip(*parts, strict=True)] == [sorted(batch) for batch in whole]


def test_scale_and_shift_are_made_once_for_a_device(monkeypatch):
    statistics = ImageStatistics((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 2)
    image = torch.full((2, 3, 4, 4), 9, dtype=torch.uint8)
    with torch.inference_mode():
        first = statistics.normalise(image)
    monkeypatch.setattr(torch, "tensor", None)  # would fail if one were made
    assert torch.equal(statistics.normalise(image), first)
    weight = torch.ones(3, 1, 1, requires_grad=True)
    (statistics.normalise(image) * weight).sum().backward()  # what inference mode made serves training too
    assert weight.grad is not None
