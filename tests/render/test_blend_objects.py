"""Objects of `.blend` files: what Blender renders; kept as they are, the picture of the published procedure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from m3di.errors import M3diError
from m3di.render import QUALITIES, ImportOptions, SceneValues, find_shapes
from m3di.render.library.file_mesh import FileMesh
from m3di.render.library.import_mesh import axes, usable_mesh
from m3di.render.library.user_shapes import store_user_meshes
from tests.render.blend_files import in_worker, write_malicious
from tests.render.test_blender import VALUES, psnr_db

pytestmark = pytest.mark.slow

FILE = Path("world.blend")
SIZE_PX = 96
PUBLISHED = ("Flat", "Modified", "Own")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("M3DI_DATA_HOME", str(tmp_path / "home"))


def _new_file() -> None:
    import bpy

    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.preferences.filepaths.save_version = 0


def _cube(name: str, x: float, **settings: Any) -> Any:
    """A cube of side 2."""
    import bpy

    bpy.ops.mesh.primitive_cube_add(location=(x, 0, 0))
    node = bpy.context.object
    node.name = name
    for attribute, value in settings.items():
        setattr(node, attribute, value)
    return node


def _modify(node: Any, kind: str, **settings: Any) -> None:
    modifier = node.modifiers.new(kind.lower(), kind)
    for attribute, value in settings.items():
        setattr(modifier, attribute, value)


def _write_world(path: Path) -> None:
    """In a worker: solids far apart, 48 + 8 + 24 + 8 + 2 + 16 = 106 in all; and what does not show."""
    import bpy

    _new_file()
    _cube("stretched", 0, scale=(1, -2, 3), rotation_euler=(0.3, 0.4, 0.5))
    root = bpy.data.objects.new("root", None)
    bpy.context.scene.collection.objects.link(root)
    root.scale = (2, 2, 2)
    _cube("child", 10, scale=(0.5, 0.5, 0.5), parent=root)
    _modify(_cube("array", 40), "ARRAY", count=3, relative_offset_displace=(1.5, 0, 0))
    # In a collection that is not in the scene, and shown by an instance.
    group = bpy.data.collections.new("group")
    inside = _cube("inside", 0)
    group.objects.link(inside)
    bpy.context.scene.collection.objects.unlink(inside)
    empty = bpy.data.objects.new("instance", None)
    empty.instance_type, empty.instance_collection, empty.location = "COLLECTION", group, (80, 0, 0)
    bpy.context.scene.collection.objects.link(empty)
    bpy.ops.mesh.primitive_plane_add(location=(100, 0, 0))
    _modify(bpy.context.object, "SOLIDIFY", thickness=0.5)
    # Two levels in the viewport, none in renders: what counts is what is rendered.
    subdivided = _cube("subdivided", 120, scale=(1, 1, 2))
    _modify(subdivided, "SUBSURF", levels=2, render_levels=0)
    _cube("hidden in renders", 140, hide_render=True)
    _cube("hidden by the eye", 160).hide_set(True)
    hidden = bpy.data.collections.new("hidden")
    bpy.context.scene.collection.children.link(hidden)
    hidden.hide_render = True
    node = _cube("hidden by its collection", 180)
    bpy.context.scene.collection.objects.unlink(node)
    hidden.objects.link(node)
    bpy.ops.wm.save_as_mainfile(filepath=str(path))


def volume(mesh: FileMesh) -> float:
    a, b, c = np.moveaxis(mesh.vertices[mesh.corners.reshape(-1, 3)], 1, 0)
    return float((np.cross(a, b) * c).sum() / 6)


def _read(path: Path, *wanted: tuple[str | None, bool]) -> list[FileMesh]:
    """In a worker: a file read several times, by name and as it is or not."""
    from m3di.render.library.mesh_reading import read_in_worker

    return [read_in_worker(path, name, as_is) for name, as_is in wanted]


def _world(path: Path) -> list[FileMesh]:
    """In a worker."""
    _write_world(path)
    return _read(path, (None, False), ("hidden in renders", False), ("stretched", True), ("child", True))


def test_what_blender_renders_is_read_in_world_space(tmp_path: Path) -> None:
    found, one, stretched, child = in_worker(_world, tmp_path / "world.blend")
    assert volume(found) == pytest.approx(106, rel=1e-5)
    names = "hidden by its collection, hidden by the eye, hidden in renders"
    assert found.notes == (f"left out, since hidden in the file: {names}",)
    a, b, c = np.moveaxis(found.vertices[found.corners.reshape(-1, 3)], 1, 0)
    outwards = np.cross(b - a, c - a)
    np.testing.assert_allclose(
        found.normals.reshape(-1, 3, 3)[:, 0], outwards / np.linalg.norm(outwards, axis=1, keepdims=True), atol=1e-5
    )
    assert volume(one) == pytest.approx(8)
    assert one.notes == ()
    assert stretched.kept.scale == (1, -2, 3)
    assert stretched.kept.longest_side == pytest.approx(6)
    np.testing.assert_allclose(child.kept.scale, 1.0, rtol=1e-5)  # that of its parent counts
    # Along other axes: z to x, x to y, y to z.
    options = ImportOptions(as_is=True, up="Y", forward="Z")
    mesh = usable_mesh(stretched, FILE, axes(".blend", options), as_is=True)
    assert mesh.scale == (3, 1, -2)
    assert np.ptp(mesh.vertices * mesh.scale, axis=0).tolist() == [6, 2, 4]


def _write_published(folder: Path) -> None:
    """In a worker: objects as they are published, each in a file of its name."""
    import bpy

    for name in PUBLISHED:
        _new_file()
        bpy.ops.mesh.primitive_monkey_add(rotation=(0.3, 0.2, 0.1), location=(1, 2, 3))
        node = bpy.context.object
        node.name, node.scale = name, (1.3, 0.9, 1.1)
        if name == "Modified":
            node.data.polygons.foreach_set("use_smooth", [index % 2 == 0 for index in range(len(node.data.polygons))])
            _modify(node, "SUBSURF", levels=0, render_levels=1)
        if name == "Own":
            node.data.polygons.foreach_set("use_smooth", [True] * len(node.data.polygons))
            node.data.edges.foreach_set("use_edge_sharp", [index % 5 == 0 for index in range(len(node.data.edges))])
            node.data.normals_split_custom_set([(0.6, 0.0, 0.8)] * len(node.data.loops))
        bpy.ops.wm.save_as_mainfile(filepath=str(folder / f"{name}.blend"))


def _values(shape: str) -> list[SceneValues]:
    turned = replace(VALUES, shape=shape, rotation_rad=(0.3, -0.4, 0.7))
    return [turned, replace(turned, material="metal", rotation_rad=(-0.5, 0.2, -1.1))]


def _scene(user_shapes: tuple[Any, ...] = ()) -> Any:
    from m3di.render.blender.open_scene import BlenderScene

    quality = replace(QUALITIES["draft"], noise_threshold=0.0, max_samples=32, denoise=False, light_passes=False)
    return BlenderScene(SIZE_PX, quality, 2, user_shapes=user_shapes)


def _published_pictures(path: Path) -> list[NDArray[np.uint8]]:
    """In a worker: the object appended, its scale times 1.5, its rotation and place replaced."""
    import bpy
    from mathutils import Vector

    from m3di.render.blender.lone_ground import set_color
    from m3di.render.footprint import LIGHTS
    from m3di.render.image import linear_to_srgb

    scene = _scene()
    bpy.data.objects.remove(bpy.data.objects["object"])
    bpy.ops.wm.append(directory=f"{path}/Object/", filename=path.stem)
    node, spotlight = bpy.data.objects[path.stem], bpy.data.objects["spotlight"]
    node.scale = 1.5 * node.scale
    pictures = []
    for values in _values(""):
        node.location, node.rotation_euler = values.location_m, values.rotation_rad
        material = bpy.data.materials[values.material]
        node.data.materials.clear()
        node.data.materials.append(material)
        set_color(material, values.object_rgb)
        set_color(bpy.data.materials["ground"], values.ground_rgb)
        bpy.context.view_layer.update()
        side = max(node.dimensions)
        bpy.data.objects["ground"].location.z = -side
        spotlight.location, spotlight.data.color = values.spotlight_location_m(side), values.spotlight_rgb
        spotlight.rotation_euler = (Vector(node.location) - spotlight.location).to_track_quat("-Z", "Y").to_euler()
        scene.scene.cycles.seed = values.seed
        pictures.append(linear_to_srgb(scene._render(LIGHTS)))
    return pictures


def _agreements(folder: Path) -> dict[str, list[float]]:
    """In a worker: PSNR between the pictures of the published procedure and ours, in dB."""
    from m3di.render.image import linear_to_srgb

    _write_published(folder)
    paths = {name: folder / f"{name}.blend" for name in PUBLISHED}
    store_user_meshes(
        {name: usable_mesh(_read(path, (None, True))[0], path, np.eye(3), as_is=True) for name, path in paths.items()}
    )
    theirs = {name: _published_pictures(path) for name, path in paths.items()}
    scene = _scene(find_shapes(PUBLISHED, where="test"))
    agreements = {}
    for name, pictures in theirs.items():
        ours = [linear_to_srgb(scene.render_linear(values)) for values in _values(name)]
        assert min(picture.std() for picture in ours) > 10
        agreements[name] = [
            psnr_db(mine.astype(float), other.astype(float)) for mine, other in zip(ours, pictures, strict=True)
        ]
    return agreements


def test_objects_as_they_are_look_as_the_published_procedure_shows_them(tmp_path: Path) -> None:
    for name, agreement in in_worker(_agreements, tmp_path).items():
        assert min(agreement) > 60, (name, agreement)


def _write_needy(folder: Path) -> None:
    """In a worker: files whose shape is not in them alone."""
    import bpy

    def save(name: str) -> None:
        bpy.ops.wm.save_as_mainfile(filepath=str(folder / f"{name}.blend"))

    _new_file()
    _cube("plain", 0)
    save("plain")
    _new_file()
    _modify(_cube("cached", 0), "MESH_CACHE", filepath="/etc/passwd")
    save("cache")
    _new_file()
    _modify(_cube("draped", 0), "CLOTH")
    save("cloth")
    _new_file()
    texture = bpy.data.textures.new("relief", "IMAGE")
    texture.image = bpy.data.images.new("relief", 4, 4)
    texture.image.source, texture.image.filepath = "FILE", "/etc/passwd"
    _modify(_cube("displaced", 0), "DISPLACE", texture=texture)
    save("image")
    _new_file()
    group = bpy.data.node_groups.new("import", "GeometryNodeTree")
    group.nodes.new("GeometryNodeImportOBJ")
    _modify(_cube("imported", 0), "NODES", node_group=group)
    save("nodes")
    _new_file()
    with bpy.data.libraries.load(str(folder / "plain.blend"), link=True) as (_, linked):
        linked.meshes = ["Cube"]
    node = bpy.data.objects.new("linked", linked.meshes[0])
    bpy.context.scene.collection.objects.link(node)
    save("linked")
    _new_file()
    bpy.ops.curve.primitive_bezier_circle_add()
    save("curve")
    _new_file()
    _cube("nowhere", 0, hide_render=True)
    save("hidden")
    _new_file()
    _cube("first", 0)
    bpy.ops.scene.new(type="EMPTY")
    _cube("second", 0)
    save("scenes")


SAID = {
    "cache": ("needs other files or a simulation", "cached", "mesh_cache"),
    "cloth": ("needs other files or a simulation", "cloth"),
    "image": ("needs other files or a simulation", "the image 'relief' of 'relief' lies in another file"),
    "nodes": ("needs other files or a simulation", "node group 'import'"),
    "linked": ("needs other files or a simulation", "'Cube' is linked from another file"),
    "curve": ("curves or texts without a surface", "give the curve a bevel"),
    "hidden": ("shows no object with a surface", "nowhere", "--mesh NAME"),
    "scenes": ("holds several scenes", "first, second", "--mesh NAME"),
}


def _refused(folder: Path) -> dict[str, str]:
    """In a worker."""
    _write_needy(folder)
    said = {}
    for name in SAID:
        with pytest.raises(M3diError) as caught:
            _read(folder / f"{name}.blend", (None, False))
        said[name] = str(caught.value)
    return said


def test_objects_that_are_refused_say_why(tmp_path: Path) -> None:
    for name, message in in_worker(_refused, tmp_path).items():
        assert all(part in message for part in SAID[name]), message


def test_evaluation_runs_no_driver_and_no_script(tmp_path: Path) -> None:
    in_worker(write_malicious, tmp_path / "bad.blend", tmp_path / "executed")
    for path in tmp_path.glob("executed*"):
        path.unlink()
    for mesh in in_worker(_read, tmp_path / "bad.blend", (None, False), (None, True)):
        assert len(mesh.face_sizes) == 4
    assert not list(tmp_path.glob("executed*"))
