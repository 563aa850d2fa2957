"""The ground without an object on it: what it looks like, rendered once a worker. Imported in worker processes only.

These pictures do not depend on the image that a worker renders first: they have a seed and a sampling of their own, and
depend on nothing but the light, the kind of ground and its height.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from m3di.render.blender.geometry import ground_height_m
from m3di.render.blender.passes import Passes
from m3di.render.scene import SceneValues

GROUNDS = {"plain": "ground", "checker": "ground_checker"}
# The plain ground has almost no noise, a checkered one has it on its edges.
SAMPLING = {
    "samples": 256,
    "use_adaptive_sampling": True,
    "adaptive_min_samples": 16,
    "adaptive_threshold": 0.01,
    "seed": 0,
}


class LoneGround:
    """Pictures of the ground alone.

    Args:
        scene: The Blender scene.
        render: Renders it whole under some lights: float32 [height, width, 3].
        render_passes: Renders its passes, whole.
    """

    def __init__(
        self,
        scene: Any,
        render: Callable[[tuple[str, ...]], NDArray[np.float32]],
        render_passes: Callable[[], Passes],
    ) -> None:
        self._scene = scene
        self._render = render
        self._render_passes = render_passes
        self._pictures: dict[tuple[str, str, float], tuple[NDArray[np.float32], NDArray[np.float32]]] = {}
        self._passes: dict[float, Passes] = {}

    def under(self, light: str, values: SceneValues) -> NDArray[np.float32]:
        """A new picture under one light. It is affine in the ground's colour; Cycles takes negative channels as 0."""
        size_px = self._scene.render.resolution_x
        if light == "spotlight":  # dark outside the pool of light, which is always rendered
            return np.zeros((size_px, size_px, 3), dtype=np.float32)
        key = (light, values.ground, ground_height_m())
        if key not in self._pictures:
            with _without_object(), _sampling(self._scene.cycles):
                black, white = (self._in_color(light, values, (level,) * 3) for level in (0.0, 1.0))
            self._pictures[key] = (white - black, black)
        slope, black = self._pictures[key]
        return slope * np.maximum(np.array(values.ground_rgb, dtype=np.float32), 0.0) + black

    def _in_color(self, light: str, values: SceneValues, rgb: tuple[float, ...]) -> NDArray[np.float32]:
        material = bpy.data.materials[GROUNDS[values.ground]]
        set_color(material, rgb)
        try:
            return self._render((light,))
        finally:
            set_color(material, values.ground_rgb)

    def passes(self) -> Passes:
        """What the camera sees of it; to be copied before it is changed."""
        key = ground_height_m()
        if key not in self._passes:
            with _without_object():
                self._passes[key] = self._render_passes()
        return self._passes[key]


def set_color(material: Any, rgb: tuple[float, ...]) -> None:
    """Recolour one of the scene's materials, linear RGB."""
    material.node_tree.nodes["Color"].outputs[0].default_value = (*rgb, 1.0)


@contextlib.contextmanager
def _without_object() -> Iterator[None]:
    obj = bpy.data.objects["object"]
    was_hidden, obj.hide_render = obj.hide_render, True
    try:
        yield
    finally:
        obj.hide_render = was_hidden


@contextlib.contextmanager
def _sampling(cycles: Any) -> Iterator[None]:
    before = {name: getattr(cycles, name) for name in SAMPLING}
    try:
        for name, value in SAMPLING.items():
            setattr(cycles, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(cycles, name, value)
