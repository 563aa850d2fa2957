"""Triangle meshes: from a distance field to a closed, smooth, normalised surface."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph
from skimage import measure

from m3di.errors import M3diError
from m3di.render.modelling.shapes.sdf import Array, Field, length
from m3di.render.scene import LONGEST_SIDE

_BLOCK = 4  # grid steps along a block: coarse enough to skip most of space, fine enough to hug the surface


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh.

    Attributes:
        vertices: float32 [V, 3], Blender units.
        faces: int32 [F, 3], vertex numbers, counter-clockwise seen from outside.
    """

    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]

    @property
    def size(self) -> NDArray[np.float32]:
        """Sides of the bounding box, float32 [3]."""
        sides: NDArray[np.float32] = np.ptp(self.vertices, axis=0)
        return sides

    @property
    def volume(self) -> float:
        """Enclosed volume; negative where faces point inwards."""
        a, b, c = np.moveaxis(self.vertices.astype(np.float64)[self.faces], 1, 0)
        return float((np.cross(a, b) * c).sum() / 6.0)


def mesh_of(field: Field, step: float, half_extent: float = 2.4) -> Mesh:
    """The zero level of `field` as a normalised mesh.

    Args:
        field: Distance field, its solid within [-half_extent, half_extent]^3.
        step: Grid spacing, model units.
        half_extent: Half the side of the cube that is searched, model units.

    Raises:
        M3diError: The surface is open, pinched, or in several pieces: a modelling mistake.
    """
    values, low = _sample(field, step, half_extent)
    # Named with its type, since scikit-image has none.
    marching_cubes: Callable[..., tuple[Array, NDArray[np.int32], Array, Array]] = measure.marching_cubes
    raw, faces, _, _ = marching_cubes(values, 0.0)
    vertices = raw.astype(np.float64) * step + low
    mesh = Mesh(vertices.astype(np.float32), faces.astype(np.int32))
    if mesh.volume < 0:
        faces = faces[:, ::-1]
    vertices = _relax(field, vertices, faces, step)
    mesh = normalise(Mesh(vertices.astype(np.float32), np.ascontiguousarray(faces, dtype=np.int32)))
    faults = faults_of(mesh)
    if faults:
        raise M3diError("a shape's surface is not one closed piece", got="; ".join(faults), expected="none of these")
    return mesh


def _sample(field: Field, step: float, half_extent: float) -> tuple[Array, Array]:
    """`field` on a cubic grid, evaluated near its surface only: values [G, G, G] and the place of [0, 0, 0], [3]."""
    n_blocks = int(np.ceil(2 * half_extent / (step * _BLOCK)))
    low = np.full(3, -0.5 * n_blocks * _BLOCK * step)
    block_numbers = np.stack(np.meshgrid(*[np.arange(n_blocks)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    first_nodes = low + block_numbers * (_BLOCK * step)
    coarse = field(first_nodes + 0.5 * (_BLOCK - 1) * step)
    # A block is 3.5 steps from centre to corner and fields are distances to first order only: twice that is kept.
    near = np.abs(coarse) < 2.0 * 0.5 * np.sqrt(3.0) * _BLOCK * step
    inner = np.stack(np.meshgrid(*[np.arange(_BLOCK)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) * step
    blocks = np.repeat(coarse[:, None], _BLOCK**3, axis=1)
    blocks[near] = field((first_nodes[near][:, None] + inner).reshape(-1, 3)).reshape(-1, _BLOCK**3)
    # Values at the level itself would make faces without area; vertices are moved to the surface afterwards.
    blocks = np.where(np.abs(blocks) < 0.1 * step, np.copysign(0.1 * step, blocks), blocks)
    shape = (n_blocks,) * 3 + (_BLOCK,) * 3
    n_nodes = n_blocks * _BLOCK
    return blocks.reshape(shape).transpose(0, 3, 1, 4, 2, 5).reshape((n_nodes,) * 3), low


def _relax(field: Field, vertices: Array, faces: NDArray[np.int32], step: float, rounds: int = 3) -> Array:
    """Evens out the triangles: moves vertices to the mean of their neighbours, then back onto the surface."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    n = len(vertices)
    neighbours = sparse.csr_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(n, n))
    n_neighbours = np.maximum(np.asarray(neighbours.sum(axis=1)), 1.0)
    for _ in range(rounds):
        vertices = _project(field, 0.5 * vertices + 0.5 * (neighbours @ vertices) / n_neighbours, step)
    return vertices


def _project(field: Field, vertices: Array, step: float) -> Array:
    """One Newton step towards the surface, at most half a grid step long."""
    # Differences over a whole grid step: across a crease they average its two sides instead of flipping.
    reach = 0.5 * step
    sides = [field(vertices + reach * axis) - field(vertices - reach * axis) for axis in np.eye(3)]
    gradient = np.stack(sides, axis=1) / (2.0 * reach)
    # Where solids meet the gradient can vanish; there the vertex stays.
    slope = np.maximum(length(gradient), 0.3)
    shift = np.clip(field(vertices) / slope, -0.5 * step, 0.5 * step)
    moved: Array = vertices - gradient * (shift / slope)[:, None]
    return moved


def normalise(mesh: Mesh) -> Mesh:
    """The mesh centred on its bounding box, the longest side `LONGEST_SIDE`."""
    vertices = mesh.vertices.astype(np.float64)
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    centred = (vertices - 0.5 * (low + high)) * (LONGEST_SIDE / (high - low).max())
    return Mesh(centred.astype(np.float32), mesh.faces)


def faults_of(mesh: Mesh) -> list[str]:
    """What keeps a mesh from being one closed, outward, manifold surface; empty where nothing does."""
    faces, n_vertices = mesh.faces.astype(np.int64), len(mesh.vertices)
    starts, ends = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
    faults = []
    forward, backward = starts * n_vertices + ends, ends * n_vertices + starts
    order = np.argsort(forward)
    if (np.diff(forward[order]) == 0).any():
        faults.append("an edge used twice in one direction")
    twin_at = np.minimum(np.searchsorted(forward[order], backward), len(forward) - 1)
    twins = order[twin_at]
    if (forward[twins] != backward).any():
        return [*faults, "an edge with a face on one side only"]
    # Corner k of the raveled faces is the start of half-edge k. The fan round a vertex: the next corner of my twin.
    following = np.arange(len(forward)).reshape(-1, 3)[:, [1, 2, 0]].ravel()
    if _n_components(np.arange(len(forward)), following[twins], len(forward)) != n_vertices:
        faults.append("a vertex without faces or shared by two sheets")
    n_pieces = _n_components(starts, ends, n_vertices)
    if n_pieces != 1:
        faults.append(f"{n_pieces} separate pieces")
    if mesh.volume <= 0:
        faults.append("faces that point inwards")
    return faults


def _n_components(a: NDArray[np.int64], b: NDArray[np.int64], n: int) -> int:
    graph = sparse.coo_matrix((np.ones(len(a), dtype=np.int8), (a, b)), shape=(n, n))
    return int(csgraph.connected_components(graph, directed=False)[0])


def mesh_hash(mesh: Mesh) -> str:
    """SHA-256 over vertices and faces as little-endian bytes, hexadecimal."""
    digest = hashlib.sha256(mesh.vertices.astype("<f4").tobytes())
    digest.update(mesh.faces.astype("<i4").tobytes())
    return digest.hexdigest()
