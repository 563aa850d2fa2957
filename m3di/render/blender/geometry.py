"""What the present scene looks like in numbers, for the bounds of `footprint`. Imported in worker processes only."""

from __future__ import annotations

import bpy
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from m3di.render.footprint import LIGHTS, Lights


def ground_height_m() -> float:
    """Height of the ground."""
    return float(bpy.data.objects["ground"].location.z)


def lights_of_scene() -> Lights:
    """The lights as they stand."""
    sun, area, spotlight = (bpy.data.objects[name] for name in LIGHTS)
    half = area.data.size / 2.0
    corners = np.array([(x, y, 0.0) for x in (-half, half) for y in (-half, half)]) + np.array(area.location)
    return Lights(
        sun_angle_rad=sun.data.angle,
        area_corners_m=corners,
        spotlight_m=np.array(spotlight.location),
        spotlight_aim_m=np.array(bpy.data.objects["object"].location),
        spotlight_radius_m=spotlight.data.shadow_soft_size,
        spotlight_angle_rad=spotlight.data.spot_size,
    )


class ObjectHulls:
    """Convex hulls of the meshes that the object has had, each computed once."""

    def __init__(self) -> None:
        self._corners: dict[str, NDArray[np.float64]] = {}

    def in_world(self) -> NDArray[np.float64]:
        """Corners of the present object's convex hull in the world, [n, 3]."""
        obj = bpy.data.objects["object"]
        mesh = obj.data
        if mesh.name not in self._corners:
            vertices = np.empty(3 * len(mesh.vertices), dtype=np.float32)
            mesh.vertices.foreach_get("co", vertices)
            points = vertices.reshape(-1, 3).astype(np.float64)
            # Joggled: a flat mesh has a hull as well.
            self._corners[mesh.name] = points[ConvexHull(points, qhull_options="QJ").vertices]
        bpy.context.view_layer.update()
        matrix = np.array(obj.matrix_world)
        return self._corners[mesh.name] @ matrix[:3, :3].T + matrix[:3, 3]
