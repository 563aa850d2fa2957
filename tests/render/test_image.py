from __future__ import annotations

import io

import numpy as np
from PIL import Image

from m3di.render.image import encode_png, linear_to_srgb


def test_srgb_known_answers() -> None:
    linear = np.array([-1.0, 0.0, 0.0031308, 0.2140411, 0.5, 1.0, 7.0])
    np.testing.assert_array_equal(linear_to_srgb(linear), [0, 0, 10, 127, 188, 255, 255])


def test_png_is_lossless() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(encode_png(pixels)))), pixels)


def test_srgb_between_its_two_branches() -> None:
    """The standard's line up to 0.0031308 and its curve above it, where the other would be seen in 8 bits."""
    linear = np.array([0.001, 0.003, 0.0032, 0.005, 0.01, 0.02, 0.03])
    curve = 255 * (1.055 * linear ** (1 / 2.4) - 0.055)
    assert linear_to_srgb(linear)[:2].tolist() == [3, 10]
    np.testing.assert_array_equal(linear_to_srgb(linear)[2:], np.rint(curve[2:]))
    assert linear_to_srgb(np.array([0.01])) == 25  # 33 on the line
