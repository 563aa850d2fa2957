"""Meshes of the user: taken over clean or as they are, found by name; unusable files change nothing."""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path

import numpy as np
import pytest

from m3di.errors import M3diError, UsageError
from m3di.render import ImportOptions, find_shapes, import_shape, remove_user_shape, user_shapes
from m3di.render.library import mesh_files, mesh_reading
from m3di.render.library.file_mesh import FileMesh
from m3di.render.library.import_mesh import usable_mesh
from m3di.render.library.user_shapes import UserMesh, load_user_mesh, shape_folder, store_user_meshes
from tests.render.blend_files import FACES, TETRAHEDRON, in_worker, open_trustingly, write_malicious, write_meshes

OBJ = "".join(f"v {x} {y} {z}\n" for x, y, z in TETRAHEDRON) + "".join(
    f"f {a + 1} {b + 1} {c + 1}\n" for a, b, c in FACES
)
FILE = Path("thing.blend")
EYE = np.eye(3)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("M3DI_DATA_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def file_mesh(vertices: object, faces: object = FACES) -> FileMesh:
    corners = np.array(faces, dtype=np.int64)
    return FileMesh(np.array(vertices, dtype=float), corners.ravel(), np.full(len(corners), 3))


def user_mesh(scale: float = 1.0) -> UserMesh:
    vertices = np.array(TETRAHEDRON, dtype=np.float32) * np.float32(scale)
    return UserMesh(vertices, np.array(FACES, dtype=np.int32).ravel(), np.full(4, 3, dtype=np.int32), None, "x.obj")


# Cleaning


def test_a_clean_mesh_is_centred_scaled_and_keeps_its_proportions() -> None:
    mesh = usable_mesh(file_mesh(TETRAHEDRON), FILE, EYE, as_is=False)
    np.testing.assert_allclose(np.ptp(mesh.vertices, axis=0), [1.4, 0.7, 2.8], rtol=1e-6)
    np.testing.assert_allclose(mesh.vertices.min(axis=0) + mesh.vertices.max(axis=0), 0.0, atol=1e-6)


def test_split_vertices_are_merged_and_dead_weight_is_dropped() -> None:
    soup = np.array(TETRAHEDRON)[np.array(FACES).ravel()]  # every face with vertices of its own, as in .stl
    soup = np.vstack([soup, [[9.0, 9.0, 9.0]]])  # a vertex without a face
    faces = [*np.arange(12).reshape(-1, 3).tolist(), (0, 1, 1), (1, 2, 0)]  # one without area, one twice
    mesh = usable_mesh(file_mesh(soup, faces), FILE, EYE, as_is=False)
    assert (len(mesh.vertices), len(mesh.face_sizes)) == (4, 4)


def test_a_closed_mesh_that_is_inside_out_is_turned() -> None:
    inside_out = [face[::-1] for face in FACES]
    mesh = usable_mesh(file_mesh(TETRAHEDRON, inside_out), FILE, EYE, as_is=False)
    a, b, c = np.moveaxis(mesh.vertices[mesh.corners.reshape(-1, 3)], 1, 0)
    assert (np.cross(a, b) * c).sum() > 0


def test_as_is_keeps_every_number() -> None:
    mesh = usable_mesh(file_mesh(TETRAHEDRON), FILE, EYE, as_is=True)
    np.testing.assert_array_equal(mesh.vertices, np.array(TETRAHEDRON, dtype=np.float32))
    np.testing.assert_array_equal(mesh.corners, np.array(FACES).ravel())


@pytest.mark.parametrize(
    ("mesh", "message"),
    [
        (file_mesh(TETRAHEDRON, np.zeros((0, 3))), r"the mesh has no faces(?s:.)*4 vertices, 0 faces"),
        (file_mesh(np.zeros((0, 3)), np.zeros((0, 3))), r"the mesh has no faces(?s:.)*0 vertices"),
        (file_mesh([(np.nan, 0, 0), *TETRAHEDRON[1:]]), r"no finite numbers(?s:.)*1 of 4 vertices"),
        (file_mesh([(np.inf, 0, 0), *TETRAHEDRON[1:]]), r"no finite numbers(?s:.)*1 of 4 vertices"),
        (file_mesh(np.array(TETRAHEDRON) * 1e9), r"the mesh is gigantic(?s:.)*longest side 4e\+09(?s:.)*scale it down"),
        (file_mesh(np.zeros((4, 3))), "the mesh has no extent"),
        (file_mesh(np.arange(12).reshape(4, 3)), "no face of the mesh has an area"),
        (file_mesh(TETRAHEDRON, [(0, 1, 9)]), "faces that do not fit its vertices"),
    ],
)
def test_unusable_meshes(mesh: FileMesh, message: str) -> None:
    with pytest.raises(M3diError, match=message) as caught:
        usable_mesh(mesh, FILE, EYE, as_is=False)
    assert "thing.blend" in str(caught.value)


def test_too_many_faces() -> None:
    many = FileMesh(np.zeros((3, 3)), np.zeros(3_000_003, dtype=np.int64), np.full(1_000_001, 3))
    with pytest.raises(M3diError, match=r"too many faces(?s:.)*1,000,001(?s:.)*Decimate"):
        usable_mesh(many, FILE, EYE, as_is=False)


def test_as_is_has_a_limit_that_the_scene_sets() -> None:
    with pytest.raises(M3diError, match=r"the mesh is gigantic(?s:.)*at most 100"):
        usable_mesh(file_mesh(np.array(TETRAHEDRON) * 100), FILE, EYE, as_is=True)


# Files


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.obj", None, "there is no such file"),
        ("notes.txt", b"hello", r"no mesh file that can be read(?s:.)*\.txt(?s:.)*\.blend, \.obj"),
        ("noextension", b"hello", "a name without an extension"),
        ("empty.glb", b"", r"the file is empty(?s:.)*empty\.glb"),
    ],
)
def test_files_that_are_refused_unread(
    tmp_path: Path, home: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(M3diError, match=message):
        import_shape(tmp_path / name, "thing")
    assert not home.exists()


def test_a_folder_is_refused(tmp_path: Path, home: Path) -> None:
    (tmp_path / "folder.blend").mkdir()
    with pytest.raises(UsageError, match=r"this is a folder(?s:.)*folder\.blend"):
        import_shape(tmp_path / "folder.blend", "thing")
    assert not home.exists()


def test_a_file_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("file_mesh", "mesh_files"):
        monkeypatch.setattr(f"m3di.render.library.{module}.MAX_BYTES", 10)
    (tmp_path / "a.obj").write_text(OBJ)
    with pytest.raises(M3diError, match=r"the file is too large(?s:.)*at most 10"):
        import_shape(tmp_path / "a.obj", "thing")


def test_axes_that_do_not_fit(tmp_path: Path) -> None:
    (tmp_path / "a.obj").write_text(OBJ)
    with pytest.raises(UsageError, match=r"up and forward lie on one axis(?s:.)*up Z, forward -Z"):
        import_shape(tmp_path / "a.obj", "thing", ImportOptions(up="Z", forward="-Z"))


def _crash(path: Path, mesh_name: str | None, as_is: bool) -> FileMesh:
    """In a worker."""
    os._exit(1)


def _hang(path: Path, mesh_name: str | None, as_is: bool) -> FileMesh:
    """In a worker."""
    time.sleep(600)
    raise AssertionError


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reader", "message"),
    [
        (_crash, r"reading it ended the worker process(?s:.)*damaged, or in need of more than 8 GiB"),
        (_hang, "reading it took more than 1 s, and was ended"),
    ],
)
def test_a_reader_that_crashes_or_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path, reader: object, message: str
) -> None:
    monkeypatch.setattr(mesh_reading, "read_in_worker", reader)
    monkeypatch.setattr(mesh_files, "READ_TIMEOUT_S", 1 if reader is _hang else 60)
    (tmp_path / "a.obj").write_text(OBJ)
    with pytest.raises(M3diError, match=message):
        import_shape(tmp_path / "a.obj", "thing")
    assert not home.exists()


