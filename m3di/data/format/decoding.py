"""Decode the files of a view into arrays: images here, other modalities by their own `decode`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from m3di.data.format.images import decode
from m3di.latents import Modality


class Decoding:
    """Decodes the files of a modality by its own `decode`.

    Attributes:
        is_picture: Whether files decode to uint8 [height, width, 3]: these can be cached, and `transform` applies.
    """

    is_picture = False

    def __init__(self, modality: Modality) -> None:
        self.modality = modality

    def decode(self, raw: bytes, extension: str, size_px: int | None) -> NDArray[Any]:
        """Decode a file into memory and byte order that torch takes; ValueError if the bytes are not such a file."""
        found = self.modality.decode(raw)
        if not isinstance(found, np.ndarray) or found.dtype.kind not in "biuf":
            raise ValueError(f"`decode` of {self.modality.name} gave {getattr(found, 'dtype', type(found).__name__)}")
        return found.astype(found.dtype.newbyteorder("="))

    def empty(self) -> NDArray[Any]:
        """Make an empty batch."""
        return np.empty(0, np.float32)

    def laid_out(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Lay out arrays [n, ...] as in a batch, without a copy."""
        return batch


class ImageDecoding(Decoding):
    """Pixels uint8 [height, width, 3]; a batch has them as [n, 3, height, width], in channels-last memory."""

    is_picture = True

    def decode(self, raw: bytes, extension: str, size_px: int | None) -> NDArray[Any]:
        """Decode an image, see `images.decode`."""
        return decode(raw, extension, size_px)

    def empty(self) -> NDArray[Any]:
        """Make an empty batch."""
        return np.empty((0, 0, 0, 3), np.uint8)

    def laid_out(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Move the channels first."""
        return batch.transpose(0, 3, 1, 2)


def decoding_of(kind: Modality) -> Decoding:
    """Return what decodes the files of a modality."""
    return ImageDecoding(kind) if kind.source == "rendered" else Decoding(kind)
