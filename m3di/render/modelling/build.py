"""Writes `blender_scenes/`: the base scene and one `.blend` a shape. Run by `make scenes`, never by users.

Everything in those files comes from here and from `m3di/render/shapes/`; figures are those of the published scene.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import bpy

from m3di.render.blender.open_scene import place_camera
from m3di.render.camera import DATASET_CAMERA
from m3di.render.library.solid import TWO_SIDED
from m3di.render.modelling.materials import crystal, metal, rubber
from m3di.render.modelling.shapes import SHAPES, build
from m3di.render.scene import OBJECT_SCALE

GROUND_SIDE_M = 1500.0
FACETED = ("cube", "cylinder", "cone")
SHARP_RAD = math.radians(40.0)


def _light(name: str, kind: str, energy: float, location: tuple[float, float, float]) -> Any:
    light = bpy.data.lights.new(name, kind)
    light.energy = energy
    light.color = (1.0, 1.0, 1.0)
    node = bpy.data.objects.new(name, light)
    node.location = location
    bpy.context.scene.collection.objects.link(node)
    return node


def _lights() -> None:
    # An unrotated Blender light shines along -z: straight down.
    sun = _light("sun", "SUN", 0.5, (0.0, 0.0, 10.0))
    sun.data.angle = 0.19934
    area = _light("area", "AREA", 39.26991, (0.0, 0.0, 7.0))
    area.data.shape = "SQUARE"
    area.data.size = 1.0
    spot = _light("spotlight", "SPOT", 3000.0, (0.0, 4.0, 10.0))
    spot.data.shadow_soft_size = 0.5
    spot.data.spot_size = math.radians(35.0)
    spot.data.spot_blend = 0.1


def _camera() -> None:
    camera = bpy.data.cameras.new("camera")
    camera.clip_end = 2.0 * GROUND_SIDE_M
    node = bpy.data.objects.new("camera", camera)
    place_camera(node, DATASET_CAMERA)
    bpy.context.scene.collection.objects.link(node)
    bpy.context.scene.camera = node


def _ground() -> None:
    half = GROUND_SIDE_M / 2.0
    mesh = bpy.data.meshes.new("ground")
    mesh.from_pydata([(-half, -half, 0), (half, -half, 0), (half, half, 0), (-half, half, 0)], [], [(0, 1, 2, 3)])
    mesh.materials.append(rubber("ground"))
    node = bpy.data.objects.new("ground", mesh)
    node.material_slots[0].link = "OBJECT"
    node.material_slots[0].material = mesh.materials[0]
    bpy.context.scene.collection.objects.link(node)


def _render_settings() -> None:
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.max_bounces = 0
    scene.cycles.transparent_max_bounces = 8
    scene.cycles.blur_glossy = 2.0
    scene.cycles.pixel_filter_type = "BLACKMAN_HARRIS"
    scene.cycles.filter_width = 1.5
    scene.render.resolution_percentage = 100
    scene.render.use_persistent_data = True
    scene.render.dither_intensity = 0.0
    scene.view_settings.view_transform = "Standard"
    scene.view_settings.look = "None"
    world = bpy.data.worlds.new("black")
    world.use_nodes = True
    world.node_tree.nodes["Background"].inputs["Strength"].default_value = 0.0
    scene.world = world


def write_scene(path: Path) -> None:
    """Write the base scene: camera, lights, ground, materials, and an object `object` without a shape yet."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    _render_settings()
    _camera()
    _lights()
    _ground()
    rubber("rubber")
    rubber(TWO_SIDED["rubber"], two_sided=True)
    metal("metal")
    crystal("crystal")
    rubber("ground_checker", checker=True)
    placeholder = bpy.data.meshes.new("placeholder")
    placeholder.from_pydata([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [], [(0, 1, 2)])
    node = bpy.data.objects.new("object", placeholder)
    node.scale = (OBJECT_SCALE, OBJECT_SCALE, OBJECT_SCALE)
    bpy.context.scene.collection.objects.link(node)
    _save(path)


def write_shape(name: str, path: Path) -> None:
    """Model the shape `name` and write it as the only mesh of a `.blend` file."""
    modelled = build(name)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(modelled.vertices.tolist(), [], modelled.faces.tolist())
    mesh.polygons.foreach_set("use_smooth", [True] * len(mesh.polygons))
    if name in FACETED:
        mesh.set_sharp_from_angle(angle=SHARP_RAD)
    mesh.use_fake_user = True
    mesh.update()
    _save(path)


def _save(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    bpy.context.preferences.filepaths.save_version = 0  # no backup (.blend1) beside it
    bpy.ops.wm.save_as_mainfile(filepath=str(path), compress=True, relative_remap=False)


def main(folder: Path) -> None:
    write_scene(folder / "scene.blend")
    for name in SHAPES:
        write_shape(name, folder / "shapes" / f"{name}.blend")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
