from __future__ import annotations

from itertools import chain

import pytest
import torch

from m3di.data import Batches, Normaliser
from m3di.errors import M3diError, UsageError


def test_an_epoch_is_every_sample_once_in_an_order_of_its_own() -> None:
    sampler = Batches(range(23), 4, seed=3)
    first, second = list(sampler), list(sampler)
    assert len(first) == len(sampler) == 6
    assert sorted(chain(*first)) == sorted(chain(*second)) == list(range(23))
    assert first != second
    assert list(Batches(range(23), 4, seed=3)) == first
    assert list(Batches(range(23), 4, seed=4)) != first
    assert list(chain(*Batches(range(23), 4, shuffle=False))) == list(range(23))
    assert [len(batch) for batch in Batches(range(23), 4, drop_last=True)] == [4] * 5


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("n", [23, 24])
def test_ranks_share_an_epoch(n: int, drop_last: bool) -> None:
    ranks = [list(Batches(range(n), 3, seed=1, rank=rank, world_size=3, drop_last=drop_last)) for rank in range(3)]
    assert len({len(batches) for batches in ranks}) == 1
    seen = [index for batches in ranks for batch in batches for index in batch]
    if drop_last:
        assert len(seen) == len(set(seen)) >= n - 9
    else:
        assert set(seen) == set(range(n))
        assert len(seen) == 24


@pytest.mark.parametrize("stop", [0, 1, 5, 6, 7, 13])
def test_a_state_resumes_in_mid_epoch(stop: int) -> None:
    def take(sampler: Batches, n: int) -> list[list[int]]:
        taken: list[list[int]] = []
        while len(taken) < n:
            for batch in sampler:
                taken.append(batch)
                if len(taken) == n:
                    break
        return taken

    whole = take(Batches(range(23), 4), 20)
    before = Batches(range(23), 4)
    head = take(before, stop)
    after = Batches(range(23), 4)
    after.load_state_dict(before.state_dict())
    assert head + take(after, 20 - stop) == whole


def test_a_loader_that_reads_ahead_says_what_it_used() -> None:
    sampler = Batches(range(23), 4)
    batches = iter(sampler)
    ahead = [next(batches) for _ in range(4)]
    again = Batches(range(23), 4)
    again.load_state_dict(sampler.state_dict(n_batches=2))
    assert next(iter(again)) == ahead[2]


def test_errors() -> None:
    with pytest.raises(UsageError, match="batch_size is too small"):
        Batches(range(4), 0)
    with pytest.raises(UsageError, match="rank is no rank of the world"):
        Batches(range(4), 1, rank=2, world_size=2)
    with pytest.raises(M3diError, match=r"state is that of another order(?s:.)*seed 1(?s:.)*seed 0"):
        Batches(range(4), 2).load_state_dict(Batches(range(4), 2, seed=1).state_dict())


def test_normaliser_against_the_formula() -> None:
    mean, std = (0.4, 0.5, 0.6), (0.1, 0.2, 0.3)
    normaliser = Normaliser(mean, std)
    for layout in (torch.channels_last, torch.contiguous_format):
        images = torch.randint(0, 256, (5, 3, 7, 9), dtype=torch.uint8).contiguous(memory_format=layout)
        got = normaliser(images)
        expected = (images.float() / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)
        assert normaliser(images).data_ptr() == got.data_ptr()
