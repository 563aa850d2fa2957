"""Batches read ahead by threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any, Protocol

from m3di.data.batches import Batches
from m3di.errors import UsageError


class Batched(Protocol):
    """What gives a batch for a list of indices, from several threads at once; `Multimodal3DIdent` is one."""

    def __getitem__(self, indices: Any, /) -> Any: ...


class BatchLoader:
    """The batches of one epoch after the other, whole, read ahead by threads.

    Threads rather than processes: reading, decoding and copying images let go of Python's lock, and to take a batch
    from one process to another costs about as much as to decode it. A `transform` written in Python holds the lock:
    with one that is slow, use torch's DataLoader and its processes (`batch_sampler=batches`).

    The order is that of `batches`, whatever the number of threads; `batches.state_dict()` is exact at any time: batches
    that are read ahead and not given out yet do not count. The loader has the same `state_dict` for frameworks that ask
    it, as Lightning does.

    Args:
        dataset: What to read.
        batches: The order. It is moved on batch by batch.
        n_threads: Threads that read; 0 reads each batch when it is asked for.
        n_ahead: Batches that each thread may be ahead; all of them are in memory.

    Raises:
        UsageError: A number is too small.
    """

    def __init__(self, dataset: Batched, batches: Batches, *, n_threads: int = 1, n_ahead: int = 2) -> None:
        for name, value, least in (("n_threads", n_threads, 0), ("n_ahead", n_ahead, 1)):
            if value < least:
                raise UsageError(f"{name} is too small", got=value, expected=f"{least} or more")
        self.dataset, self.batches = dataset, batches
        self.n_threads, self.n_ahead = n_threads, n_ahead

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        return len(self.batches)

    def state_dict(self) -> dict[str, int]:
        """Where the order stands, see `Batches`."""
        return self.batches.state_dict()

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Continue where a state stands, see `Batches`."""
        self.batches.load_state_dict(state)

    def __iter__(self) -> Iterator[Any]:
        """A whole epoch, or the rest of one, see `Batches`; a batch is what `dataset[indices]` gives."""
        epoch, first = self.batches.begin()
        with self._batches_ahead(self.batches.rest(epoch, first)) as ahead:
            for number, read in enumerate(ahead, first + 1):
                batch = read()
                self.batches.took(epoch, number)
                yield batch

    @contextmanager
    def _batches_ahead(self, rest: Iterator[list[int]]) -> Iterator[Iterator[Callable[[], Any]]]:
        """For each batch in turn a function that gives it; threads read some of them ahead."""
        if self.n_threads == 0:
            yield (partial(self.dataset.__getitem__, indices) for indices in rest)
            return
        pool = ThreadPoolExecutor(self.n_threads, "m3di-loader")
        waiting = (pool.submit(self.dataset.__getitem__, indices) for indices in rest)
        ahead = deque(islice(waiting, self.n_threads * self.n_ahead))

        def in_turn() -> Iterator[Callable[[], Any]]:
            while ahead:
                yield ahead.popleft().result
                ahead.extend(islice(waiting, 1))

        try:
            yield in_turn()
        finally:  # an epoch may be left in the middle
            pool.shutdown(cancel_futures=True)
