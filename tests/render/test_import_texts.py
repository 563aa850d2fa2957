"""What is taken out of files before Blender's importers see them."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from m3di.errors import M3diError
from m3di.render.library.import_texts import plain_glb, plain_obj

OBJ = "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"
PATH = Path("thing.obj")
GLB = Path("thing.glb")


def plain(text: str | bytes, *, keep_place: bool = False) -> list[str]:
    content = text.encode() if isinstance(text, str) else text
    return plain_obj(PATH, content, keep_place=keep_place).decode().splitlines()


PLAIN = ["v 0.0 0.0 0.0", "v 1.0 0.0 0.0", "v 0.0 1.0 0.0", "f 1 2 3"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_any_encoding_of_a_text(encoding: str) -> None:
    assert plain(f"# Würfel\no Würfel\n{OBJ}".encode(encoding)) == PLAIN


@pytest.mark.parametrize(
    "text",
    [
        "mtllib /etc/passwd\nusemtl x\n" + OBJ,  # names a file
        "call other.obj\ncsh rm -rf\n" + OBJ,  # names a file, runs a command
        OBJ.replace("f 1 2 3", "f 1 \\\n 2 \\\n 3"),
        OBJ.replace("0\n", "0 1 0 0 # red\n"),
        OBJ.replace("\n", "\r\n"),
        "g a\n" + OBJ,
    ],
)
def test_what_is_left(text: str) -> None:
    assert plain(text) == PLAIN


def test_what_a_continued_line_names_is_dropped_too() -> None:
    assert plain("mtllib \\\n v.mtl\n" + OBJ) == PLAIN


def test_surveyors_coordinates_keep_their_decimals() -> None:
    places = np.array(
        [(500_000.25, 5_400_000.5, 300.125), (500_001.25, 5_400_000.5, 300.125), (500_000.25, 5_400_001, 9)]
    )
    text = "".join(f"v {x!r} {y!r} {z!r}\n" for x, y, z in places.tolist()) + "f 1 2 3\n"
    moved = np.array([line.split()[1:] for line in plain(text)[:3]], dtype=float)
    assert np.abs(moved).max() < 1000
    np.testing.assert_array_equal(moved - moved[0], places - places[0])
    kept = np.array([line.split()[1:] for line in plain(text, keep_place=True)[:3]], dtype=float)
    np.testing.assert_array_equal(kept, places)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (OBJ.replace("v 1 0 0", "v 1,5 0,0 0,0"), r"decimal comma(?s:.)*line 2(?s:.)*1,5 0,0(?s:.)*decimal point"),
        (OBJ.replace("v 1 0 0", "v 1 0"), r"a vertex is not three numbers(?s:.)*line 2"),
        (OBJ.replace("v 1 0 0", "v 1 x 0"), r"a vertex is not three numbers(?s:.)*'v 1 x 0'"),
        (OBJ.replace("v 1 0 0", "v 1 nan 0"), r"no finite numbers(?s:.)*line 2"),
        ("v 0 0 0\ncstype bspline\nsurf 0 1 0 1 1\n", r"free-form surfaces and no faces(?s:.)*tessellated"),
        (OBJ + "f 1 2 99\n", r"vertex that the file does not have(?s:.)*'f 1 2 99'(?s:.)*numbers from 1 to"),
        (OBJ + "f 0 1 2\n", r"vertex that the file does not have(?s:.)*begin at 0"),
        (OBJ + "f 1/1 2/2 -9/3\n", r"vertex that the file does not have"),
        (OBJ + "f 1 x 2\n", r"vertex that the file does not have(?s:.)*'f 1 x 2'"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), r"cannot be read as \.obj(?s:.)*no line that begins with v or f"),
    ],
)
def test_texts_that_are_refused(text: str | bytes, message: str) -> None:
    with pytest.raises(M3diError, match=message):
        plain(text)


def glb(document: dict[str, Any], binary: bytes | None = None) -> bytes:
    text = json.dumps({"asset": {"version": "2.0"}, **document}).encode()
    text += b" " * (-len(text) % 4)
    content = struct.pack("<II", len(text), 0x4E4F534A) + text
    if binary is not None:
        content += struct.pack("<II", len(binary), 0x004E4942) + binary
    return b"glTF" + struct.pack("<II", 2, 12 + len(content)) + content


def parts(content: bytes) -> tuple[dict[str, Any], bytes]:
    (size,) = struct.unpack_from("<I", content, 12)
    return json.loads(content[20 : 20 + size]), content[20 + size + 8 :]


def test_images_materials_and_animations_go_and_meshes_stay() -> None:
    primitive = {"attributes": {"POSITION": 0}, "material": 0, "extensions": {"KHR_materials_variants": {}}}
    document = {
        "images": [{"uri": "/etc/passwd"}],
        "materials": [{}],
        "animations": [{}],
        "extensionsRequired": ["KHR_texture_basisu", "KHR_draco_mesh_compression"],
        "meshes": [{"primitives": [primitive]}],
        "nodes": [{"mesh": 0, "camera": 0, "extensions": {"KHR_lights_punctual": {}, "EXT_mesh_gpu_instancing": {}}}],
        "buffers": [{"byteLength": 4}],
    }
    left, binary = parts(plain_glb(GLB, glb(document, b"abcd")))
    assert left == {
        "asset": {"version": "2.0"},
        "extensionsRequired": ["KHR_draco_mesh_compression"],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "extensions": {}}]}],
        "nodes": [{"mesh": 0, "extensions": {"EXT_mesh_gpu_instancing": {}}}],
        "buffers": [{"byteLength": 4}],
    }
    assert binary == b"abcd"


def test_a_gltf_with_its_data_inside_is_taken() -> None:
    document = {"asset": {"version": "2.0"}, "buffers": [{"uri": "data:;base64,AAAA", "byteLength": 3}]}
    left, _ = parts(plain_glb(Path("a.gltf"), json.dumps(document).encode("utf-8-sig")))
    assert left["buffers"] == document["buffers"]


@pytest.mark.parametrize("uri", ["mesh.bin", "../../etc/passwd", "file:///etc/passwd", "https://example.org/x.bin"])
def test_a_gltf_that_names_another_file(uri: str) -> None:
    with pytest.raises(
        M3diError, match=r"keeps its mesh in another file(?s:.)*buffers\.0\.uri(?s:.)*export it as \.glb"
    ):
        plain_glb(GLB, glb({"buffers": [{"uri": uri}]}))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            glb({"extensionsRequired": ["EXT_meshopt_compression"]}),
            r"compressed with meshopt(?s:.)*EXT_meshopt_compression(?s:.)*without meshopt",
        ),
        (glb({})[:-4], r"cannot be read as \.glb(?s:.)*cut off"),
        (b"glTF" + struct.pack("<II", 1, 12), "glTF version 1"),
        (b"hello", r"no JSON at line 1: it begins with b'hello'"),
        (b"{}", "KeyError: 'asset'"),
        (b"[1]", "TypeError"),
        (glb({"meshes": [1]}), "AttributeError"),
        (glb({"buffers": [1]}), r"buffers: \[1\]"),
    ],
)
def test_files_that_are_refused(content: bytes, message: str) -> None:
    with pytest.raises(M3diError, match=message):
        plain_glb(GLB, content)


def glb_of(text: bytes, n_bytes: int | None = None) -> bytes:
    text += b" " * (-len(text) % 4)
    return struct.pack("<4sIIII", b"glTF", 2, 20 + len(text), n_bytes or len(text), 0x4E4F534A) + text


@pytest.mark.parametrize(
    "content",
    [
        glb_of(b"[" * 100_000),
        glb_of(b"[1]"),
        glb_of(b"\xff"),
        glb_of(b"{}", 2**32 - 1),
        glb_of(b'{"asset": {"version": "2.0"}, "buffers": 3}'),
        glb_of(b'{"asset": {"version": "2.0"}, "extensionsRequired": 3}'),
        glb_of(b'{"asset": {"version": "2.0"}, "meshes": [3]}'),
        b"glTF",
    ],
)
def test_a_glb_of_a_stranger_is_refused_with_a_message(content: bytes) -> None:
    with pytest.raises(M3diError, match=r"cannot be read as \.glb"):
        plain_glb(Path("a.glb"), content)


@pytest.mark.parametrize("uri", ["secret.bin", "../secret.bin", "/etc/passwd", "file:///etc/passwd", "http://x/y"])
def test_pictures_in_other_files_are_left_out(uri: str) -> None:
    text = json.dumps({"asset": {"version": "2.0"}, "images": [{"uri": uri}]}).encode()
    assert uri.encode() not in plain_glb(Path("a.glb"), glb_of(text))
