"""One Blender scene, kept open: move, recolour, swap, render. Imported in worker processes only."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import OpenEXR
from mathutils import Vector as BlenderVector
from numpy.typing import NDArray

from m3di.errors import M3diError
from m3di.render.blender.geometry import ObjectHulls, ground_height_m, lights_of_scene
from m3di.render.blender.lone_ground import GROUNDS, LoneGround, set_color
from m3di.render.blender.meshes import builtin_mesh, is_solid_mesh, user_mesh
from m3di.render.blender.passes import Passes, call_render, keep_passes_on, out_of_gpu_memory, render_passes
from m3di.render.blender.session import cycles_preferences, quiet
from m3di.render.camera import DATASET_CAMERA, SENSOR_MM, Camera
from m3di.render.footprint import LIGHTS, Rectangle, footprint, outline
from m3di.render.gpu import Gpu, is_out_of_memory, use_gpu
from m3di.render.library.solid import TWO_SIDED
from m3di.render.library.user_shapes import NO_SCALE, KeptObject, UserShape
from m3di.render.quality import Quality
from m3di.render.scene import OBJECT_SCALE, SceneValues
from m3di.system.shipped import shipped

WARM_UP_PX = 8
SPECK_M, SPECK_DEPTH_M = 0.001, 50.0
GROUND_STEPS_PER_M = 10_000
"""The ground lies at a multiple of 0.1 mm: shapes as long as each other, but for rounding, share one height of it."""


class BlenderScene:
    """The base scene, opened once; every image only moves, recolours and swaps what differs.

    Args:
        size_px: Side of the square image.
        quality: How an image is sampled.
        n_threads: Threads Cycles may use.
        gpu: Render on this GPU; on the CPU if None.
        camera: Where the images are taken from.
        user_shapes: Meshes of the user; of equal names, they win over the built-in shapes.
    """

    def __init__(
        self,
        size_px: int,
        quality: Quality,
        n_threads: int,
        *,
        gpu: Gpu | None = None,
        camera: Camera = DATASET_CAMERA,
        user_shapes: tuple[UserShape, ...] = (),
    ) -> None:
        self.quality = quality
        self.camera = camera
        self._meshes: dict[str, Any] = {}
        self._kept: dict[str, KeptObject | None] = {}
        self._shows_backs: set[str] = set()
        self._hulls = ObjectHulls()
        self._user_shapes = {shape.name: shape for shape in user_shapes}
        with quiet():
            bpy.ops.wm.open_mainfile(filepath=str(shipped("blender_scenes") / "scene.blend"), use_scripts=False)
            self.scene = bpy.context.scene
            self._configure(size_px, n_threads)  # choosing a denoiser looks for GPUs, and prints
        place_camera(bpy.data.objects["camera"], camera)
        if gpu is not None:
            with quiet():  # back ends that are not there complain
                use_gpu(cycles_preferences(), gpu)
            self.scene.cycles.device = "GPU"
            # The passes are not denoised, the image may be: without this, OptiX builds its pipeline twice an image.
            bpy.context.view_layer.cycles.denoising_store_passes = quality.denoise
            keep_transparency(self.scene)
        # A worker's temporary files are on a memory file system where there is one, see `RenderPool`.
        self._folder = tempfile.TemporaryDirectory(prefix="m3di-")
        self._lone_ground = LoneGround(self.scene, self._render, self._passes)

    def _configure(self, size_px: int, n_threads: int) -> None:
        render, cycles, quality = self.scene.render, self.scene.cycles, self.quality
        render.resolution_x = render.resolution_y = size_px
        render.threads_mode = "FIXED"
        render.threads = n_threads
        render.image_settings.file_format = "OPEN_EXR"
        render.image_settings.color_mode = "RGB"
        render.image_settings.color_depth = "32"
        cycles.samples = quality.max_samples
        cycles.use_adaptive_sampling = quality.noise_threshold > 0.0
        cycles.adaptive_threshold = quality.noise_threshold
        cycles.adaptive_min_samples = quality.min_samples
        cycles.use_denoising = quality.denoise
        keep_passes_on(bpy.context.view_layer)
        if quality.denoise:
            cycles.denoiser = "OPENIMAGEDENOISE"
            cycles.denoising_input_passes = "RGB_ALBEDO_NORMAL"

    def apply(self, values: SceneValues) -> None:
        """Put the scene into the state that `values` describe."""
        objects, materials = bpy.data.objects, bpy.data.materials
        obj = objects["object"]
        obj.data = self._mesh(values.shape)
        kept = self._kept[values.shape]
        obj.scale = [OBJECT_SCALE * each for each in (kept.scale if kept else NO_SCALE)]
        obj.rotation_euler = values.rotation_rad
        shows_backs = values.shape in self._shows_backs
        material = materials[TWO_SIDED.get(values.material, values.material) if shows_backs else values.material]
        obj.material_slots[0].link = "OBJECT"
        obj.material_slots[0].material = material
        set_color(material, values.object_rgb)
        ground = materials[GROUNDS[values.ground]]
        objects["ground"].material_slots[0].material = ground
        set_color(ground, values.ground_rgb)
        # `dimensions` follows the mesh and the scale, not the rotation: one number a shape.
        bpy.context.view_layer.update()
        longest_side_m = OBJECT_SCALE * kept.longest_side if kept else max(obj.dimensions)
        obj.location = values.object_location_m(longest_side_m)
        objects["ground"].location.z = -round(longest_side_m * GROUND_STEPS_PER_M) / GROUND_STEPS_PER_M
        spotlight = objects["spotlight"]
        spotlight.location = values.spotlight_location_m(longest_side_m)
        spotlight.data.color = values.spotlight_rgb
        aim = BlenderVector(obj.location) - spotlight.location
        spotlight.rotation_euler = aim.to_track_quat("-Z", "Y").to_euler()
        self.scene.cycles.seed = values.seed

    def _mesh(self, shape: str) -> Any:
        if shape not in self._meshes:
            user_shape = self._user_shapes.get(shape)
            mesh, kept = user_mesh(user_shape) if user_shape else (builtin_mesh(shape), None)
            self.add_mesh(shape, mesh, kept)
            if user_shape and not is_solid_mesh(self._meshes[shape]):
                self._shows_backs.add(shape)
        return self._meshes[shape]

    def add_mesh(self, shape: str, mesh: Any, kept: KeptObject | None = None) -> None:
        """Make a Blender mesh usable as a shape; its own materials are dropped."""
        mesh.materials.clear()
        mesh.materials.append(None)
        self._meshes[shape] = mesh
        self._kept[shape] = kept

    def render(self, values: SceneValues) -> tuple[NDArray[np.float32], Passes]:
        """Scene-linear radiance, float32 [height, width, 3], and what is where."""
        with quiet() as printed:
            hull_m = self._set(values)
            # Light is no part of the passes: with those of the next call on, that call finds the scene unchanged.
            show_lights(values.lights[:1] if self.quality.light_passes else values.lights)
            # Before the image: Cycles rounds differently once it has rendered such passes, so it always has.
            passes = self._passes_of(hull_m)
        _check(printed, 1.0 / passes.depth_m)  # infinite where nothing is
        return self._radiance(values, hull_m, printed), passes

    def render_linear(self, values: SceneValues) -> NDArray[np.float32]:
        """Scene-linear radiance, float32 [height, width, 3]."""
        with quiet() as printed:
            hull_m = self._set(values)
        return self._radiance(values, hull_m, printed)

    def warm_up(self) -> None:
        """Render a corner of the scene as it is in the file, passes and all: the first render of a process loads its
        kernels, and compiles them where the driver has none for this GPU.

        Raises:
            OutOfGpuMemory: The GPU has no room for this process.
            M3diError: The GPU does not render.
        """
        corner = Rectangle(0, 0, WARM_UP_PX, WARM_UP_PX)
        with quiet() as printed:
            passes = self._passes(corner)
            image = self._render(LIGHTS, corner)
        _check([*printed], np.concatenate([image.ravel(), 1.0 / passes.depth_m.ravel()]))

    def _set(self, values: SceneValues) -> NDArray[np.float64]:
        """Apply the values; corners of the object's convex hull in the world, [n, 3]."""
        self.apply(values)
        return self._hulls.in_world()

    def _passes_of(self, hull_m: NDArray[np.float64]) -> Passes:
        """Those of the lone ground, with those of the object's rectangle in their place."""
        part = outline(hull_m, self.camera, self.scene.render.resolution_x)
        ground = replace(self._lone_ground.passes(), center_m=tuple(bpy.data.objects["object"].location))
        return ground if part.is_empty else ground.with_part(part.slices, self._passes(part))

    def _passes(self, part: Rectangle | None = None) -> Passes:
        self._crop(part)
        return render_passes(self.scene, Path(self._folder.name) / "passes.exr")

    def _radiance(
        self, values: SceneValues, hull_m: NDArray[np.float64], printed_before: list[str]
    ) -> NDArray[np.float32]:
        """Radiance of the scene as `apply` has left it; an error that was printed meanwhile, or before, fails it."""
        with quiet() as printed:
            if self.quality.light_passes:
                image = np.sum([self._lit_by(light, values, hull_m) for light in values.lights], axis=0)
            else:
                image = self._render(values.lights)
        _check([*printed_before, *printed], image)
        return image

    def _lit_by(self, light: str, values: SceneValues, hull_m: NDArray[np.float64]) -> NDArray[np.float32]:
        """The image under one light."""
        if not self.quality.reuse_ground:
            return self._render((light,))
        image = self._lone_ground.under(light, values)
        changed = footprint(light, hull_m, ground_height_m(), lights_of_scene(), self.camera, len(image))
        if not changed.is_empty:
            image[changed.slices] = self._render((light,), changed)
        return image

    def _render(self, lights: tuple[str, ...], part: Rectangle | None = None) -> NDArray[np.float32]:
        """Render the scene, or a part of the image: float32 [height, width, 3]."""
        show_lights(lights)
        path = Path(self._folder.name) / "pass.exr"
        self.scene.render.filepath = str(path)
        self._crop(part)
        call_render()
        with OpenEXR.File(str(path)) as exr:
            pixels: NDArray[np.float32] = np.array(exr.channels()["RGB"].pixels, dtype=np.float32)
        path.unlink()
        return pixels

    def _crop(self, part: Rectangle | None) -> None:
        render = self.scene.render
        render.use_border = render.use_crop_to_border = part is not None
        if part is not None:
            size_px = render.resolution_x
            inside = 0.01  # of a pixel: Blender may round either way
            render.border_min_x = (part.left + inside) / size_px
            render.border_max_x = (part.right + inside) / size_px
            render.border_min_y = (size_px - part.bottom + inside) / size_px
            render.border_max_y = (size_px - part.top + inside) / size_px


