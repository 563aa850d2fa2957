"""The plain solids, exact meshes with known volumes; and what `blender_scenes/` holds of all shapes."""

from __future__ import annotations

import math
import multiprocessing

import numpy as np
import pebble
import pytest

pytest.importorskip("skimage")

from m3di.render import builtin_shapes
from m3di.render.modelling import shapes
from m3di.render.modelling.shapes import Mesh, faults_of, mesh_hash
from m3di.system.shipped import shipped

R = 1.4
VOLUMES = {
    "cube": (2 * R) ** 3,
    "sphere": 4 / 3 * math.pi * R**3,
    "cylinder": 2 * math.pi * R**3,
    "cone": 2 / 3 * math.pi * R**3,
    "torus": 2 * math.pi**2 * (0.7 * R) * (0.3 * R) ** 2,
}


@pytest.mark.parametrize("name", VOLUMES)
def test_a_solid_is_closed_centred_and_has_its_volume(name: str) -> None:
    solid = shapes.build(name)
    assert faults_of(solid) == []
    assert solid.volume == pytest.approx(VOLUMES[name], rel=0.005)
    assert solid.size.max() == pytest.approx(shapes.LONGEST_SIDE, abs=1e-6)
    np.testing.assert_allclose(solid.vertices.min(axis=0) + solid.vertices.max(axis=0), 0.0, atol=1e-6)


@pytest.mark.parametrize("name", VOLUMES)
def test_only_the_torus_has_a_hole(name: str) -> None:
    solid = shapes.build(name)
    assert len(solid.vertices) - len(solid.faces) // 2 == (0 if name == "torus" else 2)


def test_every_shape_that_is_modelled_is_packaged() -> None:
    assert set(builtin_shapes()) == set(shapes.SHAPES)


def test_the_scenes_are_small_enough_to_package() -> None:
    folder = shipped("blender_scenes")
    assert sum(path.stat().st_size for path in folder.rglob("*.blend*")) < 20_000_000


def _mesh_in_blend(name: str) -> tuple[np.ndarray, np.ndarray]:
    """In a worker: vertices and triangles of a committed `.blend`."""
    from m3di.render.blender.meshes import builtin_mesh

    mesh = builtin_mesh(name)
    vertices = np.empty(3 * len(mesh.vertices), dtype=np.float32)
    corners = np.empty(len(mesh.loops), dtype=np.int32)
    mesh.vertices.foreach_get("co", vertices)
    mesh.loops.foreach_get("vertex_index", corners)
    return vertices.reshape(-1, 3), corners.reshape(-1, 3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["teapot", "torus"])
def test_the_packaged_mesh_is_what_the_code_makes(name: str) -> None:
    with pebble.ProcessPool(max_workers=1, context=multiprocessing.get_context("spawn")) as pool:
        vertices, faces = pool.schedule(_mesh_in_blend, args=[name], timeout=120).result()
    assert mesh_hash(Mesh(vertices, faces)) == mesh_hash(shapes.build(name))
