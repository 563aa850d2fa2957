"""Image statistics, sample order, and the loader."""

from __future__ import annotations

from itertools import chain

import pytest
import torch

from m3di.errors import M3diError
from m3di.learn.inputs import ImageStatistics, TrainingOrder, measure_image_statistics
from m3di.learn.loading import batch_loader


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


def test_loader_gives_batches_in_the_order_asked_for(make_pairs):
    pairs = make_pairs()
    order = TrainingOrder(len(pairs), 4, 5, seed=2)
    loaded = list(batch_loader(pairs, ("text", "image"), order, n_workers=0, device=torch.device("cpu")))
    assert len(loaded) == 5
    for batch, indices in zip(loaded, order, strict=True):
        assert list(batch) == ["text", "image"]
        assert torch.equal(batch["image"], pairs.images[indices])
        assert torch.equal(batch["text"], pairs.texts[indices])
