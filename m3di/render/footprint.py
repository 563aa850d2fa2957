"""Where in the image an object changes anything: itself, its shadows, and the spotlight's pool of light.

The ground alone under sun and area light is one fixed picture, and under the spotlight it is dark outside the cone.
So each light needs a render of one rectangle only. The rectangles are conservative: bounds come from the convex hull
of the object, its projection through each light onto the ground, and the widest cone that the spotlight's disc can
throw; where a bound does not exist (a light below the object's top, a ray that misses the ground) it is the image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from m3di.render.camera import Camera

Points = NDArray[np.float64]  # [n, 3], metres

LIGHTS = ("sun", "area", "spotlight")
MARGIN_PX = 2  # the pixel filter reaches 0.75 px beyond a pixel's centre; the rest is for rounding
NEAREST_M = 0.5  # a point nearer to the camera's plane than this has no useful projection
N_CONE_DIRECTIONS = 32
N_DISC_DIRECTIONS = 8  # the discs are small, and there is one for each corner of the object


@dataclass(frozen=True)
class Rectangle:
    """Pixels of an image: columns `left` to `right` - 1, rows `top` to `bottom` - 1, rows counted from the top."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns of an array [height, width, ...]."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    @property
    def is_empty(self) -> bool:
        """Whether there is no pixel in it."""
        return self.right <= self.left or self.bottom <= self.top


@dataclass(frozen=True)
class Lights:
    """What the bounds need to know of the lights.

    Attributes:
        sun_angle_rad: Angular diameter of the sun, which stands straight above.
        area_corners_m: Corners of the area light, [4, 3].
        spotlight_m: Where the spotlight stands.
        spotlight_aim_m: Where it points.
        spotlight_radius_m: Radius of its disc.
        spotlight_angle_rad: Full angle of its cone.
    """

    sun_angle_rad: float
    area_corners_m: Points
    spotlight_m: NDArray[np.float64]
    spotlight_aim_m: NDArray[np.float64]
    spotlight_radius_m: float
    spotlight_angle_rad: float


def footprint(light: str, hull_m: Points, ground_m: float, lights: Lights, camera: Camera, size_px: int) -> Rectangle:
    """The pixels in which an image lit by one light can differ from the picture of the ground alone.

    Args:
        light: `sun`, `area` or `spotlight`. For the spotlight, the ground alone is black.
        hull_m: Corners of the object's convex hull in the world.
        ground_m: Height of the ground.
        lights: The lights.
        camera: The camera.
        size_px: Side of the image.
    """
    touched = {"sun": _sun_shadow, "area": _area_shadow, "spotlight": _spotlight_pool}[light](hull_m, ground_m, lights)
    if touched is None:
        return Rectangle(0, 0, size_px, size_px)
    return outline(np.concatenate([hull_m, touched]), camera, size_px)


def outline(points_m: Points, camera: Camera, size_px: int) -> Rectangle:
    """The pixels that some point of the convex hull of these points may reach; all where a point is not in front."""
    place = camera.project_all(points_m, size_px, nearest_m=NEAREST_M)
    if place is None:
        return Rectangle(0, 0, size_px, size_px)
    low = np.floor(place.min(axis=0)).astype(int) - MARGIN_PX
    high = np.ceil(place.max(axis=0)).astype(int) + MARGIN_PX
    left, top = np.clip(low, 0, size_px)
    right, bottom = np.clip(high, 0, size_px)
    return Rectangle(int(left), int(top), int(right), int(bottom))


def _circle(n: int) -> NDArray[np.float64]:
    """Directions around a circle, [n, 2]: the corners of a polygon around it, not within it."""
    angle = 2.0 * np.pi * np.arange(n) / n
    return np.stack([np.cos(angle), np.sin(angle)], axis=1) / math.cos(math.pi / n)


def _sun_shadow(hull_m: Points, ground_m: float, lights: Lights) -> Points | None:
    """Each corner's shadow is a disc as wide as the sun makes it at that height."""
    height = hull_m[:, 2] - ground_m
    radius = np.maximum(height, 0.0) * math.tan(lights.sun_angle_rad / 2.0)
    discs = hull_m[:, None, :2] + radius[:, None, None] * _circle(N_DISC_DIRECTIONS)
    return np.concatenate([discs.reshape(-1, 2), np.full((discs.size // 2, 1), ground_m)], axis=1)


def _area_shadow(hull_m: Points, ground_m: float, lights: Lights) -> Points | None:
    """Each corner's shadow from each corner of the light."""
    light = lights.area_corners_m[:, None, :]
    below = light[..., 2] - hull_m[None, :, 2]
    if below.min() < NEAREST_M:
        return None
    reach = (light[..., 2] - ground_m) / below
    return (light + reach[..., None] * (hull_m[None] - light)).reshape(-1, 3)


def _spotlight_pool(hull_m: Points, ground_m: float, lights: Lights) -> Points | None:
    """Where the cone of any point of the spotlight's disc meets the ground: the cone of a point farther back."""
    half = lights.spotlight_angle_rad / 2.0
    axis = lights.spotlight_aim_m - lights.spotlight_m
    axis = axis / np.linalg.norm(axis)
    apex = lights.spotlight_m - axis * lights.spotlight_radius_m / math.sin(half)
    side = np.cross(axis, (1.0, 0.0, 0.0) if abs(axis[0]) < 0.9 else (0.0, 1.0, 0.0))
    side /= np.linalg.norm(side)
    around = _circle(N_CONE_DIRECTIONS) * math.tan(half)
    rays = axis + around[:, :1] * side + around[:, 1:] * np.cross(axis, side)
    if rays[:, 2].max() > -0.05 or apex[2] <= ground_m:
        return None
    return apex + rays * ((ground_m - apex[2]) / rays[:, 2])[:, None]
