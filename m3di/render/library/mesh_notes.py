"""What the user should know about a mesh that can be rendered, and may not look as they expect."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from m3di.render.camera import DATASET_CAMERA, SENSOR_MM
from m3di.render.library.file_mesh import FileMesh
from m3di.render.library.user_shapes import UserMesh
from m3di.render.library.winding import merged_numbers, turned_faces
from m3di.render.scene import OBJECT_SCALE

SIZE_PX = 224
THIN_PX = 0.5
_FLAT = 1e-6  # of the longest side
_ROUGH = 1e-4  # spacing of 32-bit floats over the size of the mesh


def notes_on(mesh: UserMesh, *, as_is: bool) -> Iterator[str]:
    """Sentences on a mesh that is about to be stored."""
    vertices = mesh.vertices.astype(np.float64) * mesh.scale
    corners, sizes = mesh.corners.astype(np.int64), mesh.face_sizes.astype(np.int64)
    used, corners = np.unique(corners, return_inverse=True)
    vertices, corners = vertices[used], corners.reshape(-1)
    yield from _thinness(vertices, corners, sizes)
    winding = turned_faces(vertices, corners, sizes)
    if winding.n_open_edges:
        yield (
            f"open surface: {winding.n_open_edges:,} edges have a face on one side only; "
            "through the openings one sees the faces from behind"
        )
    n_turned = int(winding.turned.sum())
    if n_turned:
        yield (
            f"{_percent(n_turned, len(sizes))} of faces turned: {n_turned:,} of {len(sizes):,} have their back "
            "outside; " + ("--mend-winding, without --as-is, turns them" if as_is else "--mend-winding turns them")
        )


def _percent(part: int, whole: int) -> str:
    percent = 100.0 * part / whole
    return f"{percent:.0f} %" if percent >= 10.0 else f"{percent:.2g} %"


def lost_decimals(found: FileMesh) -> Iterator[str]:
    """A note where the file's own 32-bit floats are too coarse for the mesh."""
    used = found.vertices[np.unique(found.corners)]
    side, largest = np.ptp(used, axis=0).max(), np.abs(used).max()
    step = float(np.spacing(np.float32(largest)))
    if found.single_precision and step > _ROUGH * side:
        yield (
            f"the mesh lies {largest:.3g} from the origin, where the numbers of its file go in steps of {step:.2g}, "
            f"and is only {side:.3g} long: move it to the origin in the program that made it, and export it again"
        )


def _thinness(vertices: NDArray[np.float64], corners: NDArray[np.int64], sizes: NDArray[np.int64]) -> Iterator[str]:
    px_per_unit = (
        OBJECT_SCALE * SIZE_PX * DATASET_CAMERA.focal_mm / SENSOR_MM / np.linalg.norm(DATASET_CAMERA.location_m)
    )
    extents = _extents_of_pieces(vertices, corners, sizes)
    thick_px = float(extents[:, 1].max() * px_per_unit)
    if len(sizes) == 1:
        yield f"the mesh is one polygon of {sizes[0]} corners: seen from its edge it does not show"
    elif thick_px < THIN_PX:
        yield (
            f"hardly a pixel of a picture of {SIZE_PX} pixels will show the mesh: its widest piece is "
            f"{thick_px:.2g} pixels wide"
        )
    else:
        centred = vertices - vertices.mean(axis=0)
        if np.linalg.svd(centred.T @ centred, compute_uv=False)[2] ** 0.5 <= _FLAT * np.linalg.norm(centred):
            yield "the mesh is flat: seen from its edge it does not show"


def _extents_of_pieces(
    vertices: NDArray[np.float64], corners: NDArray[np.int64], sizes: NDArray[np.int64]
) -> NDArray[np.float64]:
    """How far each connected piece reaches along its own axes, shortest first: two standard deviations; [pieces, 3]."""
    merged, first = merged_numbers(vertices)
    corners, places = merged[corners], vertices[first]
    starts = np.repeat(corners[np.cumsum(sizes) - sizes], sizes)
    graph = sparse.coo_matrix((np.ones(len(corners), dtype=np.int8), (starts, corners)), shape=(len(places),) * 2)
    n, piece = csgraph.connected_components(graph, directed=False)
    count = np.bincount(piece, minlength=n).astype(float)
    mean = np.stack([np.bincount(piece, weights=axis, minlength=n) for axis in places.T], axis=1) / count[:, None]
    off = places - mean[piece]
    covariance = np.empty((n, 3, 3))
    for i in range(3):
        for j in range(3):
            covariance[:, i, j] = np.bincount(piece, weights=off[:, i] * off[:, j], minlength=n) / count
    extents: NDArray[np.float64] = 2.0 * np.sqrt(np.maximum(np.linalg.eigvalsh(covariance), 0.0))
    return extents
