"""Decode the files of a split, through the caches of pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from m3di.data.format.decoding import Decoding
from m3di.data.load.pixel_cache import PixelCache
from m3di.data.load.sources import Files
from m3di.errors import M3diError


class UnreadableSample(M3diError):
    """A file of a view is missing or damaged; `on_error="skip"` passes over it, and over nothing else."""


class ViewArrays:
    """Reads the files of a split.

    Args:
        files: Files of the split.
        kinds: Decoding of each view that has files.
        keys: Key of each sample, string [n].
        split: What messages call the split.
        next_step: What to do if a file cannot be read.
        caches: Cache of each view that has one; used when an image is read, so entries may be added later.
    """

    def __init__(
        self,
        files: Files,
        kinds: Mapping[str, Decoding],
        keys: pa.Array,
        split: str,
        next_step: str,
        caches: Mapping[str, PixelCache],
    ) -> None:
        self._files, self._kinds, self._keys = files, kinds, keys
        self._split, self._next_step = split, next_step
        self.caches = caches

    def batch(self, rows: list[int], view: str) -> NDArray[Any]:
        """Decode the files of rows of a view, [n, ...]; images give uint8 [n, height, width, 3]."""
        store = self.caches.get(view)
        if store is not None and (kept := store.get(rows)) is not None:
            return kept
        batch: NDArray[Any] | None = None
        for number, row in enumerate(rows):
            each = self.decode(row, view)
            if batch is None:
                batch = np.empty((len(rows), *each.shape), dtype=each.dtype)
            elif (each.shape, each.dtype) != (batch.shape[1:], batch.dtype):
                raise self._unreadable(
                    row, view, self._told(view, each), f"{self._told(view, batch[0])}, as the others"
                )
            batch[number] = each
        return self._kinds[view].empty() if batch is None else batch

    def _told(self, view: str, each: NDArray[Any]) -> str:
        return f"{each.shape[:2]} pixels" if self._kinds[view].is_picture else f"{each.dtype} {list(each.shape)}"

    def decode(self, row: int, view: str) -> NDArray[Any]:
        """Decode the file of a row of a view."""
        store = self.caches.get(view)
        if store is not None and (kept := store.get([row])) is not None:
            return kept[0]
        extension = self._files.extension(view)
        try:
            found = self._kinds[view].decode(self._files.read(row, view), extension, self._files.size_px)
        except (OSError, ValueError) as error:
            raise self._unreadable(row, view, error, f"a whole {extension.upper()}") from error
        if store is not None:
            if found.shape[:2] != store.shape:
                raise self._unreadable(row, view, f"{found.shape[:2]} pixels", f"{store.shape}, as the first image")
            store.put(row, found)
        return found

    def _unreadable(self, row: int, view: str, got: object, expected: str) -> UnreadableSample:
        return UnreadableSample(
            f"sample {row} of {self._split} cannot be read",
            where=f"{self._files.where(row, view)} (key {self._keys[row].as_py()}, view {view})",
            got=got,
            expected=expected,
            next_step=self._next_step,
        )

    def shape(self, view: str, *, passes_over: bool) -> tuple[int, int]:
        """Return height and width of a view's first image, or with `passes_over` of the first readable one."""
        for row in range(len(self._keys)):
            try:
                height, width, _ = self.decode(row, view).shape
            except UnreadableSample:
                if not passes_over or row == len(self._keys) - 1:
                    raise
            else:
                return height, width
        return 0, 0
