from __future__ import annotations

import math

import pytest

from m3di.latents import Spec
from m3di.render import scene_values

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