def _check(printed: list[str], image: NDArray[np.floating[Any]]) -> None:
    # Blender can report an error and return normally.
    errors = [line for line in printed if re.search(r"\berror\b", line, re.IGNORECASE)]
    if is_out_of_memory(errors):
        raise out_of_gpu_memory(errors)
    if errors or not np.isfinite(image).all() or not image.any():
        raise M3diError(
            "Blender did not render the image",
            got="; ".join(errors) or ("a black image" if np.isfinite(image).all() else "values that are not finite"),
            expected="finite radiance with some light in it",
            next_step="run the same command again; finished shards are kept",
        )


def keep_transparency(scene: Any) -> None:
    """Add a speck of crystal out of sight: a transparent material asks for another kernel, and with one always
    there OptiX does not build its pipeline again between crystal and other materials.
    """
    mesh = bpy.data.meshes.new("speck")
    mesh.from_pydata([(0.0, 0.0, 0.0), (SPECK_M, 0.0, 0.0), (0.0, SPECK_M, 0.0)], [], [(0, 1, 2)])
    mesh.materials.append(bpy.data.materials["crystal"])
    speck = bpy.data.objects.new("speck", mesh)
    speck.location = (0.0, 0.0, -SPECK_DEPTH_M)  # under the ground, where light does not come from
    scene.collection.objects.link(speck)


def show_lights(names: Sequence[str]) -> None:
    """Have these lights shine and no others. Setting what is set already would tag the scene as changed."""
    for name in LIGHTS:
        node = bpy.data.objects[name]
        if node.hide_render != (name not in names):
            node.hide_render = name not in names


def place_camera(node: Any, camera: Camera) -> None:
    """Put a Blender camera where `camera` says, looking at the origin."""
    node.data.lens = camera.focal_mm
    node.data.sensor_width = SENSOR_MM
    node.location = camera.location_m
    node.rotation_euler = (-BlenderVector(camera.location_m)).to_track_quat("-Z", "Y").to_euler()
