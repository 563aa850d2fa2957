from __future__ import annotations

from itertools import chain, islice
from typing import Any

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


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("drop_last", [True, False])
@pytest.mark.parametrize(("rank", "world_size"), [(0, 1), (1, 3)])
def test_every_pass_is_whole_however_the_last_one_ended(
    shuffle: bool, drop_last: bool, rank: int, world_size: int
) -> None:
    sampler = Batches(range(60), 7, shuffle=shuffle, drop_last=drop_last, rank=rank, world_size=world_size)
    n = len(sampler)
    expected = [list(sampler.rest(epoch, 0)) for epoch in range(9)]
    assert len(expected[0]) == n > 1
    assert list(islice(sampler, n)) == expected[0]  # as Lightning's fetcher takes it: exactly that many
    assert [batch for _, batch in zip(range(n), sampler, strict=False)] == expected[1]
    assert list(islice(sampler, 1)) == expected[2][:1]  # left in the middle, as in a sanity check
    assert list(sampler) == expected[3]
    for epoch in (4, 5):  # all but the last batch, as `limit_train_batches` does: other samples in each pass
        assert list(islice(sampler, n - 1)) == expected[epoch][: n - 1]
    outer = iter(sampler)
    first = next(outer)
    assert list(sampler) == expected[7]  # a pass within a pass
    assert [first, *outer] == expected[6]


def test_an_iterator_that_nobody_uses_takes_nothing() -> None:
    sampler = Batches(range(23), 4)
    sampler.load_state_dict({**sampler.state_dict(), "epoch": 2, "position": 3})
    iter(sampler)
    assert list(sampler) == list(sampler.rest(2, 3))
    assert list(sampler) == list(sampler.rest(3, 0))


def test_what_a_pass_with_readers_ahead_has_used() -> None:
    sampler = Batches(range(23), 4)
    sampler.load_state_dict({**sampler.state_dict(), "epoch": 5, "position": 2})
    list(sampler)  # the reader is at the end of the pass; training has used some of it
    for n_used, (epoch, position) in {0: (5, 2), 3: (5, 5), 4: (6, 0)}.items():
        state = sampler.state_dict(n_batches=n_used)
        assert (state["epoch"], state["position"]) == (epoch, position)
    for n_wrong in (-1, 5):
        with pytest.raises(UsageError, match=r"n_batches is not in its range(?s:.)*0 to 4"):
            sampler.state_dict(n_batches=n_wrong)


def test_frameworks_that_resume_move_the_order_ahead_but_never_back() -> None:
    sampler = Batches(range(23), 4)
    sampler.set_epoch(2)
    assert list(sampler) == list(sampler.rest(2, 0))
    sampler.set_epoch(0)
    next(iter(sampler))
    sampler.set_epoch(3)  # that pass was left in the middle
    assert list(sampler) == list(sampler.rest(4, 0))
    sampler.load_state_dict({**sampler.state_dict(), "epoch": 5, "position": 2})
    sampler.set_epoch(5)
    sampler.set_epoch(1)
    assert list(sampler) == list(sampler.rest(5, 2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"position": -1}, "stands at position -1, which cannot be"),
        ({"position": 7}, r"stands at position 7, which cannot be(?s:.)*0 to 6, batches of an epoch"),
        ({"position": 1.0}, r"stands at position 1\.0"),
        ({"position": True}, "stands at position True"),
        ({"epoch": -1}, "stands at epoch -1"),
        ({"epoch": "2"}, "stands at epoch '2'"),
        ({"epoch": None}, "stands at epoch None"),
        ({"seed": 1}, r"that of another order(?s:.)*seed 1(?s:.)*seed 0"),
        ({"n": 22, "world_size": 2}, r"that of another order(?s:.)*n 22, world_size 2"),
    ],
)
def test_states_that_cannot_be(change: dict[str, Any], message: str) -> None:
    sampler = Batches(range(23), 4)
    list(islice(sampler, 2))
    with pytest.raises(M3diError, match=message):
        sampler.load_state_dict({**sampler.state_dict(), **change})
    assert (sampler.epoch, sampler.position) == (0, 2)  # nothing has changed


@pytest.mark.parametrize("state", [None, 3, [1, 2]])
def test_what_is_no_state(state: Any) -> None:
    with pytest.raises(M3diError, match="this is no state of an order"):
        Batches(range(23), 4).load_state_dict(state)


def test_a_state_at_the_end_of_an_epoch_is_the_start_of_the_next() -> None:
    sampler = Batches(range(23), 4)
    sampler.load_state_dict({**sampler.state_dict(), "position": 6})
    assert list(sampler) == list(sampler.rest(1, 0))


def test_errors() -> None:
    wrong: list[tuple[Any, dict[str, Any]]] = [(0, {}), (2.0, {}), (True, {}), (2, {"seed": -1}), (2, {"seed": "0"})]
    for batch_size, options in wrong:
        with pytest.raises(UsageError, match=r"(batch_size|seed) is not in its range(?s:.)*an integer, [01] or more"):
            Batches(range(4), batch_size, **options)
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
