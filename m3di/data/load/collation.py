"""Collate samples in a DataLoader that asks for many at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from torch.utils.data import default_collate


def whole_batch(samples: Sequence[Any]) -> Any:
    """Collate as `dataset[indices]` does, decoding into one buffer: the `collate_fn` of a DataLoader.

    Other samples are collated as torch does.
    """
    return samples.batch() if isinstance(samples, Picked) else default_collate(list(samples))


class Picked(Sequence[Any]):
    """Some samples of a dataset, read on use: one by one, or as a batch.

    Args:
        items: Gives them one by one.
        batch: Gives them as a batch.
    """

    def __init__(self, items: Callable[[], list[Any]], batch: Callable[[], Any]) -> None:
        self._read, self.batch = items, batch

    @cached_property
    def _items(self) -> list[Any]:
        return self._read()

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: Any) -> Any:
        return self._items[index]
