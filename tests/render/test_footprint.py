from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m3di.latents import load_spec, sample
from m3di.render import QUALITIES, builtin_shapes, scene_values
from m3di.render.camera import DATASET_CAMERA
from m3di.render.footprint import LIGHTS, Lights, Rectangle, _circle, footprint
from m3di.render.scene import SceneValues
from tests.render.test_blender import VALUES, in_worker

SIZE_PX = 224
GROUND_M = -4.2


def lights_at(spotlight_m: tuple[float, float, float], aim_m: np.ndarray) -> Lights:
    half = 0.5
    corners = np.array([(x, y, 7.0) for x in (-half, half) for y in (-half, half)])
    return Lights(0.19934, corners, np.array(spotlight_m), aim_m, 0.5, math.radians(35))


def inside(rectangle: Rectangle, points_m: np.ndarray) -> bool:
    """Whether all points that the image shows lie in the rectangle, with room for the pixel filter."""
    place = DATASET_CAMERA.project_all(points_m, SIZE_PX, nearest_m=0.01)
    assert place is not None
    shown = place[((place >= 0) & (place <= SIZE_PX)).all(axis=1)]
    low, high = np.array([rectangle.left, rectangle.top]), np.array([rectangle.right, rectangle.bottom])
    free = np.where(low == 0, 0, 0.75), np.where(high == SIZE_PX, 0, 0.75)
    return bool((shown >= low + free[0]).all() and (shown <= high - free[1]).all())


def directions(rng: np.random.Generator, n: int, half_angle: float) -> np.ndarray:
    """Directions within a cone around -z, many of them on its rim."""
    angle = half_angle * np.where(rng.random(n) < 0.5, 1.0, np.sqrt(rng.random(n)))
    turn = 2 * np.pi * rng.random(n)
    return np.stack([np.sin(angle) * np.cos(turn), np.sin(angle) * np.sin(turn), -np.cos(angle)], axis=1)


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(
    x=st.floats(-3, 3),
    y=st.floats(-3, 3),
    z=st.floats(-2, 2),
    t=st.floats(-math.pi / 2, math.pi / 2),
    seed=st.integers(0, 99),
)
def test_nothing_that_the_object_changes_lies_outside(x: float, y: float, z: float, t: float, seed: int) -> None:
    """Random points of the object and random points of each light: where the shadow falls, and where light falls."""
    rng = np.random.default_rng(seed)
    centre = np.array([x, y, z])
    hull = centre + rng.normal(size=(40, 3)) * rng.uniform(0.2, 1.0, size=3)
    lights = lights_at((4 * math.sin(t), 4 * math.cos(t), 10.2), centre)
    weights = rng.dirichlet(np.full(40, 0.2), size=3_000)
    points = weights @ hull  # of the convex hull, many of them near its corners
    points = points[(points[:, 2] > GROUND_M) & (points[:, 2] < 6.4)]
    n = len(points)
    found = {light: footprint(light, hull, GROUND_M, lights, DATASET_CAMERA, SIZE_PX) for light in LIGHTS}
    assert all(inside(rectangle, points) for rectangle in found.values())
    rays = directions(rng, n, lights.sun_angle_rad / 2)
    assert inside(found["sun"], points + rays * ((GROUND_M - points[:, 2]) / rays[:, 2])[:, None])
    origin = lights.area_corners_m[0] + rng.random((n, 3)) * (1, 1, 0)
    reach = (origin[:, 2] - GROUND_M) / (origin[:, 2] - points[:, 2])
    assert inside(found["area"], origin + reach[:, None] * (points - origin))
    axis = (centre - lights.spotlight_m) / np.linalg.norm(centre - lights.spotlight_m)
    side = np.cross(axis, (0.3, 0.5, 0.7))
    frame = np.stack([side / np.linalg.norm(side), np.cross(axis, side / np.linalg.norm(side)), -axis])
    rays = directions(rng, n, lights.spotlight_angle_rad / 2) @ frame
    ball = rng.normal(size=(n, 3))
    origin = lights.spotlight_m + lights.spotlight_radius_m * ball / np.linalg.norm(ball, axis=1, keepdims=True)
    assert inside(found["spotlight"], origin + rays * ((GROUND_M - origin[:, 2]) / rays[:, 2])[:, None])


def test_rectangles_are_small() -> None:
    """The gain: a small object in the middle changes a few per cent of the image under sun and area light."""
    hull = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=float)
    lights = lights_at((0.0, 4.0, 10.2), np.zeros(3))
    share = {}
    for light in LIGHTS:
        found = footprint(light, hull, GROUND_M, lights, DATASET_CAMERA, SIZE_PX)
        share[light] = (found.right - found.left) * (found.bottom - found.top) / SIZE_PX**2
    assert share["sun"] < 0.1
    assert share["area"] < 0.2
    assert share["spotlight"] < 0.4


def test_the_whole_image_where_there_is_no_bound() -> None:
    whole = Rectangle(0, 0, SIZE_PX, SIZE_PX)
    tall = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 8)], dtype=float)
    lights = lights_at((0.0, 4.0, 10.2), np.zeros(3))
    assert footprint("area", tall, GROUND_M, lights, DATASET_CAMERA, SIZE_PX) == whole  # higher than the light
    flat = lights_at((0.0, 40.0, 1.0), np.zeros(3))
    assert footprint("spotlight", tall[:4], GROUND_M, flat, DATASET_CAMERA, SIZE_PX) == whole  # a ray misses the ground
    behind = tall + np.array([9.0, 0.0, 9.0])
    assert footprint("sun", behind, GROUND_M, lights, DATASET_CAMERA, SIZE_PX) == whole  # behind the camera


