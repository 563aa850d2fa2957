"""Latents to scene values: places, rotations and colours. Plain numbers, no Blender.

World x points towards the camera (down in the image), y to the right, z up; metres and radians, linear RGB.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from m3di.latents import SCENE_FACTORS, Spec, View, hsv_to_rgb

Vector = tuple[float, float, float]

LONGEST_SIDE = 2.8
"""Longest side of every shape's bounding box before the scene scales it, Blender units."""
OBJECT_SCALE = 1.5
"""By which the scene multiplies the object, and its own scale if it has one."""
SPOTLIGHT_RADIUS_M = 4.0
SPOTLIGHT_CLEARANCE_M = 6.0
GREY = 0.5
CHECKER_SIDE_M = 1.5
CHECKER_SHADE = 0.35
"""Base colour of the dark squares of a checkered ground, as a part of that of the light ones."""


@dataclass(frozen=True)
class SceneValues:
    """All that changes from image to image.

    Attributes:
        shape: Name of the object's mesh.
        material: Name of the object's material: `rubber`, `metal` or `crystal`.
        location_m: Centre of the object, before it is raised.
        rotation_rad: Euler angles in XYZ order.
        object_rgb: Base colour of the object, linear RGB.
        spotlight_rgb: Colour of the spotlight, linear RGB; a channel may exceed 1 (see `hsv_to_rgb`).
        ground_rgb: Base colour of the ground, linear RGB.
        spotlight_angle_rad: Where the spotlight stands on its circle; 0 is to the right, pi/2 towards the camera.
        seed: Seed of the sampling noise.
        raised_sides: How far z = 0 lies above the scene's origin, in longest sides of the object.
        lights: The lights that are on.
        ground: `plain` or `checker`.
    """

    shape: str
    material: str
    location_m: Vector
    rotation_rad: Vector
    object_rgb: Vector
    spotlight_rgb: Vector
    ground_rgb: Vector
    spotlight_angle_rad: float
    seed: int
    ground: str = "plain"
    raised_sides: float = 0.0
    lights: tuple[str, ...] = ("sun", "area", "spotlight")

    def object_location_m(self, longest_side_m: float) -> Vector:
        """Where the object's centre is, given the longest side of the unrotated, scaled object."""
        x, y, z = self.location_m
        return x, y, z + self.raised_sides * longest_side_m

    def spotlight_location_m(self, longest_side_m: float) -> Vector:
        """Where the spotlight stands, given the longest side of the unrotated, scaled object."""
        t = self.spotlight_angle_rad
        return (
            SPOTLIGHT_RADIUS_M * math.sin(t),
            SPOTLIGHT_RADIUS_M * math.cos(t),
            SPOTLIGHT_CLEARANCE_M + longest_side_m,
        )


def scene_values(spec: Spec, view: View, raw: Mapping[str, float]) -> SceneValues:
    """Scene values of one image.

    Args:
        spec: The spec that declares the factors.
        view: The image view that is rendered.
        raw: Raw value of every factor that the view sees.

    Returns:
        The scene values. A factor that the view does not see takes the value 0 of its unit; a colour, white for the
        spotlight and grey for surfaces.
    """
    seen = {name: raw[name] for name in SCENE_FACTORS if name in raw}  # nothing else is drawn

    def physical(name: str) -> float:
        return float(spec.factors[name].physical(seen[name])) if name in seen else 0.0

    def rgb(name: str, otherwise: float) -> Vector:
        if name not in seen:
            return otherwise, otherwise, otherwise
        factor = spec.factors[name]
        red, green, blue = hsv_to_rgb(physical(name), factor.saturation, 1.0, wheel=factor.wheel)
        return float(red), float(green), float(blue)

    x, y = physical("object_xpos"), physical("object_ypos")
    return SceneValues(
        shape=view.shape or spec.factors["object_shape"].value_name(seen["object_shape"]),
        material=view.material,
        location_m=(*((x, y) if view.axes == "world" else (y, x)), physical("object_zpos")),
        rotation_rad=(physical("object_alpharot"), physical("object_betarot"), physical("object_gammarot")),
        object_rgb=rgb("object_color", GREY),
        spotlight_rgb=rgb("spotlight_color", 1.0),
        ground_rgb=rgb("background_color", GREY),
        spotlight_angle_rad=physical("spotlight_pos"),
        seed=int(seen.get("render_seed", 0)),
        raised_sides=view.raised,
        lights=view.lights,
        ground=view.ground,
    )
