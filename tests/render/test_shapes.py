"""The sculpted shapes: closed, smooth-shadeable surfaces of one size, each its own, the same on every build."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("skimage")

from m3di.errors import M3diError, UsageError
from m3di.render.modelling import shapes
from m3di.render.modelling.shapes import mesh, sdf

PUBLISHED = ["teapot", "hare", "dragon", "cow", "armadillo", "horse", "head"]
NAMES = [*PUBLISHED, "monkey"]
UNIT_BALL = mesh.Mesh(
    np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], dtype=np.float32),
    np.array([[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]], dtype=np.int32),
)
"""An octahedron: the smallest closed surface with a known volume, 4/3."""


@pytest.fixture(scope="module")
def built() -> dict[str, shapes.Mesh]:
    return {name: shapes.build(name) for name in NAMES}


def test_the_registry_lists_the_published_classes_in_their_order():
    assert list(shapes.SHAPES)[:7] == PUBLISHED


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_shape_is_one_closed_manifold_surface_facing_outwards(built, name):
    assert shapes.faults_of(built[name]) == []
    assert built[name].volume > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_shape_has_the_common_size_and_place(built, name):
    vertices = built[name].vertices
    assert vertices.dtype == np.float32
    assert built[name].faces.dtype == np.int32
    assert built[name].size.max() == pytest.approx(shapes.LONGEST_SIDE, abs=1e-6)
    np.testing.assert_allclose(vertices.min(axis=0) + vertices.max(axis=0), 0.0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_shape_is_light_enough_to_render_and_fine_enough_to_shade(built, name):
    assert 5_000 <= len(built[name].faces) <= 40_000


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_shape_has_no_sliver_that_would_shade_black(built, name):
    a, b, c = np.moveaxis(built[name].vertices.astype(np.float64)[built[name].faces], 1, 0)
    areas = sdf.length(np.cross(b - a, c - a))
    assert areas.min() > 0.02 * np.median(areas)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_holes_are_those_that_are_meant(built, name):
    """The teapot's handle, and the monkey's arms, which rest on its knees."""
    n_holes = {"teapot": 1, "monkey": 2}.get(name, 0)
    # Euler: V - E + F = 2 - 2 holes, with three half-edges a face.
    euler = len(built[name].vertices) - len(built[name].faces) // 2
    assert euler == 2 - 2 * n_holes


@pytest.mark.slow
def test_no_two_shapes_are_the_same(built):
    assert len({shapes.mesh_hash(each) for each in built.values()}) == len(NAMES)


@pytest.mark.slow
def test_a_shape_is_built_the_same_twice(built):
    assert shapes.mesh_hash(shapes.build("armadillo")) == shapes.mesh_hash(built["armadillo"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hare", "dragon", "cow", "armadillo", "head", "monkey"])
def test_animals_and_head_are_symmetric_but_for_the_bent_tails(built, name):
    vertices = built[name].vertices
    front = vertices[vertices[:, 0] > 0.5]
    assert front[:, 1].max() - front[:, 1].mean() == pytest.approx(front[:, 1].mean() - front[:, 1].min(), abs=0.1)


@pytest.mark.slow
def test_the_spout_points_where_the_published_one_does(built):
    vertices = built["teapot"].vertices
    along_spout = vertices @ np.array([1.0, -1.0, 0.0]) / np.sqrt(2.0)
    tip, back = vertices[along_spout.argmax()], vertices[along_spout.argmin()]
    assert tip[0] == pytest.approx(-tip[1], abs=0.15)
    # The spout's mouth is higher than the back of the handle.
    assert tip[2] > back[2]


def test_an_unknown_shape_is_refused_with_the_nearest_name():
    with pytest.raises(UsageError, match="unknown shape") as caught:
        shapes.build("armadilo")
    assert "did you mean armadillo" in str(caught.value)


def test_a_shape_nothing_like_the_known_ones_is_refused_with_the_list():
    with pytest.raises(UsageError, match="unknown shape") as caught:
        shapes.build("xyz")
    assert "teapot, hare" in str(caught.value)
    assert "did you mean" not in str(caught.value)


def test_a_ball_comes_out_round_and_of_the_common_size():
    ball = mesh.mesh_of(sdf.sphere((0.2, 0.0, -0.1), 1.0), step=0.12)
    np.testing.assert_allclose(sdf.length(ball.vertices.astype(np.float64)), 0.5 * shapes.LONGEST_SIDE, atol=0.01)
    assert ball.volume == pytest.approx(4 / 3 * np.pi * (0.5 * shapes.LONGEST_SIDE) ** 3, rel=0.02)


def test_two_balls_apart_are_refused():
    apart = sdf.union(sdf.sphere((-1.0, 0.0, 0.0), 0.4), sdf.sphere((1.0, 0.0, 0.0), 0.4))
    with pytest.raises(M3diError, match="not one closed piece") as caught:
        mesh.mesh_of(apart, step=0.1)
    assert "2 separate pieces" in str(caught.value)


def test_a_solid_larger_than_the_searched_cube_is_refused():
    with pytest.raises(M3diError, match="not one closed piece") as caught:
        mesh.mesh_of(sdf.sphere((0.0, 0.0, 0.0), 1.2), step=0.1, half_extent=1.0)
    assert "one side only" in str(caught.value)


def test_faults_are_found():
    assert shapes.faults_of(UNIT_BALL) == []
    assert UNIT_BALL.volume == pytest.approx(4 / 3)
    inside_out = mesh.Mesh(UNIT_BALL.vertices, UNIT_BALL.faces[:, ::-1])
    assert shapes.faults_of(inside_out) == ["faces that point inwards"]
    open_at_one_face = mesh.Mesh(UNIT_BALL.vertices, UNIT_BALL.faces[1:])
    assert shapes.faults_of(open_at_one_face) == ["an edge with a face on one side only"]
    one_face_turned = mesh.Mesh(UNIT_BALL.vertices, np.vstack([UNIT_BALL.faces[:1, ::-1], UNIT_BALL.faces[1:]]))
    assert "an edge used twice in one direction" in shapes.faults_of(one_face_turned)


def test_two_surfaces_that_share_one_vertex_are_a_fault():
    # The second octahedron stands on the top, vertex 4, of the first; its bottom is number 5 of its own.
    above = UNIT_BALL.vertices + np.array([0, 0, 2], dtype=np.float32)
    renumbered = np.array([6, 7, 8, 9, 10, 4], dtype=np.int32)
    pinched = mesh.Mesh(
        np.vstack([UNIT_BALL.vertices, above[:5]]), np.vstack([UNIT_BALL.faces, renumbered[UNIT_BALL.faces]])
    )
    assert shapes.faults_of(pinched) == ["a vertex without faces or shared by two sheets"]


@pytest.mark.parametrize(
    ("field", "point", "distance"),
    [
        (sdf.sphere((1, 0, 0), 0.5), (3, 0, 0), 1.5),
        (sdf.ellipsoid((0, 0, 0), (1, 2, 3)), (0, 2, 0), 0.0),
        (sdf.ellipsoid((0, 0, 0), (2, 1, 1), turn=(0, 0, 90)), (0, 2, 0), 0.0),
        (sdf.ellipsoid((0, 0, 0), (2, 1, 1), turn=(0, 90, 0)), (0, 0, -2), 0.0),
        (sdf.round_cone((0, 0, 0), (4, 0, 0), 0.5, 0.5), (2, 3, 0), 2.5),
        (sdf.round_cone((0, 0, 0), (4, 0, 0), 0.5, 1.0), (7, 0, 0), 2.0),
        (sdf.tube([(0, 0, 0), (1, 0, 0), (2, 0, 0)], [0.2, 0.2, 0.2]), (1, 0.5, 0), 0.3),
        (sdf.torus((0, 0, 1), 2.0, 0.5), (3, 0, 1), 0.5),
        (sdf.box((0, 0, 0), (1, 2, 3), rounding=0.1), (0, 0, 5), 2.0),
        (sdf.box((0, 0, 0), (1, 2, 3)), (0, 0, 0), -1.0),
        (sdf.triangle((0, 0, 0), (1, 0, 0), (0, 1, 0), 0.1), (0.2, 0.2, 1.0), 0.9),
        (sdf.triangle((0, 0, 0), (1, 0, 0), (0, 1, 0), 0.1), (-1.0, 0.0, 0.0), 0.9),
        (sdf.revolve([(0, -1), (1, -1), (1, 1), (0, 1)], steps=1), (0, 3, 0), 2.0),
        (sdf.revolve([(0, -1), (1, -1), (1, 1), (0, 1)], steps=1), (0, 0, 0), -1.0),
        (sdf.above(sdf.sphere((0, 0, 0), 1.0), -0.5), (0, 0, -0.9), 0.4),
        (sdf.subtract(sdf.sphere((0, 0, 0), 1.0), sdf.sphere((0, 0, 0), 0.5)), (0, 0, 0), 0.5),
        (sdf.translate(sdf.sphere((0, 0, 0), 1.0), (0, 2, 0)), (0, 2, 0), -1.0),
        (sdf.scale(sdf.sphere((0, 0, 0), 1.0), (2, 1, 1)), (2, 0, 0), 0.0),
        (sdf.mirror(sdf.sphere((0, 1, 0), 0.5)), (0, -1, 0), -0.5),
        (sdf.sink(sdf.sphere((0, 0, 0), 1.0), lambda p: 0.1 + 0 * p[:, 0]), (0.9, 0, 0), 0.0),
    ],
)
def test_distances_with_known_answers(field, point, distance):
    np.testing.assert_allclose(field(np.array([point], dtype=float)), [distance], atol=1e-9)


def test_a_blend_only_adds_and_only_near_the_seam():
    a, b = sdf.sphere((0, 0, 0), 1.0), sdf.sphere((1.5, 0, 0), 1.0)
    points = np.array([[0.75, 0.7, 0.0], [-1.0, 0.0, 0.0]])
    sharp, soft = sdf.union(a, b)(points), sdf.union(a, b, blend=0.3)(points)
    assert soft[0] < sharp[0]
    assert soft[1] == sharp[1]


def test_a_curve_goes_through_its_knots():
    knots = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]])
    np.testing.assert_allclose(sdf.catmull_rom(knots, 4)[::4], knots)