def test_an_object_out_of_sight() -> None:
    far = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=float) + (0, 60, 0)
    found = footprint("sun", far, GROUND_M, lights_at((0, 4, 10), np.zeros(3)), DATASET_CAMERA, SIZE_PX)
    assert found.is_empty
    assert not Rectangle(0, 0, 1, 1).is_empty


def _whole_and_in_parts(values: list[SceneValues], size_px: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """In a worker: each scene rendered whole, and by rectangles; the same samples of each pixel."""
    from m3di.render.blender.open_scene import BlenderScene

    parts = replace(QUALITIES["standard"], noise_threshold=0.0, max_samples=16)
    scene = BlenderScene(size_px, parts, 1)
    images = []
    for each in values:
        scene.quality = parts
        in_parts = scene.render_linear(each)
        scene.quality = replace(parts, reuse_ground=False)
        images.append((scene.render_linear(each), in_parts))
    return images


@pytest.mark.slow
@pytest.mark.parametrize("name", ["m3di", "image-pairs"])
def test_no_pixel_outside_of_the_rectangles_changes(name: str) -> None:
    """Rendered whole and by rectangles, images are the same but for the noise of the lone ground."""
    spec = load_spec(name)
    drawn = sample(spec, "train", 12 if name == "m3di" else 4, seed=2)
    values = [
        scene_values(spec, spec.observed[view].view, {factor: raw[row].item() for factor, raw in factors.items()})
        for view, factors in drawn.views.items()
        if spec.observed[view].view.modality == "image"
        for row in range(drawn.n)
    ]
    values.append(replace(values[0], material="crystal"))
    values.append(replace(values[1], ground_rgb=(1.2, -0.3, 0.4), lights=("sun", "spotlight")))
    for each, (whole, in_parts) in zip(values, in_worker(_whole_and_in_parts, values, 64), strict=True):
        difference = np.abs(whole - in_parts).max()
        assert difference < 1e-3, each
        assert whole.max() > 0.05


@pytest.mark.slow
def test_no_pixel_outside_changes_for_any_shape() -> None:
    """Every built-in shape, somewhere, turned somehow; each rests on the ground, floats, or is cut by the border."""
    rng = np.random.default_rng(5)
    values = [
        replace(
            VALUES,
            shape=shape,
            location_m=tuple(rng.uniform((-4, -4, -2.5), (4, 4, 2))),
            rotation_rad=tuple(rng.uniform(-math.pi, math.pi, 3)),
            spotlight_angle_rad=rng.uniform(-math.pi, math.pi),
            seed=number,
        )
        for number, shape in enumerate(builtin_shapes())
    ]
    for each, (whole, in_parts) in zip(values, in_worker(_whole_and_in_parts, values, 48), strict=True):
        assert np.abs(whole - in_parts).max() < 1e-3, each


@pytest.mark.slow
def test_a_checkered_ground() -> None:
    """Its edges are noisy in the whole image, which has 16 samples a pixel; on average there is no difference."""
    ((whole, in_parts),) = in_worker(_whole_and_in_parts, [replace(VALUES, ground="checker")], 64)
    assert np.abs(whole - in_parts).mean() < 3e-3
    assert np.abs((whole - in_parts).mean()) < 1e-4
    assert whole.std() > 0.01


@pytest.mark.parametrize("n", [3, 8, 32])
def test_a_circle_is_within_its_polygon(n: int) -> None:
    """The middle of each side touches the circle; a corner on the circle would cut a piece of it off."""
    corners = _circle(n)
    middles = (corners + np.roll(corners, -1, axis=0)) / 2
    np.testing.assert_allclose(np.linalg.norm(middles, axis=1), 1.0, atol=1e-12)


def test_the_sun_widens_a_shadow_with_the_height_above_the_ground() -> None:
    """A point 5 m above the ground, under a sun of 90 degrees: the shadow reaches 5 m to each side."""
    point, lights = np.array([[0.0, 0.0, GROUND_M + 5.0]]), lights_at((0.0, 4.0, 10.2), np.zeros(3))
    found = footprint("sun", point, GROUND_M, replace(lights, sun_angle_rad=math.pi / 2), DATASET_CAMERA, SIZE_PX)
    assert inside(found, np.array([(x, y, GROUND_M) for x, y in ((5, 0), (-5, 0), (0, 5), (0, -5))], dtype=float))
    narrow = footprint("sun", point, GROUND_M, replace(lights, sun_angle_rad=0.0), DATASET_CAMERA, SIZE_PX)
    assert narrow.right - narrow.left <= 6  # the point and its shadow lie one below the other


def test_what_stands_above_the_area_light_has_no_bound() -> None:
    """Its mirrored shadow would be a small rectangle, and in sight."""
    above = np.array([(x, y, z) for x in (-0.1, 0.1) for y in (-0.1, 0.1) for z in (14.5, 15.0)])
    found = footprint("area", above, GROUND_M, lights_at((0.0, 4.0, 10.2), np.zeros(3)), DATASET_CAMERA, SIZE_PX)
    assert found == Rectangle(0, 0, SIZE_PX, SIZE_PX)
