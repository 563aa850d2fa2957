"""Which meshes show the backs of their faces, and that these look like fronts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from m3di.render import QUALITIES, SceneValues, UserShape, find_shapes
from m3di.render.image import linear_to_srgb
from m3di.render.library.solid import is_solid
from m3di.render.library.user_shapes import UserMesh, store_user_meshes
from tests.render.test_blender import VALUES, in_worker

CORNERS = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32)
SIDES = np.array([(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)], np.int32)


def solid(vertices: np.ndarray, faces: np.ndarray) -> bool:
    return is_solid(vertices.astype(np.float32), faces.ravel(), np.full(len(faces), faces.shape[1], np.int32))


def two(vertices: np.ndarray, other: np.ndarray, other_faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([vertices, other]), np.concatenate([SIDES, other_faces + len(vertices)])


def test_a_cube_of_quads_of_triangles_and_of_faces_that_share_no_vertex() -> None:
    assert solid(CORNERS, SIDES)
    assert solid(CORNERS, np.concatenate([SIDES[:, :3], SIDES[:, [0, 2, 3]]]))
    assert solid(CORNERS[SIDES.ravel()], np.arange(24, dtype=np.int32).reshape(6, 4))
    assert solid(CORNERS + 1000.0, SIDES)
    assert solid(*two(CORNERS, CORNERS + 5, SIDES))


@pytest.mark.parametrize(
    ("vertices", "faces"),
    [
        (CORNERS, SIDES[1:]),  # open
        (CORNERS, SIDES[:, ::-1]),  # inside out
        (CORNERS, np.concatenate([SIDES[:1, ::-1], SIDES[1:]])),  # one side turned
        two(CORNERS, 3 * CORNERS[:3], np.array([(0, 1, 2, 0)], np.int32)),  # a loose sheet beside it
        two(CORNERS, CORNERS + 5, SIDES[:, ::-1]),  # another one beside it, inside out
        two(CORNERS, CORNERS / 2, SIDES[:, ::-1]),  # a wall within: unseen, but its piece alone does not tell
        two(CORNERS, CORNERS + (0, 2, 2), SIDES),  # two that share an edge: which face goes on where?
    ],
)
def test_what_is_not_surely_a_solid(vertices: np.ndarray, faces: np.ndarray) -> None:
    assert not solid(vertices, faces)


def _bowl(turned: bool) -> UserMesh:
    """The lower half of a sphere, 64 quads around."""
    down, around = np.meshgrid(np.linspace(0.0, np.pi / 2, 17), np.linspace(0.0, 2 * np.pi, 65)[:-1], indexing="ij")
    place = np.stack([np.sin(down) * np.cos(around), np.sin(down) * np.sin(around), 0.5 - np.cos(down)], axis=-1)
    row, column = np.meshgrid(np.arange(1, 16), np.arange(64), indexing="ij")
    beside = (column + 1) % 64
    quads = np.stack([row * 64 + column, (row + 1) * 64 + column, (row + 1) * 64 + beside, row * 64 + beside], axis=-1)
    quads = quads.reshape(-1, 4)[:, ::-1] if turned else quads.reshape(-1, 4)
    vertices = (1.4 * place).reshape(-1, 3).astype(np.float32)
    return UserMesh(vertices, quads.ravel().astype(np.int32), np.full(len(quads), 4, np.int32), None, "a test")


def _renders(shapes: tuple[UserShape, ...], values: list[SceneValues]) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """In a worker: of each scene the material of its object, its 8-bit image and its mask."""
    import bpy

    from m3di.render.blender.open_scene import BlenderScene

    scene = BlenderScene(64, replace(QUALITIES["draft"], max_samples=64), 1, user_shapes=shapes)
    found = []
    for each in values:
        image, passes = scene.render(each)
        name = bpy.data.objects["object"].material_slots[0].material.name
        found.append((name, linear_to_srgb(image).astype(int), passes.mask))
    return found


@pytest.mark.slow
def test_backs_look_like_fronts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("M3DI_DATA_HOME", str(tmp_path))
    corners = UserMesh(1.4 * CORNERS, SIDES.ravel(), np.full(6, 4, np.int32), None, "a test")
    store_user_meshes({"bowl": _bowl(turned=False), "turned": _bowl(turned=True), "box": corners})
    scenes = [replace(VALUES, shape=shape, object_rgb=(0.8, 0.35, 0.05)) for shape in ("bowl", "turned", "box", "cube")]
    shapes = find_shapes(["bowl", "turned", "box"], where="a test")
    bowl, turned, box, cube, metal = in_worker(_renders, shapes, [*scenes, replace(scenes[0], material="metal")])
    assert [each[0] for each in (bowl, turned, box, cube, metal)] == [
        *["rubber_two_sided"] * 2,
        *["rubber"] * 2,
        "metal",
    ]
    assert (bowl[2] == turned[2]).all()
    differs = np.abs(bowl[1] - turned[1])[bowl[2]]
    assert np.median(differs) <= 1
    assert np.mean(differs > 6) < 0.02
    # A diffuse surface of this colour: red before green before blue, and nowhere in its light black.
    red, green, blue = np.median(turned[1][turned[2]], axis=0)
    assert red > 100 > blue
    assert red > green > blue


def _facets(turned: bool) -> UserMesh:
    """The bowl in flat triangles with normals of their own, all of one winding; or every third one turned."""
    bowl = _bowl(turned=True)
    faces = bowl.corners.reshape(-1, 4)[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)
    if turned:
        faces[::3] = faces[::3, ::-1]
    a, b, c = np.moveaxis(bowl.vertices[faces], 1, 0)
    normals = np.repeat(np.cross(b - a, c - a), 3, axis=0)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return UserMesh(bowl.vertices, faces.ravel(), np.full(len(faces), 3, np.int32), normals, "a test")


@pytest.mark.slow
def test_turned_faces_keep_normals_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("M3DI_DATA_HOME", str(tmp_path))
    store_user_meshes({"even": _facets(turned=False), "mixed": _facets(turned=True)})
    scenes = [replace(VALUES, shape=shape, object_rgb=(0.8, 0.35, 0.05)) for shape in ("even", "mixed")]
    even, mixed = in_worker(_renders, find_shapes(["even", "mixed"], where="a test"), scenes)
    differs = np.abs(even[1] - mixed[1])[even[2]]
    assert np.median(differs) <= 1
    assert np.mean(differs > 6) < 0.05
