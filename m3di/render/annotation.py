"""What can be told of an object in an image: how much of it shows, where, and how well it stands out."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from m3di.latents import ANNOTATIONS
from m3di.render.image import encode_png

DEPTH_UNIT_M = 0.001
NO_HUE = -1.0


def annotate(
    pixels: NDArray[np.uint8], mask: NDArray[np.bool_], center_px: tuple[float, float]
) -> dict[str, int | float]:
    """Annotations of one image.

    Args:
        pixels: The image, uint8 [height, width, 3], sRGB.
        mask: Where the object is in front, bool [height, width].
        center_px: Column and row where the camera sees the object's centre, inside the image or not.

    Returns:
        Values by the names of `ANNOTATIONS`: the number of pixels whose centre the object covers; its box, left and top
        in, right and bottom out, all 0 where nothing of it shows; its projected centre; its `contrast`; and its
        `displayed_hue`.
    """
    rows, columns = np.nonzero(mask)
    box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) if len(rows) else (0, 0, 0, 0)
    values = (len(rows), *box, *center_px, contrast(pixels, mask), displayed_hue(pixels, mask))
    return {name: kind(value) for (name, kind), value in zip(ANNOTATIONS.items(), values, strict=True)}


def contrast(pixels: NDArray[np.uint8], mask: NDArray[np.bool_]) -> float:
    """How far the object's pixels are, on average, from the mean colour of the background next to it, in [0, 1].

    The distance of two colours is the root of the mean squared difference of their sRGB channels; 1 is black on white.
    Next to the object are the pixels within a 28th of the image's width (8 of 224), in rows and columns. 0 where
    nothing of the object shows, or nothing else.
    """
    near_px = max(1, mask.shape[1] // 28)
    around = ndimage.maximum_filter(mask, size=2 * near_px + 1) & ~mask
    if not mask.any() or not around.any():
        return 0.0
    background = pixels[around].mean(axis=0)
    distance = np.sqrt(((pixels[mask] - background) ** 2).mean(axis=1))
    return round(float(distance.mean()) / 255.0, 6)


def displayed_hue(pixels: NDArray[np.uint8], mask: NDArray[np.bool_]) -> float:
    """The median hue of the object's pixels as the image shows them, in turns, [0, 1).

    Hue is that of the sRGB channels (HSV). It lies on a circle: the median is the hue from which all others are least
    far along the circle, in sum; of several, the smallest. `NO_HUE` where nothing of the object shows, or only greys.
    """
    from matplotlib.colors import rgb_to_hsv

    shown = pixels[mask]
    shown = shown[shown.min(axis=1) < shown.max(axis=1)]
    if not len(shown):
        return NO_HUE
    hues, counts = np.unique(rgb_to_hsv(shown / 255.0)[:, 0] % 1.0, return_counts=True)
    # The circle twice: the half of it after each hue is one stretch, and so is the other half.
    place, weight = np.concatenate([hues, hues + 1.0]), np.tile(counts, 2)
    n_before = np.concatenate([[0], np.cumsum(weight)])
    sum_before = np.concatenate([[0.0], np.cumsum(weight * place)])
    start = np.arange(len(hues))
    half, whole = np.searchsorted(place, hues + 0.5, side="right"), start + len(hues)
    after = sum_before[half] - sum_before[start] - hues * (n_before[half] - n_before[start])
    before = (hues + 1.0) * (n_before[whole] - n_before[half]) - (sum_before[whole] - sum_before[half])
    return round(float(hues[np.argmin(np.round(after + before, 6))]), 6) % 1.0


def encode_pass(name: str, mask: NDArray[np.bool_], depth_m: NDArray[np.float32], normal: NDArray[np.float32]) -> bytes:
    """File content of a pass; the same arrays give the same bytes.

    `mask`: 8-bit PNG, 255 where the object is. `depth`: 16-bit PNG, millimetres along the camera's axis, 65535 for
    that or more, and for nothing. `normal`: compressed npz with `normal`, float16 [height, width, 3].
    """
    if name == "mask":
        return encode_png(np.where(mask, 255, 0).astype(np.uint8))
    if name == "depth":
        buffer = io.BytesIO()
        levels = np.minimum(np.rint(depth_m / DEPTH_UNIT_M), 65535).astype(np.uint16)
        Image.fromarray(levels).save(buffer, format="PNG")
        return buffer.getvalue()
    buffer = io.BytesIO()
    np.savez_compressed(buffer, normal=normal.astype(np.float16))
    return buffer.getvalue()
