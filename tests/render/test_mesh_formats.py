"""Solids of known area and volume, through every format and reader. One worker reads them all: it starts slowly."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from m3di.errors import M3diError
from m3di.render import ImportOptions, import_shape
from m3di.render.library.file_mesh import FileMesh
from m3di.render.library.ply_vertices import n_ply_faces, ply_vertices
from tests.render.blend_files import in_worker

# An L of three squares, 1 high. From the corner that each polygon begins with, a fan would leave it.
PROFILE = [(3, 0), (3, 1), (1, 1), (1, 3), (0, 3), (0, 0)]
AREA, VOLUME = 2 * 5 + 12, 5


def prism() -> tuple[list[tuple[float, ...]], list[list[int]]]:
    n = len(PROFILE)
    vertices = [(float(x), float(y), z) for z in (0.0, 1.0) for x, y in PROFILE]
    sides = [[i, (i + 1) % n, n + (i + 1) % n, n + i] for i in range(n)]
    return vertices, [[*range(n)][::-1], [*range(n, 2 * n)], *sides]


VERTICES, FACES = prism()


def obj(offset: tuple[float, float, float] = (0, 0, 0), *, negative: bool = False) -> str:
    lines = ["v " + " ".join(repr(a + b) for a, b in zip(vertex, offset, strict=True)) for vertex in VERTICES]
    first = -len(VERTICES) if negative else 1
    return "\n".join([*lines, *("f " + " ".join(str(i + first) for i in face) for face in FACES), ""])


def ply(kind: str = "float", offset: tuple[float, float, float] = (0, 0, 0)) -> str:
    head = f"ply\nformat ascii 1.0\nelement vertex {len(VERTICES)}\n"
    head += "".join(f"property {kind} {axis}\n" for axis in "xyz")
    head += f"element face {len(FACES)}\nproperty list uchar int vertex_indices\nend_header\n"
    lines = [" ".join(repr(a + b) for a, b in zip(vertex, offset, strict=True)) for vertex in VERTICES]
    return head + "\n".join([*lines, *(f"{len(face)} " + " ".join(map(str, face)) for face in FACES), ""])


def big_endian_ply(offset: tuple[float, float, float]) -> bytes:
    head = ply("double").partition("end_header")[0].replace("ascii", "binary_big_endian") + "end_header\n"
    body = b"".join(struct.pack(">3d", *np.add(vertex, offset)) for vertex in VERTICES)
    return head.encode() + body + b"".join(struct.pack(f">B{len(face)}i", len(face), *face) for face in FACES)


def strip_ply() -> str:
    """A tetrahedron of volume 1/6 as one strip of triangles."""
    head = "ply\nformat ascii 1.0\nelement vertex 4\n" + "".join(f"property float {axis}\n" for axis in "xyz")
    head += "element tristrips 1\nproperty list int int vertex_indices\nend_header\n"
    return head + "0 0 0\n0 1 0\n1 0 0\n0 0 1\n6 0 1 2 3 0 1\n"


def stl(name: bytes) -> bytes:
    triangles = [[face[0], face[i], face[i + 1]] for face in FACES[2:] for i in (1, 2)]
    # caps, split by hand
    triangles += [[a, b, c] for a, b, c in ((6, 7, 8), (6, 8, 11), (8, 9, 10), (8, 10, 11))]
    triangles += [[c - 6, b - 6, a - 6] for a, b, c in triangles[-4:]]
    corners = (struct.pack("<12fH", 0, 0, 0, *(x for i in each for x in VERTICES[i]), 0) for each in triangles)
    return name.ljust(80, b"\0") + struct.pack("<I", len(triangles)) + b"".join(corners)


def sparse_glb() -> bytes:
    """A tetrahedron of volume 8/6 whose last vertex is given by a sparse accessor alone, 2 along each axis."""
    places = np.array([(0, 0, 0), (2, 0, 0), (0, 2, 0), (9, 9, 9)], dtype="<f4").tobytes()
    indices = np.array([0, 2, 1, 0, 1, 3, 0, 3, 2, 1, 2, 3], dtype="<u2").tobytes()
    which, what = struct.pack("<H", 3), struct.pack("<3f", 0, 0, 2)
    views, binary = [], b""
    for part in (places, indices, which, what):
        views.append({"buffer": 0, "byteOffset": len(binary), "byteLength": len(part)})
        binary += part + b"\0" * (-len(part) % 4)
    sparse = {
        "count": 1,
        "indices": {"bufferView": 2, "componentType": 5123},
        "values": {"bufferView": 3},
    }
    document = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "scale": [1, 1, -1], "translation": [5, 0, 0]}],  # mirrored: its outside stays out
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 4, "type": "VEC3", "sparse": sparse}
            | {"min": [0, 0, 0], "max": [2, 2, 2]},
            {"bufferView": 1, "componentType": 5123, "count": 12, "type": "SCALAR"},
        ],
        "bufferViews": views,
        "buffers": [{"byteLength": len(binary)}],
    }
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(binary), 0x004E4942) + binary
    return b"glTF" + struct.pack("<II", 2, 12 + len(chunks)) + chunks


FILES: dict[str, str | bytes] = {
    "plain.obj": obj(),
    "negative.obj": obj(negative=True),
    "bom.obj": obj().encode("utf-8-sig"),
    "far.obj": obj((500_000.25, 5_400_000.25, 300.25)),
    "plain.ply": ply(),
    "far.ply": ply("double", (500_000.25, 5_400_000.25, 300.25)),
    "far_big.ply": big_endian_ply((500_000.25, 5_400_000.25, 300.25)),
    "solid.stl": stl(b"solid, though binary"),
}


def area_and_volume(mesh: FileMesh) -> tuple[float, float]:
    assert (mesh.face_sizes == 3).all()
    a, b, c = np.moveaxis(mesh.vertices[mesh.corners.reshape(-1, 3)], 1, 0)
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2), float((np.cross(a, b) * c).sum() / 6)


def _read_all(folder: Path, names: list[str], as_is: bool = False) -> list[FileMesh]:
    """In a worker."""
    from m3di.render.library.mesh_reading import read_in_worker

    return [read_in_worker(folder / name, None, as_is) for name in names]


def _write_draco(path: Path) -> None:
    """In a worker: the prism as a .glb, compressed, in two nodes."""
    import bpy

    bpy.ops.wm.read_factory_settings(use_empty=True)
    mesh = bpy.data.meshes.new("L")
    mesh.from_pydata(VERTICES, [], FACES)
    for x in (0.0, 10.0):
        node = bpy.data.objects.new(f"L{x}", mesh)
        node.location.x, node.rotation_euler = x, (0.3, 0.2, 0.1)
        bpy.context.scene.collection.objects.link(node)
    bpy.ops.export_scene.gltf(filepath=str(path), export_draco_mesh_compression_enable=True)


@pytest.mark.slow
def test_solids_have_their_area_and_volume_in_every_format(tmp_path: Path) -> None:
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    (tmp_path / "strip.ply").write_text(strip_ply())
    (tmp_path / "sparse.glb").write_bytes(sparse_glb())
    with zipfile.ZipFile(tmp_path / "l.zip", "w") as archive:
        archive.writestr("folder/L.OBJ", obj())
        archive.writestr("folder/L.mtl", "newmtl x")
        archive.writestr("__MACOSX/folder/._L.OBJ", "x")
    in_worker(_write_draco, tmp_path / "draco.glb")
    names = [*FILES, "l.zip", "strip.ply", "sparse.glb", "draco.glb"]
    found = dict(zip(names, in_worker(_read_all, tmp_path, names), strict=True))
    for name in [*FILES, "l.zip"]:
        assert area_and_volume(found[name]) == pytest.approx((AREA, VOLUME), rel=1e-5), name
    assert (found["l.zip"].format, found["far.ply"].format) == (".obj", ".ply")
    assert area_and_volume(found["strip.ply"])[1] == pytest.approx(1 / 6)
    assert area_and_volume(found["sparse.glb"])[1] == pytest.approx(8 / 6)
    # Draco rounds to 14 bits
    assert area_and_volume(found["draco.glb"]) == pytest.approx((2 * AREA, 2 * VOLUME), rel=1e-3)
    for mesh, whole in zip(in_worker(_read_all, tmp_path, ["plain.obj", "plain.ply"], True), "vn", strict=True):
        assert sorted(mesh.face_sizes) == [4, 4, 4, 4, 4, 4, 6, 6], whole
        np.testing.assert_array_equal(mesh.vertices, VERTICES)


@pytest.mark.slow
def test_faces_that_blender_drops_from_a_ply_are_told(tmp_path: Path) -> None:
    (tmp_path / "whole.ply").write_text(ply())
    n_faces = n_ply_faces(ply().encode())
    head = ply().replace(f"element face {n_faces}", f"element face {n_faces + 1}").rstrip("\n")
    (tmp_path / "more.ply").write_text(f"{head}\n3 0 1 99\n")
    whole, more = in_worker(_read_all, tmp_path, ["whole.ply", "more.ply"])
    assert whole.notes == ()
    assert len(more.face_sizes) == len(whole.face_sizes)
    assert f"1 of {n_faces + 1} faces of the file left out" in more.notes[0]


def test_vertices_of_a_ply_keep_their_decimals() -> None:
    offset = (500_000.125, 5_400_000.25, 300.5)
    expected = np.array(VERTICES) + offset
    np.testing.assert_array_equal(ply_vertices(ply("double", offset).encode()), expected)
    np.testing.assert_array_equal(ply_vertices(big_endian_ply(offset)), expected)


@pytest.mark.parametrize(
    "content",
    [
        b"ply\nformat ascii 1.0\nelement face 1\nend_header\n",
        b"not a ply",
        big_endian_ply((0, 0, 0)).replace(b"double x", b"float x"),
        big_endian_ply((0, 0, 0))[:250],
        ply().encode()[:200],
        ply().replace("float z", "list uchar int z").encode(),
    ],
)
def test_a_ply_whose_vertices_are_left_to_blender(content: bytes) -> None:
    assert ply_vertices(content) is None


def _refused(folder: Path, names: list[str]) -> list[str]:
    """In a worker: what is said of each."""
    from m3di.render.library.mesh_reading import read_in_worker

    said = []
    for name in names:
        with pytest.raises(M3diError) as caught:
            read_in_worker(folder / name, None, False)
        said.append(str(caught.value))
    return said


def archive(path: Path, members: dict[str, Any]) -> None:
    with zipfile.ZipFile(path, "w") as zipped:
        for name, content in members.items():
            zipped.writestr(name, content)


@pytest.mark.slow
def test_files_that_are_refused_say_why(tmp_path: Path) -> None:
    archive(tmp_path / "two.zip", {"a.obj": obj(), "b.ply": ply()})
    archive(tmp_path / "none.zip", {"a.txt": "x"})
    archive(tmp_path / "comma.zip", {"a/b.obj": "v 1,5 0 0\n"})
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04")
    (tmp_path / "cut.stl").write_bytes(stl(b"x")[:300])
    facet = "facet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0\nendloop\nendfacet\n"
    (tmp_path / "comma.stl").write_text(f"solid a\n{facet}endsolid\n".replace("vertex 1", "vertex 1,5"))
    (tmp_path / "text.stl").write_text(f"solid a\n{facet}{facet[:60]}")
    (tmp_path / "comma.ply").write_text(ply().replace("end_header\n", "end_header\n0,5 0,0 0,0\n"))
    (tmp_path / "page.glb").write_text("<html>")
    names = ["two.zip", "none.zip", "comma.zip", "bad.zip", "cut.stl", "comma.stl", "text.stl", "comma.ply", "page.glb"]
    said = in_worker(_refused, tmp_path, names)
    for message, parts in zip(
        said,
        [
            ("several mesh files", "a.obj, b.ply", "unpack it"),
            ("holds no mesh file", "a.txt"),
            ("decimal comma", "comma.zip, a/b.obj, line 1"),
            ("cannot be read as .zip", "not a zip file"),
            ("cannot be read as .stl", "300 bytes, where 1,084 are needed for its 20 triangles"),
            ("cannot be read as .stl", "decimal comma: vertex 1,5 0 0"),
            ("cannot be read as .stl", "cut off"),
            ("decimal comma", "'0,5 0,0 0,0'"),
            ("cannot be read as .glb", "a web page"),
        ],
        strict=True,
    ):
        assert all(part in message for part in parts), message


@pytest.mark.slow
def test_a_mesh_name_where_there_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("M3DI_DATA_HOME", str(tmp_path / "home"))
    (tmp_path / "a.obj").write_text(obj())
    with pytest.raises(M3diError, match=r"\.obj files have no meshes to choose from(?s:.)*leave --mesh out"):
        import_shape(tmp_path / "a.obj", "a", ImportOptions(mesh="L"))


def test_formats_that_name_other_files_say_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "a.fbx").write_bytes(b"Kaydara")
    with pytest.raises(M3diError, match=r"\.fbx is a format that m3di does not read(?s:.)*export it as \.glb"):
        import_shape(tmp_path / "a.fbx", "a")


def test_as_is_and_mending_exclude_each_other(tmp_path: Path) -> None:
    (tmp_path / "a.obj").write_text(obj())
    with pytest.raises(M3diError, match=r"kept as it is cannot be mended(?s:.)*--as-is, --mend-winding"):
        import_shape(tmp_path / "a.obj", "a", ImportOptions(as_is=True, mend_winding=True))
