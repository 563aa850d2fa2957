"""Batches read ahead by threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from m3di.data.batches import Batches
from m3di.data.dataset import Multimodal3DIdent
from m3di.errors import UsageError


class BatchLoader:
    """The batches of one epoch after the other, whole, read ahead by threads.

    Threads rather than processes: reading, decoding and copying images let go of Python's lock, and to take a batch
    from one process to another costs about as much as to decode it. A `transform` written in Python holds the lock:
    with one that is slow, use torch's DataLoader and its processes (`sampler=batches, batch_size=None`).

    The order is that of `batches`, whatever the number of threads; `batches.state_dict()` is exact at any time: batches
    that are read ahead and not given out yet do not count.

    Args:
        dataset: What to read.
        batches: The order. It is moved on batch by batch.
        n_threads: Threads that read; 0 reads each batch when it is asked for.
        n_ahead: Batches that each thread may be ahead; all of them are in memory.

    Raises:
        UsageError: A number is too small.
    """

    def __init__(self, dataset: Multimodal3DIdent, batches: Batches, *, n_threads: int = 1, n_ahead: int = 2) -> None:
        for name, value, least in (("n_threads", n_threads, 0), ("n_ahead", n_ahead, 1)):
            if value < least:
                raise UsageError(f"{name} is too small", got=value, expected=f"{least} or more")
        self.dataset, self.batches = dataset, batches
        self.n_threads, self.n_ahead = n_threads, n_ahead

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:
        """The rest of the epoch, see `Batches`; a batch is what `dataset[indices]` gives."""
        if self.n_threads == 0:
            yield from (self.dataset[indices] for indices in self.batches)
            return
        rest, ahead = self.batches.rest(), deque[Future[Any]]()
        pool = ThreadPoolExecutor(self.n_threads, "m3di-loader")
        try:
            for _ in self.batches:
                while len(ahead) < self.n_threads * self.n_ahead and (indices := next(rest, None)) is not None:
                    ahead.append(pool.submit(self.dataset.__getitem__, indices))
                yield ahead.popleft().result()
        finally:  # an epoch may be left in the middle
            pool.shutdown(cancel_futures=True)
