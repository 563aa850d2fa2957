"""Triangles as they should be: vertices merged, dead weight dropped, the outside out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from m3di.render.library.winding import merged_numbers, turned_faces


@dataclass(frozen=True)
class Triangles:
    """A mesh of triangles.

    Attributes:
        vertices: float64 [V, 3].
        faces: Vertex numbers, int64 [F, 3].
        normals: Normal at each corner, float64 [F, 3, 3], or None.
    """

    vertices: NDArray[np.float64]
    faces: NDArray[np.int64]
    normals: NDArray[np.float64] | None

    def face_normals(self) -> NDArray[np.float64]:
        """Normals of the faces by the right-hand rule, twice as long as the faces are large; [F, 3]."""
        a, b, c = np.moveaxis(self.vertices[self.faces], 1, 0)
        return np.cross(b - a, c - a)

    def only(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Triangles:
        """Some of the faces."""
        return replace(self, faces=self.faces[chosen], normals=None if self.normals is None else self.normals[chosen])

    def turned(self, chosen: NDArray[np.bool_]) -> Triangles:
        """Some of the faces turned; their normals turn along unless they are on the new outside already."""
        faces = np.where(chosen[:, None], self.faces[:, ::-1], self.faces)
        mesh = replace(self, faces=faces)
        if self.normals is not None:
            normals = np.where(chosen[:, None, None], self.normals[:, ::-1], self.normals)
            inwards = (normals * mesh.face_normals()[:, None]).sum(axis=2, keepdims=True) < 0.0
            mesh = replace(mesh, normals=np.where(chosen[:, None, None] & inwards, -normals, normals))
        return mesh

    def compact(self) -> Triangles:
        """Without vertices that no face has."""
        used, numbers = np.unique(self.faces, return_inverse=True)
        return replace(self, vertices=self.vertices[used], faces=numbers.reshape(self.faces.shape))


def clean(mesh: Triangles, *, mend_winding: bool) -> Triangles:
    """Merge vertices in one place, drop faces without area, twin faces and vertices without faces, turn faces out.

    A closed mesh that is inside out is turned as a whole. With `mend_winding`, so is every face that is turned against
    the others of its piece, and every closed piece that is inside out and lies in no other.
    """
    mesh = mesh.compact()
    numbers, first = merged_numbers(mesh.vertices)
    mesh = replace(mesh, vertices=mesh.vertices[first], faces=numbers[mesh.faces])
    mesh = mesh.only(np.linalg.norm(mesh.face_normals(), axis=1) > 0.0)
    _, first = np.unique(np.sort(mesh.faces, axis=1), axis=0, return_index=True)
    mesh = mesh.only(np.sort(first))
    if not len(mesh.faces):
        return mesh
    mesh = mesh.compact()
    a, b, c = np.moveaxis(mesh.vertices[mesh.faces], 1, 0)
    everything = np.ones(len(mesh.faces), dtype=bool)
    if _is_closed(mesh.faces) and (np.cross(a, b) * c).sum() < 0.0:
        mesh = mesh.turned(everything)
    if mend_winding:
        sizes = np.full(len(mesh.faces), 3)
        mesh = mesh.turned(turned_faces(mesh.vertices, mesh.faces.ravel(), sizes).turned)
    return mesh


def _is_closed(faces: NDArray[np.int64]) -> bool:
    edges = faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    forward = np.unique(edges, axis=0)
    return len(forward) == len(edges) and np.array_equal(forward, np.unique(edges[:, ::-1], axis=0))
