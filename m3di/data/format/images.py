"""Decode and encode images. imagecodecs is two to three times as fast as Pillow and gives the same pixels."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from m3di.data.format.limits import MAX_SIZE_PX

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PILLOW_ERRORS = (OSError, SyntaxError, UnidentifiedImageError, ValueError, EOFError, IndexError, struct.error)
QOI_END = b"\0\0\0\0\0\0\0\1"
Decode = Callable[[bytes], NDArray[np.uint8]]
PILLOW_FORMATS = {"png": "PNG", "webp": "WEBP", "qoi": "QOI", "jpg": "JPEG", "jpeg": "JPEG"}
"""Name of each format in Pillow, by extension. Others are not tried: Pillow hands some to other programs."""


class ImageError(ValueError):
    """The bytes are not an image."""


class ImageSizeError(ImageError):
    """The image has the wrong size, or is gigantic; its pixels were not decoded."""


def decode(raw: bytes, extension: str, size_px: int | None = None) -> NDArray[np.uint8]:
    """Decode an image file to uint8 [height, width, 3]: the upper 8 of 16 bits, grey three times, no alpha.

    The size that the file states is compared before anything is decoded: a small file can hold a gigantic image.

    Args:
        raw: The file.
        extension: `png`, `webp`, `qoi` or `jpg`, without the dot.
        size_px: Side of the image, which is square; None takes any image up to `MAX_SIZE_PX`.

    Raises:
        ImageError: The bytes are no such image.
    """
    if extension not in PILLOW_FORMATS:
        raise ImageError(f"{extension!r} is no image format: expected {', '.join(PILLOW_FORMATS)}")
    if extension == "png":
        check_png(raw)
    elif extension == "qoi" and raw[-8:] != QOI_END:
        raise ImageError("the end of the QOI is missing")
    if extension == "png" and raw[24:26] != b"\x08\x02":  # libraries differ on all but 8-bit RGB
        return _with_pillow(raw, extension, size_px)
    _check_size(*_stated_size(raw, extension), size_px)
    try:
        pixels = _decoder(extension)(raw)
    except Exception as error:  # each library has errors of its own
        raise ImageError(str(error) or type(error).__name__) from error
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        return _with_pillow(raw, extension, size_px)
    _check_size(pixels.shape[1], pixels.shape[0], size_px)
    return pixels


def _stated_size(raw: bytes, extension: str) -> tuple[int, int]:
    """Return the width and height that the head of a file states."""
    if extension == "png":
        if raw[12:16] != b"IHDR":
            raise ImageError("the first PNG chunk is no IHDR")
        return int.from_bytes(raw[16:20], "big"), int.from_bytes(raw[20:24], "big")
    if extension == "qoi":
        return int.from_bytes(raw[4:8], "big"), int.from_bytes(raw[8:12], "big")
    with _opened(raw, extension) as image:  # Pillow decodes nothing yet
        return image.size


def _check_size(width: int, height: int, size_px: int | None) -> None:
    if size_px is not None and (width, height) != (size_px, size_px):
        raise ImageSizeError(f"{width} x {height} pixels, expected {size_px} x {size_px}")
    if not (1 <= width <= MAX_SIZE_PX and 1 <= height <= MAX_SIZE_PX):
        raise ImageSizeError(f"{width} x {height} pixels, expected at most {MAX_SIZE_PX} x {MAX_SIZE_PX}")


def encode(pixels: NDArray[np.uint8], extension: str) -> bytes:
    """Encode pixels, uint8 [height, width, 3], as a lossless image file.

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
        return partial(_with_pillow, extension=extension)
    known: dict[str, Decode] = {
        "png": imagecodecs.spng_decode,
        "webp": imagecodecs.webp_decode,
        "qoi": imagecodecs.qoi_decode,
    }
    return known.get(extension, partial(_with_pillow, extension=extension))


def _opened(raw: bytes, extension: str) -> Image.Image:
    try:
        return Image.open(io.BytesIO(raw), formats=[PILLOW_FORMATS[extension]])
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageSizeError(str(error)) from error
    except _PILLOW_ERRORS as error:
        raise ImageError(str(error)) from error


def _with_pillow(raw: bytes, extension: str, size_px: int | None = None) -> NDArray[np.uint8]:
    image = _opened(raw, extension)
    _check_size(*image.size, size_px)
    try:
        if image.mode.startswith("I"):  # 16-bit grey: the upper eight bits; `convert` cuts off at 255
            grey = (np.asarray(image).astype(np.int32) >> 8).astype(np.uint8)
            return np.repeat(grey[..., None], 3, axis=2)
        return np.array(image.convert("RGB"))
    except _PILLOW_ERRORS as error:
        raise ImageError(str(error) or type(error).__name__) from error
