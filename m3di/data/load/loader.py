"""Read batches ahead by threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Any, Protocol, TypeVar

from m3di.data.load.batches import Batches
from m3di.errors import UsageError

T = TypeVar("T")
Indices = list[int]


class Batched(Protocol):
    """Returns a batch for a list of indices, to several threads at once, as `Multimodal3DIdent` does."""

    def __getitem__(self, indices: Any, /) -> Any: ...


class BatchLoader:
    """Batches of one epoch after the other, read ahead by threads.

    It uses threads, not processes: reading, decoding and copying images release Python's lock, and to move a batch
    between processes costs about as much as to decode it. A `transform` in Python holds the lock: for a slow one, use
    torch's DataLoader and its processes (`batch_sampler=batches`).

    The order is that of `batches`, for any number of threads; `batches.state_dict()` is exact at any time: batches
    that are read ahead and not given out yet do not count. The loader has the same `state_dict` for frameworks that ask
    it, as Lightning does.

    Args:
        dataset: The dataset.
        batches: The order; it moves on batch by batch.
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
        """Count the batches of a whole epoch."""
        return len(self.batches)

    @property
    def sampler(self) -> Batches:
        """The order; frameworks look for it here."""
        return self.batches

    batch_sampler = sampler

    def set_epoch(self, epoch: int) -> None:
        """Go on to an epoch, see `Batches`."""
        self.batches.set_epoch(epoch)

    def state_dict(self) -> dict[str, int]:
        """Return the position in the order, see `Batches`."""
        return self.batches.state_dict()

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Continue from a state, see `Batches`."""
        self.batches.load_state_dict(state)

    def __iter__(self) -> Iterator[Any]:
        """Yield the batches of an epoch, or of the rest of one, see `Batches`."""
        epoch, first = self.batches.begin()
        with closing(self._read(self.batches.rest(epoch, first))) as batches:  # an epoch may be left in the middle
            for number, batch in enumerate(batches, first + 1):
                self.batches.took(epoch, number)
                yield batch

    def _read(self, order: Iterator[Indices]) -> Generator[Any, None, None]:
        if self.n_threads == 0:
            yield from map(self.dataset.__getitem__, order)
            return
        n_ahead = self.n_threads * self.n_ahead
        yield from read_ahead(self.dataset.__getitem__, order, n_threads=self.n_threads, n_ahead=n_ahead)


def read_ahead(
    read: Callable[[Indices], T],
    order: Iterable[Indices],
    *,
    n_threads: int,
    n_ahead: int,
    start: Callable[[], object] | None = None,
) -> Generator[T, None, None]:
    """Yield `read(indices)` for each list of indices, in order, read ahead by threads.

    Args:
        read: Called by several threads at once where `n_threads` is above 1.
        order: Lists of indices, taken `n_ahead` before they are due.
        n_threads: Threads that read, 1 or more.
        n_ahead: Batches that are being read or wait to be taken; all of them are in memory.
        start: Called in each thread before it reads.

    Raises:
        Exception: What `read` raised, where that batch is due.
    """
    rest, ahead = iter(order), deque[Future[T]]()
    pool = ThreadPoolExecutor(n_threads, "m3di-loader", initializer=start)
    try:
        while True:
            while len(ahead) < n_ahead and (indices := next(rest, None)) is not None:
                ahead.append(pool.submit(read, indices))
            if not ahead:
                return
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
