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

from m3di.render.gpu import OutOfGpuMemory, is_out_of_memory

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


def keep_passes_on(layer: Any) -> None:
    """Have every render of a view layer prepare the passes: turning them on and off would have Cycles sync the scene
    twice an image. What is rendered besides stays the same.
    """
    layer.use_pass_z = layer.use_pass_normal = layer.use_pass_object_index = True
    layer.pass_alpha_threshold = 0.0  # crystal is transparent, and yet the object
    bpy.data.objects["object"].pass_index = OBJECT_INDEX


def render_passes(scene: Any, path: Path) -> Passes:
    """Render the passes of a scene in its present state and crop, and leave its settings as they were.

    Args:
        scene: A Blender scene whose object is called `object`, see `keep_passes_on`.
        path: A file that may be written and is removed.
    """
    obj = bpy.data.objects["object"]
    with _settings(scene):
        scene.render.filepath = str(path)
        call_render()
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
        center_m=tuple(obj.location),
    )


def call_render() -> None:
    """Render the scene into the file that its settings name.

    Raises:
        OutOfGpuMemory: The GPU has no room for it.
        RuntimeError: Blender says that it failed.
    """
    try:
        bpy.ops.render.render(write_still=True)
    except RuntimeError as error:
        if is_out_of_memory([str(error)]):
            raise out_of_gpu_memory([str(error)]) from error
        raise


def out_of_gpu_memory(said: list[str]) -> OutOfGpuMemory:
    """What Cycles has printed, as an M3diError."""
    return OutOfGpuMemory(
        "the GPU has no memory left for this worker",
        got="; ".join(line.strip() for line in said),
        expected="room for the path states of every worker on the card",
        next_step="fewer --workers, or end what else runs on the card (`nvidia-smi` lists it)",
    )


@contextlib.contextmanager
def _settings(scene: Any) -> Iterator[None]:
    cycles, image = scene.cycles, scene.render.image_settings
    wanted: list[tuple[Any, str, Any]] = [
        (cycles, "samples", 1),
        (cycles, "use_adaptive_sampling", False),
        (cycles, "use_denoising", False),
        # One sample, and that through the centre of the pixel.
        (cycles, "pixel_filter_type", "BOX"),
        (cycles, "filter_width", 0.01),
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
