"""Turned faces and open edges, on surfaces whose every face is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from m3di.render.library.mesh_cleaning import Triangles, clean
from m3di.render.library.winding import turned_faces

CORNERS = np.array([(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=float)
QUADS = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]


def winding(vertices: NDArray[np.float64], faces: list[list[int]]) -> tuple[list[int], int]:
    """Numbers of the turned faces, and how many edges are open."""
    found = turned_faces(vertices, np.concatenate(faces), np.array([len(face) for face in faces]))
    return np.flatnonzero(found.turned).tolist(), found.n_open_edges


def cubes(*places: tuple[float, float], turned: tuple[int, ...] = ()) -> tuple[NDArray[np.float64], list[list[int]]]:
    """Cubes at x with a side; those whose number is in `turned` are inside out."""
    vertices = np.concatenate([side * (CORNERS - 0.5) + (x, 0.0, 0.0) for x, side in places])
    faces = []
    for number in range(len(places)):
        quads = [[8 * number + corner for corner in quad] for quad in QUADS]
        faces += [quad[::-1] if number in turned else quad for quad in quads]
    return vertices, faces


def volume(mesh: Triangles) -> float:
    a, b, c = np.moveaxis(mesh.vertices[mesh.faces], 1, 0)
    return float((np.cross(a, b) * c).sum() / 6.0)


def test_a_closed_cube_has_neither() -> None:
    assert winding(*cubes((0, 1))) == ([], 0)


def test_the_minority_is_turned() -> None:
    vertices, faces = cubes((0, 1))
    for number in (1, 4):
        faces[number] = faces[number][::-1]
    assert winding(vertices, faces) == ([1, 4], 0)


def test_faces_with_vertices_of_their_own_are_neighbours_all_the_same() -> None:
    vertices, faces = cubes((0, 1))
    soup = vertices[np.concatenate(faces)]
    alone = np.arange(24).reshape(6, 4).tolist()
    alone[2] = alone[2][::-1]
    assert winding(soup, alone) == ([2], 0)


def test_a_box_without_lid_is_open_and_its_inside_out_cannot_be_told() -> None:
    vertices, faces = cubes((0, 1))
    assert winding(vertices, faces[:5]) == ([], 4)
    assert winding(vertices, [face[::-1] for face in faces[:5]]) == ([], 4)


def test_a_closed_piece_that_is_inside_out_is_turned_and_the_other_is_not() -> None:
    assert winding(*cubes((0, 1), (5, 1), turned=(1,))) == ([6, 7, 8, 9, 10, 11], 0)


def test_a_cavity_points_inwards() -> None:
    assert winding(*cubes((0, 4), (0, 1), turned=(1,))) == ([], 0)


def test_of_a_moebius_band_no_side_is_right() -> None:
    n = 12
    angle = np.repeat(np.arange(n) * 2 * np.pi / n, 2)
    across = np.tile([-0.3, 0.3], n)
    vertices = np.stack(
        [(1 + across * np.cos(angle / 2)) * np.cos(angle), (1 + across * np.cos(angle / 2)) * np.sin(angle)]
        + [across * np.sin(angle / 2)],
        axis=1,
    )
    faces = [[2 * i, 2 * i + 2, 2 * i + 3, 2 * i + 1] for i in range(n - 1)]
    faces.append([2 * n - 2, 1, 0, 2 * n - 1])
    assert winding(vertices, faces) == ([], 2 * n)


def triangles(vertices: NDArray[np.float64], faces: list[list[int]], *, outwards: bool = False) -> Triangles:
    fan = np.array([[face[0], face[i], face[i + 1]] for face in faces for i in (1, 2)])
    mesh = Triangles(vertices, fan, None)
    if not outwards:
        return mesh
    normals = vertices[fan].mean(axis=1)
    return Triangles(vertices, fan, np.repeat(normals[:, None], 3, axis=1))


def test_mending_turns_what_is_turned_and_normals_along() -> None:
    vertices, faces = cubes((0, 1))
    faces[3] = faces[3][::-1]
    assert volume(clean(triangles(vertices, faces), mend_winding=False)) == pytest.approx(2 / 3)
    assert volume(clean(triangles(vertices, faces), mend_winding=True)) == pytest.approx(1.0)
    mended = clean(triangles(vertices, faces, outwards=True), mend_winding=True)
    assert mended.normals is not None
    assert ((mended.normals * mended.face_normals()[:, None]).sum(axis=2) > 0).all()


def test_a_cube_that_is_inside_out_is_turned_with_its_normals() -> None:
    vertices, faces = cubes((0, 1), turned=(0,))
    mesh = triangles(vertices, faces)
    inwards = -np.repeat(vertices[mesh.faces].mean(axis=1)[:, None], 3, axis=1)
    turned = clean(Triangles(vertices, mesh.faces, inwards), mend_winding=False)
    assert volume(turned) == pytest.approx(1.0)
    assert turned.normals is not None
    assert ((turned.normals * turned.face_normals()[:, None]).sum(axis=2) > 0).all()


def test_mending_pieces_keeps_a_cavity() -> None:
    mesh = clean(triangles(*cubes((0, 4), (0, 1), (9, 1), turned=(1, 2))), mend_winding=True)
    assert volume(mesh) == pytest.approx(64 - 1 + 1)
