from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest

from m3di.render import RenderedImage, agree
from m3di.render.annotation import annotate, encode_pass
from m3di.render.image import encode_png

SIDE = 40
MASK = np.zeros((SIDE, SIDE), bool)
MASK[8:30, 8:30] = True
PIXELS = np.random.default_rng(0).integers(3, 253, (SIDE, SIDE, 3), np.uint8)
DEPTH_M = np.where(MASK, 5.0, np.inf).astype(np.float32)
NORMAL = np.zeros((SIDE, SIDE, 3), np.float32)
NORMAL[MASK] = (0.0, 0.6, 0.8)


def passes(mask: np.ndarray = MASK, depth_m: np.ndarray = DEPTH_M, normal: np.ndarray = NORMAL) -> dict[str, bytes]:
    return {name: encode_pass(name, mask, depth_m, normal) for name in ("mask", "depth", "normal")}


WHOLE = RenderedImage(encode_png(PIXELS), annotate(PIXELS, MASK, (19.0, 19.5)), passes())


def test_levels_may_differ_by_two_and_one_value_in_a_thousand_by_more() -> None:
    assert agree(WHOLE, WHOLE)
    assert agree(WHOLE, replace(WHOLE, png=encode_png(PIXELS + np.uint8(2))))
    assert not agree(WHOLE, replace(WHOLE, png=encode_png(PIXELS + np.uint8(3))))
    values = PIXELS.reshape(-1).copy()
    values[:4] ^= 128  # of 4,800
    assert agree(WHOLE, replace(WHOLE, png=encode_png(values.reshape(PIXELS.shape))))
    values[4:6] ^= 128
    assert not agree(WHOLE, replace(WHOLE, png=encode_png(values.reshape(PIXELS.shape))))
    assert not agree(WHOLE, replace(WHOLE, png=encode_png(PIXELS[:-1])))


def test_passes_are_compared_as_well() -> None:
    one_pixel = MASK.copy()
    one_pixel[8, 8] = False
    assert agree(WHOLE, replace(WHOLE, passes=passes(mask=one_pixel)))
    assert not agree(WHOLE, replace(WHOLE, passes=passes(mask=~MASK)))
    assert agree(WHOLE, replace(WHOLE, passes=passes(depth_m=DEPTH_M + np.float32(0.001))))
    assert not agree(WHOLE, replace(WHOLE, passes=passes(depth_m=DEPTH_M + np.float32(0.01))))
    assert agree(WHOLE, replace(WHOLE, passes=passes(normal=NORMAL + np.float32(0.001))))
    assert not agree(WHOLE, replace(WHOLE, passes=passes(normal=-NORMAL)))
    assert not agree(WHOLE, replace(WHOLE, passes=passes(normal=NORMAL * np.float32(np.nan))))
    assert not agree(WHOLE, replace(WHOLE, passes={}))


def test_a_file_that_is_no_pass_agrees_with_none() -> None:
    other = io.BytesIO()
    np.savez_compressed(other, something_else=NORMAL)
    for raw in (b"no archive", other.getvalue()):
        assert not agree(WHOLE, replace(WHOLE, passes={**WHOLE.passes, "normal": raw}))


@pytest.mark.parametrize(
    ("name", "change", "agrees"),
    [
        ("object_visible_px", 4, True),  # of 484: 1 %
        ("object_visible_px", 6, False),
        ("object_left_px", 2, True),
        ("object_left_px", 3, False),
        ("object_contrast", 0.005, True),
        ("object_contrast", 0.01, False),
        ("object_displayed_hue", 0.015, True),
        ("object_displayed_hue", 0.985, True),  # a circle
        ("object_displayed_hue", 0.03, False),
        ("object_displayed_hue", 0.5, False),
        ("object_displayed_hue", -1.5, False),
    ],
)
def test_what_is_noted_of_the_object_is_compared_as_well(name: str, change: float, agrees: bool) -> None:
    noted = {**WHOLE.annotation, name: WHOLE.annotation[name] + change}
    assert agree(WHOLE, replace(WHOLE, annotation=noted)) is agrees
