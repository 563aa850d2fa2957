"""Image files to pixels. imagecodecs decodes two to three times as fast as Pillow and gives the same pixels."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
QOI_END = b"\0\0\0\0\0\0\0\1"
Decode = Callable[[bytes], NDArray[np.uint8]]


class ImageError(Exception):
    """The bytes are no image."""


def decode(raw: bytes, extension: str) -> NDArray[np.uint8]:
    """Pixels of an image file, uint8 [height, width, 3]: of 16 bits the upper eight, grey three times, no alpha.

    Args:
        raw: The file.
        extension: `png`, `webp`, `qoi` or another that Pillow reads, without the dot.

    Raises:
        ImageError: The bytes are no such image.
    """
    if extension == "png":
        check_png(raw)
    elif extension == "qoi" and raw[-8:] != QOI_END:
        raise ImageError("the end of the QOI is missing")
    if extension == "png" and raw[24:26] != b"\x08\x02":  # of all but 8-bit RGB each library makes something else
        return _with_pillow(raw)
    try:
        pixels = _decoder(extension)(raw)
    except Exception as error:  # each library has errors of its own
        raise ImageError(str(error) or type(error).__name__) from error
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        return _with_pillow(raw)
    return pixels


def encode(pixels: NDArray[np.uint8], extension: str) -> bytes:
    """A lossless image file of pixels, uint8 [height, width, 3].

    Args:
        pixels: The image.
        extension: `png`, `webp` or `qoi`.
    """
    buffer = io.BytesIO()
    options: dict[str, dict[str, Any]] = {"png": {"compress_level": 6}, "webp": {"lossless": True}, "qoi": {}}
    Image.fromarray(pixels).save(buffer, extension.upper(), **options[extension])
    return buffer.getvalue()


def check_png(raw: bytes) -> None:
    """Raise ImageError unless the checksums of all chunks hold: fast decoders do not look at them."""
    if raw[:8] != PNG_SIGNATURE:
        raise ImageError("no PNG signature")
    offset = 8
    while offset < len(raw):
        n_bytes = int.from_bytes(raw[offset : offset + 4], "big")
        end = offset + 8 + n_bytes
        if zlib.crc32(raw[offset + 4 : end]) != int.from_bytes(raw[end : end + 4], "big") or end + 4 > len(raw):
            raise ImageError(f"the checksum of a PNG chunk is wrong, {offset} bytes into the image")
        offset = end + 4


@cache
def _decoder(extension: str) -> Decode:
    try:
        import imagecodecs
    except ModuleNotFoundError:
        return _with_pillow
    known: dict[str, Decode] = {
        "png": imagecodecs.spng_decode,
        "webp": imagecodecs.webp_decode,
        "qoi": imagecodecs.qoi_decode,
    }
    return known.get(extension, _with_pillow)


def _with_pillow(raw: bytes) -> NDArray[np.uint8]:
    try:
        image = Image.open(io.BytesIO(raw))
        if image.mode.startswith("I"):  # grey of 16 bits: the upper eight, as of colours; `convert` cuts off at 255
            grey = (np.asarray(image).astype(np.int32) >> 8).astype(np.uint8)
            return np.repeat(grey[..., None], 3, axis=2)
        return np.array(image.convert("RGB"))
    except (OSError, SyntaxError, UnidentifiedImageError, ValueError) as error:
        raise ImageError(str(error)) from error
