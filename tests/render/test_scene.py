from __future__ import annotations

import math

import pytest

from m3di.latents import SCENE_FACTORS, Spec, load_spec
from m3di.render import scene_values
from m3di.render.camera import DATASET_CAMERA

RAW = {
    "object_shape": 3,
    "object_xpos": 0,
    "object_ypos": 2,
    "object_zpos": 0.0,
    "object_alpharot": 0.0,
    "object_betarot": 0.5,
    "object_gammarot": 1.0,
    "object_color": 1 / 3,
    "spotlight_pos": 0.75,
    "spotlight_color": 0.5,
    "background_color": 0.0,
    "render_seed": 11,
}


def test_known_answers_of_the_published_mapping(spec: Spec) -> None:
    values = scene_values(spec, spec.views["image"], RAW)
    assert values.shape == "cow"
    assert values.material == "rubber"
    assert values.seed == 11
    assert values.location_m == pytest.approx((3, -3, 0))  # bottom is world x = 3, left is world y = -3
    assert values.rotation_rad == pytest.approx((-math.pi / 2, 0, math.pi / 2))
    assert values.object_rgb == pytest.approx((0, 1, 0))
    assert values.spotlight_rgb == pytest.approx((1, 0.2, 0.2))
    assert values.ground_rgb == pytest.approx((1, 0.4, 1.3))  # hue -1/4 on the published wheel
    diagonal = 4 * math.sqrt(0.5)
    assert values.spotlight_location_m(4.2) == pytest.approx((diagonal, diagonal, 10.2))


def test_factors_that_a_view_does_not_see_are_zero(spec: Spec) -> None:
    raw = {name: value for name, value in RAW.items() if name not in ("object_zpos", "object_alpharot", "render_seed")}
    values = scene_values(spec, spec.views["image"], raw)
    assert (values.location_m[2], values.rotation_rad[0], values.seed) == (0, 0, 0)


@pytest.mark.parametrize("name", SCENE_FACTORS)
def test_every_factor_that_an_image_is_said_to_draw_changes_the_scene(spec: Spec, name: str) -> None:
    view = spec.views["image"]
    low, high = spec.factors[name].bounds
    middle = {each: RAW[each] if each != name else low for each in RAW}
    other = {**middle, name: round(low + 0.7 * (high - low)) if spec.factors[name].type != "continuous" else 0.7 * high}
    assert scene_values(spec, view, middle) != scene_values(spec, view, other)


def test_nothing_else_is_drawn(spec: Spec) -> None:
    view = spec.views["image"]
    foreign = {"object_size": 3.0, "object_colour": 0.5, "camera_azimuth": 1.0, "text_palette": 2, "lights": 0}
    assert scene_values(spec, view, {**RAW, **foreign}) == scene_values(spec, view, RAW)
    assert set(RAW) == set(SCENE_FACTORS)


def test_the_units_of_the_list_are_those_of_m3di(spec: Spec) -> None:
    for name, each in SCENE_FACTORS.items():
        assert spec.factors[name].unit == each.unit, name
        assert spec.factors[name].type in each.types


def test_where_x_points(spec: Spec) -> None:
    """In the axes of 3DIdent, x is the world's: towards the camera, as the sine of the spotlight's angle is."""
    world = load_spec("causal3dident")
    raw = dict.fromkeys(SCENE_FACTORS, 0.0) | {"object_shape": 0, "object_xpos": 1.0, "object_ypos": -0.5}
    assert scene_values(world, world.views["image"], raw).location_m == pytest.approx((3.0, -1.5, 0.0))
    values = scene_values(world, world.views["image"], {**raw, "spotlight_pos": 1.0})
    assert values.spotlight_location_m(0.0) == pytest.approx((4.0, 0.0, 6.0))
    image = spec.views["image"]
    assert scene_values(spec, image, {**RAW, "object_xpos": 2, "object_ypos": 0}).location_m == pytest.approx(
        (-3, 3, 0)
    )


def test_where_points_of_the_world_are_in_the_image() -> None:
    """The camera looks at the origin from (8, 0, 8): x is down in the image, y to the right, z up."""
    middle = DATASET_CAMERA.project((0, 0, 0), 100)
    assert middle == pytest.approx((50, 50))
    # 11.3 m away, a metre is 100 px * 35 mm / 50 mm / 11.3 m; along x and z it is seen from 45 degrees.
    scale, tilt = 100 * 35 / 50, math.sqrt(0.5)
    distance = 8 * math.sqrt(2)
    assert DATASET_CAMERA.project((0, 1, 0), 100) == pytest.approx((50 + scale / distance, 50))
    assert DATASET_CAMERA.project((1, 0, 0), 100) == pytest.approx((50, 50 + scale * tilt / (distance - tilt)))
    assert DATASET_CAMERA.project((0, 0, 1), 100) == pytest.approx((50, 50 - scale * tilt / (distance - tilt)))
