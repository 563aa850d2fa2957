"""Linear light to 8-bit sRGB, and to PNG bytes."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from m3di.errors import M3diError

PNG_LEVEL = 6


def linear_to_srgb(linear: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Encode linear light with the sRGB transfer function (IEC 61966-2-1), 8 bit, any shape; clipped to [0, 1]."""
    clipped = np.clip(linear, 0.0, 1.0)
    encoded = np.where(clipped <= 0.0031308, 12.92 * clipped, 1.055 * np.power(clipped, 1.0 / 2.4) - 0.055)
    return np.rint(encoded * 255.0).astype(np.uint8)


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """PNG bytes of an image, uint8 [height, width, 3]."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=PNG_LEVEL)
    return buffer.getvalue()


def check_image(radiance: NDArray[np.float32], size_px: int) -> NDArray[np.float32]:
    """The image itself, where it can be one: of the right size, finite, and not one value everywhere.

    Args:
        radiance: Scene-linear, float32 [height, width, 3].
        size_px: Side that it should have.

    Raises:
        M3diError: It cannot be what was to be rendered.
    """
    if radiance.shape != (size_px, size_px, 3):
        got = f"an array of shape {list(radiance.shape)}"
    elif not np.isfinite(radiance).all():
        got = "values that are not finite"
    elif radiance.min() == radiance.max():
        got = f"a blank image, {float(radiance.flat[0]):g} everywhere"
    else:
        return radiance
    raise M3diError(
        "what Blender rendered is no image of the scene",
        got=got,
        expected=f"{size_px} x {size_px} pixels of finite radiance with something to see",
    )
