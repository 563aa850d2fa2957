"""Writes `blender_scenes/`: the base scene and one `.blend` a shape. Run by `make scenes`, never by users.

Everything in those files comes from here and from `m3di/render/shapes/`; figures are those of the published scene.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import bpy

from m3di.render.shapes import SHAPES, build

CAMERA_M = (8.0, 0.0, 8.0)
GROUND_SIDE_M = 1500.0


def _material(name: str) -> tuple[Any, Any, Any]:
    """A new material with a `Color` node, its node tree and the shader output."""
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    material.use_fake_user = True
    tree = material.node_tree
    tree.nodes.clear()
    color = tree.nodes.new("ShaderNodeRGB")
    color.name = "Color"
    return material, tree, color


def _mix(tree: Any, first: Any, second: Any, factor: Any) -> Any:
    node = tree.nodes.new("ShaderNodeMixShader")
    if isinstance(factor, float):
        node.inputs[0].default_value = factor
    else:
        tree.links.new(factor.outputs[0], node.inputs[0])
    tree.links.new(first.outputs[0], node.inputs[1])
    tree.links.new(second.outputs[0], node.inputs[2])
    return node


def _finish(tree: Any, shader: Any) -> None:
    output = tree.nodes.new("ShaderNodeOutputMaterial")
    tree.links.new(shader.outputs[0], output.inputs["Surface"])


def rubber(name: str, ior: float = 1.2, roughness: float = 0.35) -> Any:
    """Diffuse under velvet under a white gloss, each mixed in by its Fresnel factor."""
    material, tree, color = _material(name)

    def fresnel(value: float) -> Any:
        node = tree.nodes.new("ShaderNodeFresnel")
        node.inputs["IOR"].default_value = value
        return node

    diffuse = tree.nodes.new("ShaderNodeBsdfDiffuse")
    velvet = tree.nodes.new("ShaderNodeBsdfSheen")
    velvet.distribution = "ASHIKHMIN"
    velvet.inputs["Roughness"].default_value = 0.6
    gloss = tree.nodes.new("ShaderNodeBsdfAnisotropic")
    gloss.distribution = "BECKMANN"
    gloss.inputs["Color"].default_value = (0.8, 0.8, 0.8, 1.0)
    gloss.inputs["Roughness"].default_value = roughness**0.5
    tree.links.new(color.outputs[0], diffuse.inputs["Color"])
    tree.links.new(color.outputs[0], velvet.inputs["Color"])
    base = _mix(tree, diffuse, velvet, fresnel(ior + 0.2))
    _finish(tree, _mix(tree, base, gloss, fresnel(ior)))
    return material


def metal(name: str) -> Any:
    """Two anisotropic GGX glosses of one colour, a rough and a sharp one."""
    material, tree, color = _material(name)

    def gloss(roughness: float) -> Any:
        node = tree.nodes.new("ShaderNodeBsdfAnisotropic")
        node.distribution = "GGX"
        node.inputs["Roughness"].default_value = roughness
        node.inputs["Anisotropy"].default_value = 0.25
        tree.links.new(color.outputs[0], node.inputs["Color"])
        return node

    _finish(tree, _mix(tree, gloss(0.4472), gloss(0.1), 0.6))
    return material


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
    from mathutils import Vector

    camera = bpy.data.cameras.new("camera")
    camera.lens = 35.0
    camera.sensor_width = 50.0
    camera.clip_end = 2.0 * GROUND_SIDE_M
    node = bpy.data.objects.new("camera", camera)
    node.location = CAMERA_M
    node.rotation_euler = (-Vector(CAMERA_M)).to_track_quat("-Z", "Y").to_euler()
    bpy.context.scene.collection.objects.link(node)
    bpy.context.scene.camera = node


def _ground() -> None:
    half = GROUND_SIDE_M / 2.0
    mesh = bpy.data.meshes.new("ground")
    mesh.from_pydata([(-half, -half, 0), (half, -half, 0), (half, half, 0), (-half, half, 0)], [], [(0, 1, 2, 3)])
    mesh.materials.append(rubber("ground"))
    bpy.context.scene.collection.objects.link(bpy.data.objects.new("ground", mesh))


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
    metal("metal")
    placeholder = bpy.data.meshes.new("placeholder")
    placeholder.from_pydata([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [], [(0, 1, 2)])
    node = bpy.data.objects.new("object", placeholder)
    node.scale = (1.5, 1.5, 1.5)
    bpy.context.scene.collection.objects.link(node)
    _save(path)


def write_shape(name: str, path: Path) -> None:
    """Model the shape `name` and write it as the only mesh of a `.blend` file."""
    modelled = build(name)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(modelled.vertices.tolist(), [], modelled.faces.tolist())
    mesh.polygons.foreach_set("use_smooth", [True] * len(mesh.polygons))
    mesh.use_fake_user = True
    mesh.update()
    _save(path)


def _save(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    bpy.ops.wm.save_as_mainfile(filepath=str(path), compress=True, relative_remap=False)


def main(folder: Path) -> None:
    write_scene(folder / "scene.blend")
    for name in SHAPES:
        write_shape(name, folder / "shapes" / f"{name}.blend")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
