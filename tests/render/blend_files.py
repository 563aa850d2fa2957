"""Writes .blend files for tests. Everything here runs in worker processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pebble

TETRAHEDRON = [(0.0, 0.0, 0.0), (2.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 4.0)]
FACES = [(0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3)]


def in_worker(function: Callable[..., Any], *args: Any) -> Any:
    with pebble.ProcessPool(max_workers=1, context=multiprocessing.get_context("spawn")) as pool:
        return pool.schedule(function, args=args, timeout=300).result()


def write_meshes(folder: Path) -> None:
    """one.blend, two.blend (two meshes), none.blend, points.blend, nan.blend, huge.blend."""
    import bpy

    def save(name: str, meshes: dict[str, tuple[list[Any], list[Any]]]) -> None:
        bpy.ops.wm.read_factory_settings(use_empty=True)
        for mesh_name, (vertices, faces) in meshes.items():
            mesh = bpy.data.meshes.new(mesh_name)
            mesh.from_pydata(vertices, [], faces)
            mesh.use_fake_user = True
        bpy.ops.wm.save_as_mainfile(filepath=str(folder / name))

    save("one.blend", {"thing": (TETRAHEDRON, FACES)})
    save("two.blend", {"thing": (TETRAHEDRON, FACES), "other": (TETRAHEDRON[:3], FACES[:1])})
    save("none.blend", {})
    save("points.blend", {"points": (TETRAHEDRON, [])})
    save("nan.blend", {"nan": ([(float("nan"), 0.0, 0.0), *TETRAHEDRON[1:]], FACES)})
    save("huge.blend", {"huge": ([(x * 1e9, y, z) for x, y, z in TETRAHEDRON], FACES)})


def write_malicious(path: Path, flag: Path) -> None:
    """A .blend whose script, on opening, and whose drivers, on evaluation, create files beside `flag`."""
    import bpy

    bpy.ops.wm.read_factory_settings(use_empty=True)
    text = bpy.data.texts.new("startup.py")
    text.write(f"import pathlib\npathlib.Path({str(flag)!r} + '-script').touch()\n")
    text.use_module = True
    mesh = bpy.data.meshes.new("thing")
    mesh.from_pydata(TETRAHEDRON, [], FACES)
    node = bpy.data.objects.new("thing", mesh)
    bpy.context.scene.collection.objects.link(node)
    node.shape_key_add(name="Basis")
    key = node.shape_key_add(name="moved")
    for target, path_name, index in ((mesh.shape_keys, f'key_blocks["{key.name}"].value', -1), (node, "location", 0)):
        driver = target.driver_add(path_name, index).driver
        driver.type = "SCRIPTED"
        driver.expression = f"float(bool(__import__('pathlib').Path({str(flag)!r} + '-driver').touch()))"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))


def open_trustingly(path: Path) -> None:
    """What a careless program does."""
    import bpy

    bpy.ops.wm.open_mainfile(filepath=str(path), use_scripts=True)
    bpy.context.view_layer.update()
