"""Materials of the scene as node trees, each with a node `Color` that images recolour. Used by `make scenes` only."""

from __future__ import annotations

from typing import Any

import bpy

from m3di.render.scene import CHECKER_SHADE, CHECKER_SIDE_M


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


def rubber(
    name: str, ior: float = 1.2, roughness: float = 0.35, *, checker: bool = False, two_sided: bool = False
) -> Any:
    """Diffuse under velvet under a white gloss, each mixed in by its Fresnel factor.

    Args:
        name: Of the material.
        ior: Index of refraction of the gloss.
        roughness: Of the gloss.
        checker: In a checker pattern.
        two_sided: The back of a face looks like its front; else it is almost black.
    """
    material, tree, color = _material(name)
    color = _checker(tree, color) if checker else color

    def fresnel(value: float) -> Any:
        node = tree.nodes.new("ShaderNodeFresnel")
        node.inputs["IOR"].default_value = value
        if two_sided:
            _same_from_behind(tree, node, value)
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


def _same_from_behind(tree: Any, fresnel: Any, ior: float) -> None:
    """Have a Fresnel node tell of the back of a face what it tells of the front.

    Cycles takes the inverse of the index at a back: light would leave a solid there, and past some angle be mirrored
    wholly, which without bounces is black. So a back gets the inverse, which is inverted, and a front the index itself.
    """
    index = tree.nodes.new("ShaderNodeMath")
    index.operation = "MULTIPLY_ADD"
    index.inputs[1].default_value = 1.0 / ior - ior
    index.inputs[2].default_value = ior
    tree.links.new(tree.nodes.new("ShaderNodeNewGeometry").outputs["Backfacing"], index.inputs[0])
    tree.links.new(index.outputs[0], fresnel.inputs["IOR"])


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


def crystal(name: str) -> Any:
    """Tinted glass that needs no bounce of light, which the scene does not have: nothing in it is bent or mirrored.

    Light goes straight through, tinted at each surface (transparent bounces, of which the scene has 8), so the ground
    shows through and the shadow is coloured. Seen edge-on the surface is denser and of the object's colour; a sharp
    gloss mirrors the lights, its strength from Fresnel's law at an index of refraction of 1.5.
    """
    material, tree, color = _material(name)

    def shader(kind: str, rgb: Any) -> Any:
        node = tree.nodes.new(f"ShaderNodeBsdf{kind}")
        tree.links.new(rgb, node.inputs["Color"])
        return node

    tint = tree.nodes.new("ShaderNodeVectorMath")
    tint.operation = "MULTIPLY_ADD"
    tint.inputs[1].default_value = (0.6, 0.6, 0.6)
    tint.inputs[2].default_value = (0.4, 0.4, 0.4)
    tree.links.new(color.outputs[0], tint.inputs[0])
    facing = tree.nodes.new("ShaderNodeLayerWeight")
    facing.inputs["Blend"].default_value = 0.3
    density = tree.nodes.new("ShaderNodeMath")
    density.operation = "MULTIPLY_ADD"
    density.inputs[1].default_value = 0.6
    density.inputs[2].default_value = 0.08
    tree.links.new(facing.outputs["Facing"], density.inputs[0])
    body = _mix(tree, shader("Diffuse", color.outputs[0]), shader("Translucent", color.outputs[0]), 0.5)
    glass = _mix(tree, shader("Transparent", tint.outputs[0]), body, density)
    gloss = tree.nodes.new("ShaderNodeBsdfAnisotropic")
    gloss.distribution = "GGX"
    gloss.inputs["Roughness"].default_value = 0.12
    gloss.inputs["Color"].default_value = (1.0, 1.0, 1.0, 1.0)
    fresnel = tree.nodes.new("ShaderNodeFresnel")
    fresnel.inputs["IOR"].default_value = 1.5
    # From inside, Fresnel's law asks for total reflection, which without bounces would be a black ring.
    outside = tree.nodes.new("ShaderNodeMath")
    outside.operation = "SUBTRACT"
    outside.inputs[0].default_value = 1.0
    tree.links.new(tree.nodes.new("ShaderNodeNewGeometry").outputs["Backfacing"], outside.inputs[1])
    strength = tree.nodes.new("ShaderNodeMath")
    strength.operation = "MULTIPLY"
    tree.links.new(fresnel.outputs[0], strength.inputs[0])
    tree.links.new(outside.outputs[0], strength.inputs[1])
    _finish(tree, _mix(tree, glass, gloss, strength))
    return material


def _checker(tree: Any, color: Any) -> Any:
    """A node whose first output is `color`, and in every other square a darker shade of it."""
    place = tree.nodes.new("ShaderNodeNewGeometry")
    scaled = tree.nodes.new("ShaderNodeVectorMath")
    scaled.operation = "MULTIPLY_ADD"
    # Flat along z: the ground must not lie on the border between two layers of squares.
    scaled.inputs[1].default_value = (1.0 / CHECKER_SIDE_M, 1.0 / CHECKER_SIDE_M, 0.0)
    scaled.inputs[2].default_value = (0.0, 0.0, 0.5)
    tree.links.new(place.outputs["Position"], scaled.inputs[0])
    darker = tree.nodes.new("ShaderNodeVectorMath")
    darker.operation = "SCALE"
    darker.inputs["Scale"].default_value = CHECKER_SHADE
    tree.links.new(color.outputs[0], darker.inputs[0])
    node = tree.nodes.new("ShaderNodeTexChecker")
    node.inputs["Scale"].default_value = 1.0
    tree.links.new(scaled.outputs[0], node.inputs["Vector"])
    tree.links.new(color.outputs[0], node.inputs["Color1"])
    tree.links.new(darker.outputs[0], node.inputs["Color2"])
    return node
