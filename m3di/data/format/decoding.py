"""From the files of a view to arrays: what this room knows of images, and asks a modality of your own."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from m3di.data.format.images import decode
from m3di.latents import Modality


class Decoding:
    """How files of one modality are read: as it says itself.

    Attributes:
        is_picture: Decoded, they are uint8 [height, width, 3]: they can be cached, and a `transform` is for them.
    """

    is_picture = False

    def __init__(self, modality: Modality) -> None:
        self.modality = modality

    def decode(self, raw: bytes, extension: str, size_px: int | None) -> NDArray[Any]:
        """What is in a file, in memory and byte order that torch takes; ValueError where the bytes are none."""
        found = self.modality.decode(raw)
        if not isinstance(found, np.ndarray) or found.dtype.kind not in "biuf":
            raise ValueError(f"`decode` of {self.modality.name} gave {getattr(found, 'dtype', type(found).__name__)}")
        return found.astype(found.dtype.newbyteorder("="))

    def empty(self) -> NDArray[Any]:
        """A batch of no files."""
        return np.empty(0, np.float32)

    def laid_out(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Arrays [n, ...] as a batch has them; no copy."""
        return batch


class ImageDecoding(Decoding):
    """Pixels uint8 [height, width, 3]; a batch has them as [n, 3, height, width], in channels-last memory."""

    is_picture = True

    def decode(self, raw: bytes, extension: str, size_px: int | None) -> NDArray[Any]:
        """See `decode` of images."""
        return decode(raw, extension, size_px)

    def empty(self) -> NDArray[Any]:
        """No image."""
        return np.empty((0, 0, 0, 3), np.uint8)

    def laid_out(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Channels first."""
        return batch.transpose(0, 3, 1, 2)


def decoding_of(kind: Modality) -> Decoding:
    """How the files of a modality are read."""
    return ImageDecoding(kind) if kind.source == "rendered" else Decoding(kind)
