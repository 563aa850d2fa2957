"""Objects out of a `.blend`, evaluated: what Blender renders. Imported in worker processes only.

The file is not opened: objects are appended from it into an empty scene, with auto-run off, and all that is
animated or driven is cleared before anything is evaluated, which leaves the values as they were saved. Scripts stay
text. What reads other files, or depends on a simulation, is refused by `blend_safety`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from m3di.errors import M3diError, UsageError
from m3di.render.blender.blend_safety import check_needs_no_file, forget_animation
from m3di.render.blender.evaluated_mesh import (
    is_solid,
    numbers,
    placed,
    plain_mesh,
    render_settings_for_viewport,
    scene_in_world,
)
from m3di.render.blender.session import quiet
from m3di.render.library.file_mesh import FileMesh, unreadable
from m3di.render.library.mesh_choice import chosen_name, listed
from m3di.render.library.user_shapes import NO_SCALE, KeptObject

_SHEAR = 1e-5  # of the largest scale: less is rounding


@dataclass(frozen=True)
class _Contents:
    """What a file holds.

    Attributes:
        known: Of all solid objects, the names that each goes by: its own, and that of its mesh.
        shown: Names of the objects that the scene shows and renders.
        hidden: Names of those that it does not.
        loose: Names of meshes that no object has.
    """

    known: dict[str, set[str]]
    shown: list[str]
    hidden: list[str]
    loose: list[str]


def read_blend(path: Path, wanted: str | None, *, as_is: bool) -> FileMesh:
    """What a `.blend` shows.

    Args:
        path: The file.
        wanted: Name of the one object, or mesh, that is meant.
        as_is: One object, without its place and rotation, its scale apart; else all that is shown, in the world.
    """
    with quiet():
        return _read(path, wanted, as_is)


def _read(path: Path, wanted: str | None, as_is: bool) -> FileMesh:
    contents = _contents(path, one_scene=wanted is None and not as_is)
    hidden = contents.hidden if wanted is None and not as_is else []
    is_loose = False
    if wanted is None and not as_is and contents.known:
        names = contents.shown
        if not names:
            raise M3diError(
                "the file shows no object with a surface: all are hidden",
                where=str(path),
                got=listed(hidden),
                expected="one that is shown and rendered",
                next_step="choose one with --mesh NAME",
            )
    else:
        # A mesh without an object is there to be asked for, or where there is nothing else.
        loose = {name: {name} for name in contents.loose if not contents.known or name == wanted}
        names = [chosen_name(path, {**contents.known, **loose}, wanted, expected=path.stem if as_is else None)]
        is_loose = names[0] not in contents.known
    _fresh_scene()
    objs = _append(path, "meshes" if is_loose else "objects", names)
    check_needs_no_file(path, names)
    forget_animation()
    for obj in [bpy.data.objects.new(mesh.name, mesh) for mesh in objs] if is_loose else objs:
        obj.hide_viewport = obj.hide_render = False
        bpy.context.scene.collection.objects.link(obj)
    found = _as_it_is(bpy.context.scene.objects[0]) if as_is else _as_shown(path)
    if not len(found.face_sizes) and not is_loose and any(obj.type != "MESH" for obj in objs):
        raise M3diError(
            "the file shows curves or texts without a surface",
            where=str(path),
            got=listed(names),
            expected="a surface: one face or more",
            next_step="give the curve a bevel or an extrusion (Object Data > Geometry) in Blender, and save it again",
        )
    return replace(found, notes=(f"left out, since hidden in the file: {listed(hidden)}",) if hidden else ())


def _fresh_scene() -> None:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.preferences.filepaths.use_scripts_auto_execute = False


def _contents(path: Path, *, one_scene: bool) -> _Contents:
    _fresh_scene()
    appended = _load(path, ("scenes", "objects"))
    objs = [obj for obj in appended["objects"] if obj is not None]
    known = {obj.name: {obj.name, obj.data.name} for obj in objs if is_solid(obj)}
    # An object that only instances a collection has no surface of its own, and shows what is in that.
    instancers = [obj for obj in objs if _is_instancer(obj)]
    instanced = {each.name for obj in instancers for each in obj.instance_collection.all_objects}
    scenes = [scene for scene in appended["scenes"] if scene is not None]
    in_scenes = [[*_shown(scene, {*known, *(obj.name for obj in instancers)})] for scene in scenes]
    in_scenes = [names for names in in_scenes if names]
    if len(in_scenes) > 1 and one_scene:
        raise UsageError(
            "the file holds several scenes",
            where=str(path),
            got=listed(sorted({name for names in in_scenes for name in names})),
            expected="one scene, or one object",
            next_step="choose an object with --mesh NAME",
        )
    shown = in_scenes[0] if in_scenes else [] if scenes else [*known]
    return _Contents(
        known=known,
        shown=shown,
        hidden=sorted({*known} - {*shown} - instanced),
        loose=[name for name in appended["names of meshes"] if not any(name in each for each in known.values())],
    )


def _is_instancer(obj: Any) -> bool:
    return obj.type == "EMPTY" and obj.instance_type == "COLLECTION" and obj.instance_collection is not None


def _shown(scene: Any, names: set[str]) -> Iterable[str]:
    """Names of the objects that a scene both shows and renders."""
    rendered = {obj.name for obj in _rendered(scene.collection)}
    for layer in scene.view_layers[:1]:
        for obj in layer.objects:
            if obj.name in names and obj.name in rendered and obj.visible_get(view_layer=layer):
                yield obj.name


def _rendered(collection: Any) -> Iterable[Any]:
    yield from (obj for obj in collection.objects if not obj.hide_render)
    for child in collection.children:
        if not child.hide_render:
            yield from _rendered(child)


def _load(path: Path, kinds: Sequence[str], names: Sequence[str] | None = None) -> dict[str, list[Any]]:
    try:
        with bpy.data.libraries.load(str(path), link=False) as (found, appended):
            names_of_meshes = list(found.meshes)
            for kind in kinds:
                setattr(appended, kind, list(getattr(found, kind)) if names is None else list(names))
    except (OSError, RuntimeError) as error:
        raise unreadable(path, error) from None
    return {**{kind: list(getattr(appended, kind)) for kind in kinds}, "names of meshes": names_of_meshes}


def _append(path: Path, kind: str, names: Sequence[str]) -> list[Any]:
    found = _load(path, (kind,), names)[kind]
    if any(each is None for each in found):
        raise unreadable(path, "an object that is listed but not there")
    return found


def _as_shown(path: Path) -> FileMesh:
    render_settings_for_viewport()
    return scene_in_world(path, keep_polygons=False, with_normals=True)


def _as_it_is(obj: Any) -> FileMesh:
    """One object as the published procedure takes it: its scale is kept, its place and rotation are not."""
    side = max(_evaluated(obj).dimensions)
    render_settings_for_viewport()
    evaluated = _evaluated(obj)
    mesh = evaluated.to_mesh()
    if mesh is None:
        return FileMesh(np.zeros((0, 3)), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    found = plain_mesh(mesh, keep_polygons=True)
    if not mesh.has_custom_normals:  # otherwise they say no more than faces and edges do
        found = replace(found, normals=None)
    kept = KeptObject(
        scale=NO_SCALE,
        longest_side=side,
        texture_space=(*mesh.texspace_location, *mesh.texspace_size),
        flat=~numbers(mesh.polygons, "use_smooth", np.bool_),
        sharp_edges=numbers(mesh.edges, "vertices", np.int32, 2).reshape(-1, 2)[
            numbers(mesh.edges, "use_edge_sharp", np.bool_)
        ],
    )
    if obj.parent is None:
        x, y, z = (float(a * b) for a, b in zip(obj.scale, obj.delta_scale, strict=True))
        return replace(found, kept=replace(kept, scale=(x, y, z)))
    stretch = _without_rotation(np.array(evaluated.matrix_world, dtype=np.float64)[:3, :3])
    x, y, z = (float(each) for each in np.diag(stretch))
    if np.abs(stretch - np.diag([x, y, z])).max() <= _SHEAR * np.abs(stretch).max():
        return replace(found, kept=replace(kept, scale=(x, y, z)))
    # Sheared by a parent: that is no scale, and goes into the mesh.
    matrix = np.eye(4)
    matrix[:3, :3] = stretch
    return replace(placed(found, matrix), kept=kept)


def _evaluated(obj: Any) -> Any:
    graph = bpy.context.evaluated_depsgraph_get()
    graph.update()
    return obj.evaluated_get(graph)


def _without_rotation(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    """What stretches, when a rotation after it is taken away (polar decomposition): [3, 3]."""
    left, _, right = np.linalg.svd(linear)
    rotation = left @ right
    if np.linalg.det(rotation) < 0.0:
        rotation = -rotation
    stretch: NDArray[np.float64] = rotation.T @ linear
    return stretch
