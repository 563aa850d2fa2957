"""What is told of an image: by counting in small arrays, and against geometry in renders of a sphere."""

from __future__ import annotations

import colorsys
import io
import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from PIL import Image

from m3di.render import ANNOTATIONS, PASSES, RenderedImage, RenderJob, RenderPool, RenderSettings
from m3di.render.annotation import annotate, contrast, displayed_hue, encode_pass
from m3di.render.quality import Quality
from tests.render.test_blender import VALUES

SIZE = 96
RADIUS_M = 1.4 * 1.5
DISTANCE_M = 8 * math.sqrt(2)
FEW = Quality(1, 0, 0.0, light_passes=False, denoise=False)
NOTHING = np.zeros((56, 56), dtype=bool)


def square() -> np.ndarray:
    mask = NOTHING.copy()
    mask[10:20, 30:45] = True
    return mask


def painted(mask: np.ndarray, inside: int, outside: int) -> np.ndarray:
    return np.where(mask[..., None], inside, outside).astype(np.uint8).repeat(3, axis=-1)


def test_counts_box_and_centre() -> None:
    mask = square()
    assert annotate(painted(mask, 255, 0), mask, (37.5, -3.25)) == {
        "object_visible_px": 150,
        "object_left_px": 30,
        "object_top_px": 10,
        "object_right_px": 45,
        "object_bottom_px": 20,
        "object_center_x_px": 37.5,
        "object_center_y_px": -3.25,
        "object_contrast": 1.0,
        "object_displayed_hue": -1.0,
    }


def test_an_object_that_does_not_show() -> None:
    found = annotate(painted(NOTHING, 0, 7), NOTHING, (100.0, 100.0))
    assert list(found) == list(ANNOTATIONS)
    assert [value for name, value in found.items() if "center" not in name] == [0, 0, 0, 0, 0, 0.0, -1.0]


@pytest.mark.parametrize(("inside", "outside", "expected"), [(255, 0, 1.0), (51, 0, 0.2), (80, 80, 0.0), (0, 255, 1.0)])
def test_contrast_known_answers(inside: int, outside: int, expected: float) -> None:
    assert contrast(painted(square(), inside, outside), square()) == pytest.approx(expected)


def test_contrast_counts_what_is_near_only() -> None:
    pixels = painted(square(), 100, 100)
    pixels[40:] = 255  # far below the object
    assert contrast(pixels, square()) == 0.0


def test_contrast_of_an_object_that_fills_the_image() -> None:
    assert contrast(painted(~NOTHING, 100, 0), ~NOTHING) == 0.0


def hue_of(*colors: tuple[int, int, int]) -> float:
    """Displayed hue of an object that has these pixels, in the middle of a green picture."""
    pixels = np.full((1, len(colors) + 2, 3), (0, 255, 0), dtype=np.uint8)
    pixels[0, 1:-1] = colors
    mask = np.zeros(pixels.shape[:2], dtype=bool)
    mask[0, 1:-1] = True
    return displayed_hue(pixels, mask)


RED, YELLOW, CYAN, BLUE, MAGENTA = (255, 0, 0), (90, 90, 0), (0, 255, 255), (10, 10, 200), (200, 100, 200)


@pytest.mark.parametrize(
    ("colors", "expected"),
    [
        ([RED], 0.0),
        ([YELLOW], 1 / 6),
        ([CYAN], 1 / 2),
        ([MAGENTA], 5 / 6),
        ([RED, YELLOW, YELLOW], 1 / 6),
        ([BLUE, (120, 120, 120), (0, 0, 0), (255, 255, 255)], 2 / 3),  # greys have no hue
        ([(120, 120, 120)], -1.0),
        # Over the end of the circle: purple, red and orange have red in their middle, not cyan.
        ([MAGENTA, MAGENTA, RED, RED, RED, YELLOW, YELLOW], 0.0),
        ([(255, 0, 42), (255, 42, 0)], 42 / 255 / 6),  # each is the median: the smaller
        ([RED, CYAN], 0.0),
    ],
)
def test_displayed_hue_known_answers(colors: list[tuple[int, int, int]], expected: float) -> None:
    assert hue_of(*colors) == pytest.approx(expected, abs=1e-6)


def test_displayed_hue_against_the_definition() -> None:
    """The hue from which the others are least far, by trying all of them."""
    rng = np.random.default_rng(0)
    for n in (3, 20, 101):
        colors = [tuple(color) for color in rng.integers(0, 256, (n, 3)).tolist()]
        hues = np.array([colorsys.rgb_to_hsv(*(channel / 255 for channel in color))[0] for color in colors])
        apart = np.abs(hues[:, None] - hues)
        far = np.minimum(apart, 1 - apart).sum(axis=1).round(6)
        assert hue_of(*colors) == pytest.approx(hues[far == far.min()].min(), abs=1e-6)


def test_passes_are_read_back_by_foreign_readers_and_equal_bytes() -> None:
    depth = np.full((56, 56), 12.3456, dtype=np.float32)
    depth[0, :2] = np.inf, 70.0
    normal = np.zeros((56, 56, 3), dtype=np.float32)
    normal[..., 2] = 1.0
    files = {name: encode_pass(name, square(), depth, normal) for name in PASSES}
    mask = np.asarray(Image.open(io.BytesIO(files["mask"])))
    np.testing.assert_array_equal(mask, 255 * square())
    millimetres = Image.open(io.BytesIO(files["depth"]))
    assert millimetres.mode == "I;16"
    np.testing.assert_array_equal(np.asarray(millimetres)[0, :3], [65535, 65535, 12346])
    np.testing.assert_array_equal(np.load(io.BytesIO(files["normal"]))["normal"], normal.astype(np.float16))
    assert files == {name: encode_pass(name, square(), depth, normal) for name in PASSES}


