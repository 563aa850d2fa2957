"""Files of a sample as a browser shows them: images as they are where it knows their format, passes as pictures."""

from __future__ import annotations

import io
import zipfile

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from m3di.data import Files
from m3di.data.format.images import ImageError, decode, encode
from m3di.errors import DataError

MIME = {"png": "image/png", "webp": "image/webp", "jpg": "image/jpeg", "jpeg": "image/jpeg"}
MASK_RGB, MASK_ALPHA = (213, 94, 0), 255  # vermilion of Okabe and Ito's palette
NOTHING_MM = 65535  # depth where nothing is


def shown_image(files: Files, row: int, view: str) -> tuple[str, bytes]:
    """Type and bytes of the image of a row: the very bytes of the dataset, where browsers know the format.

    Raises:
        DataError: It cannot be read.
    """
    extension = files.extension(view)
    raw = _read(files, row, view)
    if extension in MIME:
        return MIME[extension], raw
    try:
        return MIME["png"], encode(decode(raw, extension, files.size_px), "png")
    except ImageError as error:
        raise DataError("an image cannot be shown", where=files.where(row, view), got=error) from error


def thumbnail(files: Files, row: int, view: str, size_px: int) -> tuple[str, bytes]:
    """Type and bytes of the image of a row, at most `size_px` wide: as it is where it is no wider, else as WebP.

    Raises:
        DataError: It cannot be read.
    """
    mime, raw = shown_image(files, row, view)
    try:
        pixels = decode(raw, {name: each for each, name in MIME.items()}[mime])
    except ImageError as error:
        raise DataError("an image cannot be shown", where=files.where(row, view), got=error) from error
    if pixels.shape[1] <= size_px:
        return mime, raw
    image, buffer = Image.fromarray(pixels), io.BytesIO()
    image.thumbnail((size_px, size_px), Image.Resampling.BOX)
    image.save(buffer, "WEBP", quality=90)
    return MIME["webp"], buffer.getvalue()


def shown_pass(files: Files, row: int, view: str, name: str) -> bytes:
    """A pass of an image as PNG: a mask as a veil over the object, depth from near (light) to far, normals as colours.

    Raises:
        DataError: It cannot be read, or is none that can be shown.
    """
    entry = f"{view}.{name}"
    raw = _read(files, row, entry)
    try:
        if name == "normal":
            pixels = _normals(raw, files.size_px)
        else:
            with Image.open(io.BytesIO(raw), formats=["PNG"]) as image:
                if files.size_px is not None and image.size != (files.size_px, files.size_px):
                    raise ImageError(
                        f"{image.width} x {image.height} pixels, expected {files.size_px} x {files.size_px}"
                    )
                values = np.asarray(image)
            pixels = _veil(values) if name == "mask" else _depths(values)
    except (ImageError, OSError, ValueError, KeyError, SyntaxError, zipfile.BadZipFile) as error:
        raise DataError(f"the {name} of an image cannot be shown", where=files.where(row, entry), got=error) from error
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _read(files: Files, row: int, entry: str) -> bytes:
    try:
        return files.read(row, entry)
    except OSError as error:
        raise DataError(
            "a file of a sample cannot be read", where=files.where(row, entry), got=error.strerror or error
        ) from error


def _veil(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """RGBA [height, width, 4] of a mask [height, width]."""
    shown = np.zeros((*mask.shape, 4), np.uint8)
    shown[mask > 0] = (*MASK_RGB, MASK_ALPHA)
    return shown


def _depths(depth_mm: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """RGB [height, width, 3] of depths in millimetres: the nearest is white; what has none is dark blue."""
    there = depth_mm != NOTHING_MM
    shown = np.full((*depth_mm.shape, 3), (20, 24, 60), np.uint8)
    if there.any():
        near, far = float(depth_mm[there].min()), float(depth_mm[there].max())
        light = 1.0 - (depth_mm[there] - near) / max(far - near, 1.0)
        shown[there] = np.round(40 + 215 * light).astype(np.uint8)[:, None]
    return shown


def _normals(raw: bytes, size_px: int | None) -> NDArray[np.uint8]:
    """RGB [height, width, 3] of an .npz of unit normals: -1 to 1 of each axis as 0 to 255."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:  # how large it says it is, before it is unpacked
        n_bytes = sum(each.file_size for each in archive.infolist())
    if size_px is not None and n_bytes > 8 * 3 * size_px**2 + 4096:
        raise ImageError(f"{n_bytes} bytes are more than normals of {size_px} x {size_px} pixels take")
    with np.load(io.BytesIO(raw), allow_pickle=False) as file:
        normals = file["normal"].astype(np.float64)
    if normals.ndim != 3 or normals.shape[2] != 3:
        raise ImageError(f"normals of shape {list(normals.shape)}, expected [height, width, 3]")
    return np.round(np.clip(normals * 0.5 + 0.5, 0.0, 1.0) * 255).astype(np.uint8)