@pytest.mark.slow
def test_formats_that_trimesh_writes(tmp_path: Path) -> None:
    import trimesh

    scene = trimesh.Scene()
    half = trimesh.Trimesh(TETRAHEDRON, FACES, process=False)
    scene.add_geometry(half, transform=trimesh.transformations.translation_matrix((0, 0, 0)))
    (tmp_path / "a.obj").write_text(OBJ)
    for extension in ("ply", "stl"):
        half.export(tmp_path / f"a.{extension}")
    scene.export(tmp_path / "a.glb")
    shapes = [
        import_shape(tmp_path / f"a.{extension}", extension, ImportOptions(up="Z", forward="X"))
        for extension in ("obj", "ply", "stl", "glb")
    ]
    for shape in shapes:
        mesh = load_user_mesh(Path(shape.path))
        assert (len(mesh.vertices), len(mesh.face_sizes)) == (4, 4), shape.name
        np.testing.assert_allclose(np.ptp(mesh.vertices, axis=0), [1.4, 0.7, 2.8], rtol=1e-5)
    assert list(user_shapes()) == ["glb", "obj", "ply", "stl"]


@pytest.mark.slow
def test_default_axes_of_obj_stand_it_up_facing_us(tmp_path: Path) -> None:
    """Y up and the front along Z, as most programs write .obj: x -> y, y -> z, z -> x."""
    (tmp_path / "a.obj").write_text(OBJ)
    mesh = load_user_mesh(Path(import_shape(tmp_path / "a.obj", "thing").path))
    np.testing.assert_allclose(np.ptp(mesh.vertices, axis=0), [2.8, 1.4, 0.7], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.obj", b"\x89PNG\r\n\x1a\n" + bytes(200), r"no faces|cannot be read as \.obj"),
        ("a.glb", b"glTF" + struct.pack("<II", 2, 999999) + b"x" * 50, r"cannot be read as \.glb"),
        ("a.ply", b"ply\nformat ascii 1.0\nelement vertex 99\n", r"cannot be read as \.ply|no faces"),
        ("a.stl", b"solid x\n facet", r"cannot be read as \.stl|no faces"),
        ("a.blend", b"not a blend file at all", r"cannot be read as \.blend(?s:.)*a\.blend"),
    ],
)
def test_damaged_files(tmp_path: Path, home: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(M3diError, match=message):
        import_shape(tmp_path / name, "thing")
    assert not home.exists()


@pytest.fixture(scope="module")
def blends(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("blends")
    in_worker(write_meshes, folder)
    return folder


@pytest.mark.slow
def test_blend_as_is_keeps_numbers_and_polygons(blends: Path) -> None:
    shape = import_shape(blends / "one.blend", "thing", ImportOptions(as_is=True))
    mesh = load_user_mesh(Path(shape.path))
    np.testing.assert_array_equal(mesh.vertices, np.array(TETRAHEDRON, dtype=np.float32))
    assert mesh.source == "one.blend"
    assert find_shapes(["thing", "teapot"], where="here") == (shape,)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "mesh", "message"),
    [
        ("two.blend", None, r"holds several meshes(?s:.)*(other, thing|thing, other)(?s:.)*--mesh NAME"),
        ("two.blend", "thin", r"no mesh called 'thin'(?s:.)*did you mean --mesh 'thing'"),
        ("none.blend", None, "the file holds no mesh"),
        ("points.blend", None, r"no faces(?s:.)*4 vertices, 0 faces"),
        ("nan.blend", None, r"no finite numbers(?s:.)*1 of 4"),
        ("huge.blend", None, "the mesh is gigantic"),
    ],
)
def test_blends_that_are_refused(blends: Path, home: Path, name: str, mesh: str | None, message: str) -> None:
    with pytest.raises(M3diError, match=message):
        import_shape(blends / name, "thing", ImportOptions(mesh=mesh))
    assert not home.exists()


