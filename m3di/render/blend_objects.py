"""Objects out of a `.blend`, evaluated: what Blender renders. Imported in worker processes only.

The file is not opened: objects are appended from it into an empty scene of ours, with auto-run off, and all that is
animated or driven is cleared before anything is evaluated, which leaves the values as they were saved. Scripts stay
text. What reads other files, or depends on a simulation, is refused by `blend_safety`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from m3di.errors import M3diError, UsageError
from m3di.render.blend_safety import check_needs_no_file, forget_animation
from m3di.render.blender_session import quiet
from m3di.render.evaluated_mesh import (
    is_solid,
    numbers,
    placed,
    plain_mesh,
    render_settings_for_viewport,
    scene_in_world,
)
from m3di.render.mesh_choice import chosen_name, listed
from m3di.render.mesh_files import FileMesh
from m3di.render.mesh_reading import unreadable
from m3di.render.user_shapes import NO_SCALE, KeptObject

_SHEAR = 1e-5  # of the largest scale: less is rounding


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
    known, shown, loose = _contents(path)
    hidden = sorted({*known} - {*shown})
    left_out: list[str] = []
    if wanted is None and not as_is and known:
        if not shown:
            raise M3diError(
                "the file shows no object with a surface: all are hidden",
                where=str(path),
                got=listed(hidden),
                expected="one that is shown and rendered",
                next_step="choose one with --mesh NAME",
            )
        names = shown
        left_out = hidden
    else:
        # A mesh without an object is there to be asked for, or where there is nothing else.
        meshes = {name: {name} for name in loose if not known or name == wanted}
        names = [chosen_name(path, {**known, **meshes}, wanted, expected=path.stem if as_is else None)]
    _fresh_scene()
    things = _append(path, names) if names[0] in known else [_around(_append_mesh(path, names[0]))]
    check_needs_no_file(path, things)
    forget_animation()
    for thing in things:
        thing.hide_viewport = thing.hide_render = False
        bpy.context.scene.collection.objects.link(thing)
    if as_is:
        found = _as_it_is(things[0])
    else:
        render_settings_for_viewport()
        found = scene_in_world(path, keep_polygons=False, with_normals=True)
    if not len(found.face_sizes) and any(thing.type != "MESH" for thing in things):
        raise M3diError(
            "the file shows curves or texts without a surface",
            where=str(path),
            got=listed(sorted(thing.name for thing in things)),
            expected="a surface: one face or more",
            next_step="give the curve a bevel or an extrusion (Object Data > Geometry) in Blender, and save it again",
        )
    notes = (f"left out, since hidden in the file: {listed(left_out)}",) if left_out else ()
    return replace(found, notes=notes)


def _fresh_scene() -> None:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.preferences.filepaths.use_scripts_auto_execute = False


def _contents(path: Path) -> tuple[dict[str, set[str]], list[str], list[str]]:
    """Of all solid objects the names that they go by; those that are shown; meshes that no object has."""
    _fresh_scene()
    appended = _load(path, ("scenes", "objects"))
    things = [thing for thing in appended["objects"] if thing is not None and is_solid(thing)]
    known = {thing.name: {thing.name, thing.data.name} for thing in things}
    # An object that only instances others, a collection for example, has no surface of its own.
    instancers = [thing.name for thing in appended["objects"] if thing is not None and _is_instancer(thing)]
    scenes = [scene for scene in appended["scenes"] if scene is not None]
    shown = [[*_shown(scene, {*known, *instancers})] for scene in scenes]
    shown = [names for names in shown if names]
    if len(shown) > 1:
        raise UsageError(
            "the file holds several scenes",
            where=str(path),
            got=listed(sorted({name for names in shown for name in names})),
            expected="one scene, or one object",
            next_step="choose an object with --mesh NAME",
        )
    meshes = [name for name in appended["names of meshes"] if not any(name in each for each in known.values())]
    return known, shown[0] if shown else [] if scenes else [*known], meshes


def _is_instancer(thing: Any) -> bool:
    return thing.type == "EMPTY" and thing.instance_type == "COLLECTION" and thing.instance_collection is not None


def _shown(scene: Any, names: set[str]) -> Iterable[str]:
    """Names of the objects that a scene both shows and renders."""
    rendered = {thing.name for thing in _rendered(scene.collection)}
    for layer in scene.view_layers[:1]:
        for thing in layer.objects:
            if thing.name in names and thing.name in rendered and thing.visible_get(view_layer=layer):
                yield thing.name


def _rendered(collection: Any) -> Iterable[Any]:
    yield from (thing for thing in collection.objects if not thing.hide_render)
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


def _append(path: Path, names: Sequence[str]) -> list[Any]:
    things = _load(path, ("objects",), names)["objects"]
    if any(thing is None for thing in things):
        raise unreadable(path, "an object that is listed but not there")
    return things


def _append_mesh(path: Path, name: str) -> Any:
    (mesh,) = _load(path, ("meshes",), [name])["meshes"]
    if mesh is None:
        raise unreadable(path, "a mesh that is listed but not there")
    return mesh


def _around(mesh: Any) -> Any:
    return bpy.data.objects.new(mesh.name, mesh)


def _as_it_is(thing: Any) -> FileMesh:
    """One object as the published procedure takes it: its scale is kept, its place and rotation are not."""
    side = max(_evaluated(thing).dimensions)
    render_settings_for_viewport()
    evaluated = _evaluated(thing)
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
    if thing.parent is None:
        x, y, z = (float(a * b) for a, b in zip(thing.scale, thing.delta_scale, strict=True))
        return replace(found, kept=replace(kept, scale=(x, y, z)))
    stretch = _without_rotation(np.array(evaluated.matrix_world, dtype=np.float64)[:3, :3])
    x, y, z = (float(each) for each in np.diag(stretch))
    if np.abs(stretch - np.diag([x, y, z])).max() <= _SHEAR * np.abs(stretch).max():
        return replace(found, kept=replace(kept, scale=(x, y, z)))
    # Sheared by a parent: that is no scale, and goes into the mesh.
    matrix = np.eye(4)
    matrix[:3, :3] = stretch
    return replace(placed(found, matrix), kept=kept)


def _evaluated(thing: Any) -> Any:
    graph = bpy.context.evaluated_depsgraph_get()
    graph.update()
    return thing.evaluated_get(graph)


def _without_rotation(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    """What stretches, when a rotation after it is taken away (polar decomposition): [3, 3]."""
    left, _, right = np.linalg.svd(linear)
    rotation = left @ right
    if np.linalg.det(rotation) < 0.0:
        rotation = -rotation
    stretch: NDArray[np.float64] = rotation.T @ linear
    return stretch