@pytest.fixture(scope="module")
def rendered() -> dict[str, RenderedImage]:
    """A sphere at the origin as rubber and as crystal, at the nine places, and far outside the image."""
    sphere = replace(VALUES, shape="sphere")
    values = {"origin": sphere, "crystal": replace(sphere, material="crystal")}
    values |= {f"{x} {y}": replace(sphere, location_m=(x, y, 0.0)) for x, y in product((-3.0, 0.0, 3.0), repeat=2)}
    values["outside"] = replace(sphere, location_m=(0.0, 40.0, 0.0))
    with RenderPool(RenderSettings(SIZE, FEW, passes=tuple(PASSES)), 1) as pool:
        return dict(zip(values, pool.render(RenderJob(name, each) for name, each in values.items()), strict=True))


def _arrays(image: RenderedImage) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    mask = np.asarray(Image.open(io.BytesIO(image.passes["mask"]))) == 255
    depth_m = np.asarray(Image.open(io.BytesIO(image.passes["depth"]))) / 1000
    return mask, depth_m, np.load(io.BytesIO(image.passes["normal"]))["normal"].astype(float)


@pytest.mark.slow
def test_a_sphere_at_the_origin(rendered: dict[str, RenderedImage]) -> None:
    mask, depth_m, normal = _arrays(rendered["origin"])
    # Seen along the axis its outline is a circle, as wide as the cone that touches it.
    radius_px = SIZE * 35 / 50 * math.tan(math.asin(RADIUS_M / DISTANCE_M))
    assert mask.sum() == pytest.approx(math.pi * radius_px**2, rel=0.02)
    annotation = rendered["origin"].annotation
    assert annotation["object_visible_px"] == mask.sum()
    assert annotation["object_left_px"] == pytest.approx(SIZE / 2 - radius_px, abs=1)
    assert annotation["object_bottom_px"] == pytest.approx(SIZE / 2 + radius_px, abs=1)
    assert annotation["object_center_x_px"] == pytest.approx(SIZE / 2)
    assert annotation["object_center_y_px"] == pytest.approx(SIZE / 2)
    middle = (slice(47, 49), slice(47, 49))
    np.testing.assert_allclose(depth_m[middle], DISTANCE_M - RADIUS_M, atol=0.02)
    np.testing.assert_allclose(normal[middle].mean(axis=(0, 1)), [math.sqrt(0.5), 0.0, math.sqrt(0.5)], atol=0.02)


@pytest.mark.slow
def test_a_green_sphere_in_white_light_is_green(rendered: dict[str, RenderedImage]) -> None:
    red, green, blue = VALUES.object_rgb
    assert red == blue < green
    assert rendered["origin"].annotation["object_displayed_hue"] == pytest.approx(1 / 3, abs=0.03)


@pytest.mark.slow
def test_the_ground_has_the_depth_and_the_normal_of_a_plane(rendered: dict[str, RenderedImage]) -> None:
    mask, depth_m, normal = _arrays(rendered["origin"])
    np.testing.assert_allclose(normal[~mask], np.broadcast_to([0.0, 0.0, 1.0], normal[~mask].shape), atol=1e-3)
    # The ray through a row's centre, 45 degrees down in the middle, meets the plane 4.2 m below the origin.
    rows = np.arange(SIZE) + 0.5
    up = (SIZE / 2 - rows) / (SIZE * 35 / 50)  # along the camera's up, for one metre along its axis
    fall = math.sqrt(0.5) * (1.0 - up)
    expected = (8.0 + 2 * RADIUS_M) / fall
    column = depth_m[:, 5]
    np.testing.assert_allclose(column[~mask[:, 5]], expected[~mask[:, 5]], rtol=2e-3)


@pytest.mark.slow
def test_crystal_is_as_much_the_object_as_rubber(rendered: dict[str, RenderedImage]) -> None:
    for one, other in zip(_arrays(rendered["origin"]), _arrays(rendered["crystal"]), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_the_nine_places(rendered: dict[str, RenderedImage]) -> None:
    for x, y in product((-3.0, 0.0, 3.0), repeat=2):
        annotation = rendered[f"{x} {y}"].annotation
        mask, _, _ = _arrays(rendered[f"{x} {y}"])
        rows, columns = np.nonzero(mask)
        assert annotation["object_left_px"] == columns.min()
        assert annotation["object_right_px"] == columns.max() + 1
        assert annotation["object_top_px"] == rows.min()
        assert annotation["object_bottom_px"] == rows.max() + 1
        # A sphere off the axis is seen as an ellipse whose centre lies a little outwards of the sphere's.
        assert annotation["object_center_x_px"] == pytest.approx(columns.mean() + 0.5, abs=1.5)
        assert annotation["object_center_y_px"] == pytest.approx(rows.mean() + 0.5, abs=1.5)
        assert 0.02 < annotation["object_contrast"] < 1.0


@pytest.mark.slow
def test_an_object_outside_the_image(rendered: dict[str, RenderedImage]) -> None:
    annotation = rendered["outside"].annotation
    assert annotation["object_visible_px"] == 0
    assert annotation["object_center_x_px"] > SIZE