@pytest.mark.slow
def test_a_truncated_blend(blends: Path, tmp_path: Path, home: Path) -> None:
    whole = (blends / "one.blend").read_bytes()
    (tmp_path / "cut.blend").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(M3diError, match=r"cannot be read as \.blend|holds no mesh"):
        import_shape(tmp_path / "cut.blend", "thing")
    assert not home.exists()


@pytest.mark.slow
def test_import_executes_nothing_that_a_blend_holds(tmp_path: Path) -> None:
    flag = tmp_path / "executed"
    in_worker(write_malicious, tmp_path / "bad.blend", flag)
    created = [path.name for path in tmp_path.glob("executed*")]
    for path in tmp_path.glob("executed*"):
        path.unlink()
    mesh = load_user_mesh(Path(import_shape(tmp_path / "bad.blend", "thing", ImportOptions(as_is=True)).path))
    np.testing.assert_array_equal(mesh.vertices, np.array(TETRAHEDRON, dtype=np.float32))
    assert not list(tmp_path.glob("executed*")), created
    # The file is as bad as it looks: opened trustingly, it does run its script.
    in_worker(open_trustingly, tmp_path / "bad.blend")
    assert (tmp_path / "executed-script").exists()


# The store


def test_equal_meshes_have_equal_hashes_and_others_do_not() -> None:
    assert user_mesh().sha256 == user_mesh().sha256
    assert user_mesh().sha256 != user_mesh(2.0).sha256


