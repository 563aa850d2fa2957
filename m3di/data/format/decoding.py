"""From the files of a view to arrays: what this room knows of images, and asks a modality of yours."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from m3di.data.format.images import decode
from m3di.latents import Modality


class Decoding(Protocol):
    """How files of one modality are read.

    Attributes:
        is_picture: Decoded, they are uint8 [height, width, 3]: they can be cached, and a `transform` is for them.
    """

    is_picture: bool

    def decode(self, raw: bytes, extension: str, size_px: int | None) -> NDArray[Any]:
        """What is in a file; ValueError where the bytes are none."""
        ...

    def empty(self) -> NDArray[Any]:
        """A batch of no files."""
        ...

    def laid_out(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Arrays [n, ...] as a batch has them; no copy."""
        ...


class OfImages:
    """Pixels, with channels first in what a batch has."""

    is_picture = True

    def decode(self, raw: bytes, extension: str, size_px: int | None) -> NDArray[np.uint8]:
        """Pixels uint8 [height, width, 3]."""
        return decode(raw, extension, size_px)

    def empty(self) -> NDArray[np.uint8]:
        """No image."""
        return np.empty((0, 0, 0, 3), np.uint8)

    def laid_out(self, batch: NDArray[Any]) -> NDArray[Any]:
        """[n, height, width, 3] -> [n, 3, height, width], in channels-last memory."""
        return batch.transpose(0, 3, 1, 2)


class OfMadeFiles:
    """What a modality makes of its own files.

    Args:
        modality: The modality.
    """

    is_picture = False

    def __init__(self, modality: Modality) -> None:
        self.modality = modality

    def decode(self, raw: bytes, extension: str, size_px: int | None) -> NDArray[Any]:
        """An array, writable and in the byte order of this machine, as torch wants it."""
        found = self.modality.decode(raw)
        if not isinstance(found, np.ndarray) or found.dtype.kind not in "biuf":
            raise ValueError(f"`decode` of {self.modality.name} gave {getattr(found, 'dtype', type(found).__name__)}")
        return found.astype(found.dtype.newbyteorder("="))

    def empty(self) -> NDArray[Any]:
        """No file."""
        return np.empty(0, np.float32)

    def laid_out(self, batch: NDArray[Any]) -> NDArray[Any]:
        """As they are."""
        return batch


def decoding_of(kind: Modality) -> Decoding:
    """How the files of a modality are read."""
    return OfImages() if kind.source == "rendered" else OfMadeFiles(kind)
