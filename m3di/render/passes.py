"""What is where in an image, from one sample through the centre of each pixel. Imported in worker processes only."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import OpenEXR
from numpy.typing import NDArray

OBJECT_INDEX = 1
NOTHING_M = 1e9  # Blender writes 1e10


@dataclass(frozen=True)
class Passes:
    """Geometry of an image, as the camera sees it.

    Attributes:
        mask: Where the object is in front, bool [height, width].
        depth_m: Distance from the camera's plane along its axis, float32 [height, width]; infinite where nothing is.
        normal: Unit normal of the surface in world axes, as it is shaded, float32 [height, width, 3]; else 0.
        center_m: Where the object's centre is in the world.
    """

    mask: NDArray[np.bool_]
    depth_m: NDArray[np.float32]
    normal: NDArray[np.float32]
    center_m: tuple[float, float, float]

    def with_part(self, part: tuple[slice, slice], other: Passes) -> Passes:
        """These passes with others in some rows and columns."""
        mask, depth_m, normal = self.mask.copy(), self.depth_m.copy(), self.normal.copy()
        mask[part], depth_m[part], normal[part] = other.mask, other.depth_m, other.normal
        return Passes(mask, depth_m, normal, self.center_m)


def render_passes(scene: Any, path: Path) -> Passes:
    """Render the passes of a scene in its present state and crop, without light, and leave its settings as they were.

    Args:
        scene: A Blender scene whose object is called `object`.
        path: A file that may be written and is removed.
    """
    thing = bpy.data.objects["object"]
    thing.pass_index = OBJECT_INDEX
    with _settings(scene):
        scene.render.filepath = str(path)
        bpy.ops.render.render(write_still=True)
    channels: dict[str, NDArray[Any]] = {}
    with OpenEXR.File(str(path), separate_channels=True) as exr:
        for part in exr.parts:  # Blender 5 writes one a pass, 4.5 one in all
            channels |= {name.split(".", 1)[1]: np.array(each.pixels) for name, each in part.channels.items()}
    path.unlink()
    index = channels["Object Index.X" if "Object Index.X" in channels else "IndexOB.X"]
    depth = channels["Depth.Z"].astype(np.float32)
    return Passes(
        mask=np.rint(index) == OBJECT_INDEX,
        depth_m=np.where(depth < NOTHING_M, depth, np.float32(np.inf)),
        normal=np.stack([channels[f"Normal.{axis}"] for axis in "XYZ"], axis=-1).astype(np.float32),
        center_m=tuple(thing.location),
    )


@contextlib.contextmanager
def _settings(scene: Any) -> Iterator[None]:
    layer, cycles, image = bpy.context.view_layer, scene.cycles, scene.render.image_settings
    wanted: list[tuple[Any, str, Any]] = [
        (cycles, "samples", 1),
        (cycles, "use_adaptive_sampling", False),
        (cycles, "use_denoising", False),
        # One sample, and that through the centre of the pixel.
        (cycles, "pixel_filter_type", "BOX"),
        (cycles, "filter_width", 0.01),
        (layer, "use_pass_z", True),
        (layer, "use_pass_normal", True),
        (layer, "use_pass_object_index", True),
        # Crystal is transparent, and yet the object.
        (layer, "pass_alpha_threshold", 0.0),
        *((node, "hide_render", True) for node in bpy.data.objects if node.type == "LIGHT"),
    ]
    saved = [(owner, name, getattr(owner, name)) for owner, name, _ in wanted]
    file_format = image.file_format
    try:
        for owner, name, value in wanted:
            setattr(owner, name, value)
        if hasattr(image, "media_type"):  # since Blender 5
            image.media_type = "MULTI_LAYER_IMAGE"
        image.file_format = "OPEN_EXR_MULTILAYER"
        yield
    finally:
        if hasattr(image, "media_type"):
            image.media_type = "IMAGE"
        image.file_format = file_format
        for owner, name, value in saved:
            setattr(owner, name, value)