def test_a_stored_mesh_comes_back_and_can_be_removed() -> None:
    store_user_meshes({"thing": user_mesh()})
    assert user_shapes()["thing"].sha256 == user_mesh().sha256
    assert [path.name for path in shape_folder().iterdir()] == ["thing.npz"]
    remove_user_shape("thing")
    assert user_shapes() == {}


def test_an_unknown_shape_is_refused_with_the_near_match() -> None:
    store_user_meshes({"thing": user_mesh()})
    with pytest.raises(UsageError, match=r"no shape is called 'thin'(?s:.)*here(?s:.)*did you mean 'thing'"):
        find_shapes(["teapot", "thin"], where="here")


@pytest.mark.parametrize("name", ["", "../x", "a b", "1a", "ä", "x" * 65, "a/b", "a.b"])
def test_names_that_cannot_be(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"cannot be the name of a shape(?s:.)*--name"):
        import_shape(tmp_path / "a.obj", name)


def test_a_name_that_is_taken(tmp_path: Path) -> None:
    store_user_meshes({"thing": user_mesh()})
    with pytest.raises(UsageError, match=r"have a shape called 'thing' already(?s:.)*--replace"):
        import_shape(tmp_path / "a.obj", "thing")


@pytest.mark.parametrize(
    ("name", "message"),
    [("thin", "did you mean 'thing'"), ("teapot", "a built-in shape: it stays"), ("../thing", "you have no shape")],
)
def test_what_cannot_be_removed(name: str, message: str) -> None:
    store_user_meshes({"thing": user_mesh()})
    with pytest.raises(UsageError, match=message):
        remove_user_shape(name)
    assert list(user_shapes()) == ["thing"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", b"junk"])
def test_a_damaged_store(content: bytes) -> None:
    shape_folder().mkdir(parents=True)
    (shape_folder() / "thing.npz").write_bytes(content)
    with pytest.raises(M3diError, match=r"a stored mesh cannot be read(?s:.)*m3di shapes remove thing"):
        user_shapes()
    assert find_shapes(["teapot"], where="here") == ()  # others are not held up by it


def test_a_pickle_in_the_store_is_not_opened() -> None:
    shape_folder().mkdir(parents=True)
    np.savez(shape_folder() / "thing.npz", vertices=np.array([{"a": 1}], dtype=object))
    with pytest.raises(M3diError, match=r"a stored mesh cannot be read(?s:.)*allow_pickle=False"):
        user_shapes()


def test_a_store_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("M3DI_DATA_HOME", str(tmp_path / "file"))
    with pytest.raises(M3diError, match=r"folder of your shapes cannot be written(?s:.)*M3DI_DATA_HOME"):
        store_user_meshes({"thing": user_mesh()})
