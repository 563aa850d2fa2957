"""What is told of meshes that can be rendered, and may not look as one expects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from m3di.render.library.file_mesh import FileMesh
from m3di.render.library.import_mesh import usable_mesh
from m3di.render.library.mesh_notes import lost_decimals, notes_on
from tests.render.test_winding import CORNERS, QUADS


def notes(vertices: object, faces: list[list[int]], *, as_is: bool = False) -> list[str]:
    corners = [corner for face in faces for corner in face]
    sizes = np.array([len(face) for face in faces])
    found = FileMesh(np.array(vertices, dtype=float), np.array(corners), sizes)
    return [*notes_on(usable_mesh(found, Path("x.obj"), np.eye(3), as_is=as_is), as_is=as_is)]


CUBE = [[quad[0], quad[i], quad[i + 1]] for quad in QUADS for i in (1, 2)]


def test_nothing_is_told_of_a_cube() -> None:
    assert notes(CORNERS, CUBE) == []


def test_one_triangle() -> None:
    flat, is_open = notes([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [[0, 1, 2]])
    assert flat.startswith("the mesh is one polygon of 3 corners")
    assert is_open.startswith("open surface: 3 edges")


def test_a_flat_mesh() -> None:
    assert notes(CORNERS[:4], [[0, 1, 3], [0, 3, 2]])[0].startswith("the mesh is flat")


@pytest.mark.parametrize(("thickness", "shows"), [(0.02, True), (0.001, False)])
def test_needles_that_no_pixel_shows(thickness: float, shows: bool) -> None:
    needle = CORNERS * (1.0, thickness, thickness)
    slanted = needle @ np.linalg.qr(np.array([[1.0, 2, 3], [0, 1, 4], [5, 6, 0]]))[0]
    crossed = np.concatenate([slanted, needle + (0.0, 0.1, 0.1)])
    told = notes(crossed, [*CUBE, *([corner + 8 for corner in face] for face in CUBE)])
    # 1 / 1000 of the longest side; 4.2 m are 58 pixels, in the middle of a picture of 224
    assert told == [] if shows else "its widest piece is 0.0" in told[0]


def test_turned_faces_and_the_way_out() -> None:
    mixed = [*CUBE[:-1], CUBE[-1][::-1]]
    (told,) = notes(CORNERS, mixed)
    assert told == "8.3 % of faces turned: 1 of 12 have their back outside; --mend-winding turns them"
    (told,) = notes(CORNERS, mixed, as_is=True)
    assert told.endswith("--mend-winding, without --as-is, turns them")


def test_coordinates_whose_file_has_lost_their_decimals() -> None:
    far = FileMesh(CORNERS + 5_400_000.0, np.concatenate(CUBE), np.full(12, 3), single_precision=True)
    (told,) = lost_decimals(far)
    assert "goes in steps of 0.5" in told.replace("go in", "goes in")
    assert [*lost_decimals(FileMesh(far.vertices, far.corners, far.face_sizes))] == []
