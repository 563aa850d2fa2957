"""Renders whose pixels can be worked out with a pencil: light, colour and pattern of the ground."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from m3di.latents import Spec, hsv_to_rgb
from m3di.render import DATASET_CAMERA, QUALITIES, Camera, SceneValues, scene_values
from m3di.render.scene import CHECKER_SHADE, CHECKER_SIDE_M
from tests.render.test_blender import SMALL, VALUES, in_worker

pytestmark = pytest.mark.slow

SUN_W_PER_M2 = 0.5
CARD = replace(QUALITIES["draft"], noise_threshold=0.0, max_samples=16)


def _ground_under_the_sun(size_px: int, values: list[SceneValues]) -> list[np.ndarray]:
    """In a worker: linear images of a diffuse ground under the sun alone, the object far away."""
    import bpy

    from m3di.render.blender.open_scene import BlenderScene

    scene = BlenderScene(size_px, CARD, 1)
    for name in ("area", "spotlight"):
        bpy.data.lights[name].energy = 0.0
    tree = bpy.data.materials["ground"].node_tree
    diffuse = tree.nodes.new("ShaderNodeBsdfDiffuse")
    tree.links.new(tree.nodes["Color"].outputs[0], diffuse.inputs["Color"])
    output = next(node for node in tree.nodes if node.type == "OUTPUT_MATERIAL")
    tree.links.new(diffuse.outputs[0], output.inputs["Surface"])
    return [scene.render_linear(replace(each, location_m=(0.0, -500.0, 0.0))) for each in values]


def test_a_grey_card_under_the_sun_has_the_analytic_radiance() -> None:
    """A diffuse surface of albedo a under the irradiance E, which falls straight on it, shines with a E / pi."""
    (image,) = in_worker(_ground_under_the_sun, 16, [replace(VALUES, ground_rgb=(0.18, 0.5, 0.9))])
    expected = np.array([0.18, 0.5, 0.9]) * SUN_W_PER_M2 / math.pi
    # The sun is a disc, 0.2 rad across: the cosine towards its rim costs less than 0.3 %.
    np.testing.assert_allclose(image, np.broadcast_to(expected, image.shape), rtol=0.01)


def _hue_ramp(spec: Spec, raw: list[dict[str, float]]) -> list[np.ndarray]:
    """In a worker: 8-bit images of the ground, from raw latents to sRGB as a dataset makes them."""
    from m3di.render.image import linear_to_srgb

    values = [scene_values(spec, spec.views["image"], each) for each in raw]
    # The sun alone is dim: an exposure lifts the ground to where 8 bits tell hues apart.
    return [linear_to_srgb(image * math.pi / SUN_W_PER_M2) for image in _ground_under_the_sun(16, values)]


def test_a_hue_ramp_of_the_ground_has_the_analytic_srgb(spec: Spec) -> None:
    ramp = np.linspace(0.0, 1.0, 9)
    fixed = dict.fromkeys(spec.views["image"].factors, 0.5) | {
        "object_shape": 0,
        "object_xpos": 1,
        "object_ypos": 1,
    }
    raw = [{**fixed, "background_color": float(value)} for value in ramp]
    hues = (ramp - 0.5) / 2.0  # the published mapping, with its own wheel for negative hues
    for rgb, image in zip(hsv_to_rgb(hues, 0.6, 1.0, wheel="published"), in_worker(_hue_ramp, spec, raw), strict=True):
        linear = np.clip(rgb, 0.0, 1.0)
        srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
        np.testing.assert_allclose(image, np.broadcast_to(255 * srgb, image.shape), atol=1.6)


def _render(values: list[SceneValues], size_px: int, camera: Camera = DATASET_CAMERA) -> list[np.ndarray]:
    """In a worker: linear images."""
    from m3di.render.blender.open_scene import BlenderScene

    scene = BlenderScene(size_px, SMALL.quality, 1, camera=camera)
    return [scene.render_linear(each) for each in values]


def test_the_checker_lies_where_its_squares_are_and_is_as_dark_as_it_says() -> None:
    """From far above, the object small in the middle: squares along the world's axes, one corner at the origin."""
    above = Camera((0.001, 0.0, 200.0), focal_mm=500.0)
    values = [replace(VALUES, shape="cone", ground=ground) for ground in ("plain", "checker")]
    plain, checker = in_worker(_render, values, 96, above)
    # The picture shows 20 m of the ground, which lies 4.2 m below the origin; x points down, y to the right.
    metres_a_pixel = 50.0 / 500.0 * (200.0 + 4.2) / 96
    rows, columns = np.mgrid[0:96, 0:96]
    x, y = (rows + 0.5 - 48) * metres_a_pixel, (columns + 0.5 - 48) * metres_a_pixel
    squares = np.floor(x / CHECKER_SIDE_M) + np.floor(y / CHECKER_SIDE_M)
    to_edge = np.minimum(*(np.abs(each / CHECKER_SIDE_M - np.rint(each / CHECKER_SIDE_M)) for each in (x, y)))
    clear = (to_edge * CHECKER_SIDE_M > 2 * metres_a_pixel) & (np.hypot(x, y) > 6.0)
    ratio = checker[..., 0] / plain[..., 0]
    dark = ratio < 0.5 * (1 + CHECKER_SHADE)
    assert clear.sum() > 500
    even = squares % 2 == 0
    assert (dark[clear] == even[clear]).all() or (dark[clear] != even[clear]).all()
    # A little more than the shade itself: the rubber's gloss is white in both squares.
    assert CHECKER_SHADE <= np.median(ratio[clear & dark]) < CHECKER_SHADE + 0.15
    assert np.median(ratio[clear & ~dark]) == pytest.approx(1.0, abs=0.02)


def test_crystal_lets_the_ground_show_through_and_colours_its_shadow() -> None:
    red = replace(VALUES, shape="sphere", object_rgb=(1.0, 0.0, 0.0), ground_rgb=(0.8, 0.8, 0.8))
    glass = replace(red, material="crystal")
    checkered = [replace(each, ground="checker") for each in (red, glass)]
    rubber, crystal, rubber_checker, crystal_checker = in_worker(_render, [red, glass, *checkered], 64)
    middle = (slice(28, 36), slice(28, 36))
    np.testing.assert_allclose(rubber_checker[middle], rubber[middle], rtol=0.1)
    through = crystal_checker[middle][..., 0] / crystal[middle][..., 0]
    assert through.min() < 0.75 < 0.95 < through.max()  # dark and light squares behind the glass
    assert crystal[middle][..., 0].mean() > 3 * crystal[middle][..., 2].mean()  # red glass
    shadow = rubber[..., 2] < 0.3 * np.median(rubber[..., 2])
    shadow[:42] = False  # on the ground, below the sphere
    assert shadow.sum() > 10
    red_light, blue_light = crystal[shadow].mean(axis=0)[[0, 2]]
    assert red_light > 2 * blue_light


def test_a_spec_sets_material_and_ground(spec: Spec) -> None:
    view = spec.views["image"].model_copy(update={"material": "crystal", "ground": "checker"})
    values = scene_values(spec, view, dict.fromkeys(view.factors, 0))
    assert (values.material, values.ground) == ("crystal", "checker")
