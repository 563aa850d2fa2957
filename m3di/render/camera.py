"""The camera, as numbers: where it stands, and where a point in the world appears in the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SENSOR_MM = 50.0
Places = NDArray[np.float64]  # columns and rows, [n, 2]


@dataclass(frozen=True)
class Camera:
    """A pinhole camera that looks at the origin, up = +z.

    Attributes:
        location_m: Where it stands.
        focal_mm: Focal length; the sensor is `SENSOR_MM` wide.
    """

    location_m: tuple[float, float, float] = (8.0, 0.0, 8.0)
    focal_mm: float = 35.0

    def project(self, point_m: tuple[float, float, float], size_px: int) -> tuple[float, float]:
        """Column and row of a point in a square image, pixels from its top left corner (pixel centres end in .5)."""
        ((column, row),) = self._project(np.array([point_m]), size_px)[0]
        return float(column), float(row)

    def project_all(self, points_m: NDArray[np.float64], size_px: int, *, nearest_m: float) -> Places | None:
        """Column and row of each point, [n, 2]; None where some point is not at least `nearest_m` in front."""
        place, depth_m = self._project(points_m, size_px)
        return place if depth_m.min() >= nearest_m else None

    def _project(self, points_m: NDArray[np.float64], size_px: int) -> tuple[Places, NDArray[np.float64]]:
        camera = np.array(self.location_m)
        forward = -camera / np.linalg.norm(camera)
        right = np.cross(forward, (0.0, 0.0, 1.0))
        right /= np.linalg.norm(right)
        rays = points_m - camera
        depth_m = rays @ forward
        scale = size_px * self.focal_mm / SENSOR_MM / depth_m
        columns = size_px / 2 + scale * (rays @ right)
        rows = size_px / 2 - scale * (rays @ np.cross(right, forward))
        return np.stack([columns, rows], axis=1), depth_m


DATASET_CAMERA = Camera()
"""The camera of the published scene."""
