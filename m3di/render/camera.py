"""The camera, as numbers: where it stands, and where a point in the world appears in the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SENSOR_MM = 50.0


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
        camera = np.array(self.location_m)
        forward = -camera / np.linalg.norm(camera)
        right = np.cross(forward, (0.0, 0.0, 1.0))
        right /= np.linalg.norm(right)
        ray = np.array(point_m) - camera
        scale = size_px * self.focal_mm / SENSOR_MM / (ray @ forward)
        return float(size_px / 2 + scale * (ray @ right)), float(size_px / 2 - scale * (ray @ np.cross(right, forward)))


DATASET_CAMERA = Camera()
"""The camera of the published scene."""
