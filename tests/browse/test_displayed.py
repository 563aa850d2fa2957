"""Files of samples as browsers show them."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from m3di.browse.displayed import MASK_ALPHA, MASK_RGB, shown_image, shown_pass, thumbnail
from m3di.data.format.images import encode
from m3di.errors import DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)


@dataclass
class OneFile:
    """Files of one row, all of them `raw`."""

    raw: bytes
    kind: str = "png"
    size_px: int | None = 8

    def read(self, row: int, view: str) -> bytes:
        return self.raw

    def extension(self, view: str) -> str:
        return self.kind

    def where(self, row: int, view: str) -> str:
        return f"here, {row} {view}"


def pixels_of(raw: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(raw)))


def png(values: NDArray[np.generic]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()


def npz(**arrays: NDArray[np.generic]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "mime", "same"), [("png", "png", True), ("webp", "webp", True), ("qoi", "png", False)]
)
def test_an_image_keeps_its_pixels_and_where_it_can_its_bytes(kind: str, mime: str, same: bool) -> None:
    raw = encode(PIXELS, kind)
    told, found = shown_image(OneFile(raw, kind), 0, "image")
    assert told == f"image/{mime}"
    assert (found == raw) is same
    np.testing.assert_array_equal(pixels_of(found), PIXELS)


def test_a_thumbnail_is_no_wider_than_asked() -> None:
    raw = encode(PIXELS, "png")
    assert thumbnail(OneFile(raw), 0, "image", 8) == ("image/png", raw)
    mime, smaller = thumbnail(OneFile(raw), 0, "image", 4)
    assert mime == "image/webp"
    assert pixels_of(smaller).shape == (4, 4, 3)


def test_a_mask_is_a_veil_over_the_object() -> None:
    mask = np.zeros((8, 8), np.uint8)
    mask[2:5, 3] = 255
    found = pixels_of(shown_pass(OneFile(png(mask)), 0, "image", "mask"))
    assert found.shape == (8, 8, 4)
    assert (found[mask > 0] == (*MASK_RGB, MASK_ALPHA)).all()
    assert not found[mask == 0].any()


def test_what_is_nearer_is_lighter() -> None:
    depth = np.full((8, 8), 65535, np.uint16)
    depth[0, :3] = [2000, 3000, 4000]
    found = pixels_of(shown_pass(OneFile(png(depth)), 0, "image", "depth"))
    assert found[0, :3, 0].tolist() == [255, 148, 40]
    assert (found[1:] == (20, 24, 60)).all()


def test_normals_are_colours() -> None:
    normal = np.zeros((8, 8, 3), np.float16)
    normal[0, 0] = (1, 0, -1)
    found = pixels_of(shown_pass(OneFile(npz(normal=normal)), 0, "image", "normal"))
    assert found[0, 0].tolist() == [255, 128, 0]
    assert (found[1:] == 128).all()


@pytest.mark.parametrize(
    ("name", "raw", "match"),
    [
        ("mask", b"no image", "the mask of an image cannot be shown"),
        ("mask", png(np.zeros((9, 9), np.uint8)), "9 x 9 pixels, expected 8 x 8"),
        ("normal", b"no archive", "the normal of an image cannot be shown"),
        ("normal", npz(normal=np.zeros((64, 64, 64))), "are more than normals of 8 x 8 pixels take"),
        ("normal", npz(normal=np.zeros((8, 8))), r"normals of shape \[8, 8\]"),
        ("normal", npz(other=np.zeros((8, 8))), "the normal of an image cannot be shown"),
    ],
)
def test_damaged_passes_are_told(name: str, raw: bytes, match: str) -> None:
    with pytest.raises(DataError, match=match):
        shown_pass(OneFile(raw), 0, "image", name)


def test_damaged_images_are_told() -> None:
    with pytest.raises(DataError, match="an image cannot be shown"):
        shown_image(OneFile(b"no image", "qoi"), 0, "image")
    with pytest.raises(DataError, match="an image cannot be shown"):
        thumbnail(OneFile(b"no image"), 0, "image", 8)


def test_a_file_that_is_not_there_is_told() -> None:
    class Missing(OneFile):
        def read(self, row: int, view: str) -> bytes:
            raise FileNotFoundError(2, "No such file or directory")

    with pytest.raises(DataError, match="a file of a sample cannot be read"):
        shown_image(Missing(b""), 0, "image")
