"""The images of a split, decoded, through the caches that keep them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from m3di.data.format.images import ImageError, decode
from m3di.data.load.pixel_cache import PixelCache
from m3di.data.load.sources import Files
from m3di.errors import M3diError


class UnreadableSample(M3diError):
    """An image of the dataset is missing or damaged; `on_error="skip"` passes over it, and over nothing else."""


class ViewImages:
    """Reads images of a split.

    Args:
        files: Of the split.
        keys: Key of each sample, string [n].
        split: What messages call the split.
        next_step: What to do where an image cannot be read.
        caches: Of each view that has one; looked at when an image is read, so it may be filled later.
    """

    def __init__(
        self, files: Files, keys: pa.Array, split: str, next_step: str, caches: Mapping[str, PixelCache]
    ) -> None:
        self._files, self._keys, self._split, self._next_step = files, keys, split, next_step
        self.caches = caches

    def pixels(self, rows: list[int], view: str) -> NDArray[np.uint8]:
        """Pixels uint8 [n, height, width, 3] of rows of a view."""
        store = self.caches.get(view)
        if store is not None and (kept := store.get(rows)) is not None:
            return kept
        pixels: NDArray[np.uint8] | None = None
        for number, row in enumerate(rows):
            image = self.decode(row, view)
            if pixels is None:
                pixels = np.empty((len(rows), *image.shape), dtype=np.uint8)
            elif image.shape != pixels.shape[1:]:
                raise self._unreadable(row, view, f"{image.shape[:2]} pixels", f"{pixels.shape[1:3]}, as the others")
            pixels[number] = image
        return np.empty((0, 0, 0, 3), np.uint8) if pixels is None else pixels

    def decode(self, row: int, view: str) -> NDArray[np.uint8]:
        """Pixels uint8 [height, width, 3] of a row of a view."""
        store = self.caches.get(view)
        if store is not None and (kept := store.get([row])) is not None:
            return kept[0]
        extension = self._files.extension(view)
        try:
            image = decode(self._files.read(row, view), extension, self._files.size_px)
        except (OSError, ImageError) as error:
            raise self._unreadable(row, view, error, f"a whole {extension.upper()}") from error
        if store is not None:
            if image.shape[:2] != store.shape:
                raise self._unreadable(row, view, f"{image.shape[:2]} pixels", f"{store.shape}, as the first image")
            store.put(row, image)
        return image

    def _unreadable(self, row: int, view: str, got: object, expected: str) -> UnreadableSample:
        return UnreadableSample(
            f"sample {row} of {self._split} cannot be read",
            where=f"{self._files.where(row, view)} (key {self._keys[row].as_py()}, view {view})",
            got=got,
            expected=expected,
            next_step=self._next_step,
        )

    def shape(self, view: str, *, passes_over: bool) -> tuple[int, int]:
        """Height and width of a view's images: of its first, or where `passes_over`, of the first that can be read."""
        for row in range(len(self._keys)):
            try:
                height, width, _ = self.decode(row, view).shape
            except UnreadableSample:
                if not passes_over or row == len(self._keys) - 1:
                    raise
            else:
                return height, width
        return 0, 0
