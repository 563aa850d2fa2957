"""A `.glb` that names another file would have any reader open it, wherever it lies."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from m3di.errors import M3diError
from m3di.render.glb_check import check_alone
from m3di.render.mesh_files import _read_with_trimesh, read_mesh

BODY = struct.pack("<9f", 0, 0, 0, 1, 0, 0, 0, 1, 1) + struct.pack("<3H", 0, 1, 2)


def document(**buffer: Any) -> dict[str, Any]:
    """A glTF of one triangle."""
    views = [{"buffer": 0, "byteOffset": start, "byteLength": n} for start, n in ((0, 36), (36, 6))]
    return {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3", "min": [0, 0, 0], "max": [1, 1, 1]},
            {"bufferView": 1, "componentType": 5123, "count": 3, "type": "SCALAR"},
        ],
        "bufferViews": views,
        "buffers": [{"byteLength": len(BODY), **buffer}],
    }


def write(path: Path, content: dict[str, Any] | bytes, *, n_bytes: int | None = None) -> Path:
    head = content if isinstance(content, bytes) else json.dumps(content).encode()
    head += b" " * (-len(head) % 4)
    body = BODY + b"\0" * (-len(BODY) % 4)
    length = 20 + len(head) + 8 + len(body)
    raw = struct.pack("<4sIII4s", b"glTF", 2, length, len(head) if n_bytes is None else n_bytes, b"JSON") + head
    path.write_bytes(raw + struct.pack("<I4s", len(body), b"BIN\0") + body)
    return path


def test_one_that_holds_everything(tmp_path: Path) -> None:
    check_alone(write(tmp_path / "a.glb", document()))
    check_alone(write(tmp_path / "b.glb", {**document(), "images": [{"uri": "data:image/png;base64,AAAA"}]}))


@pytest.mark.parametrize("uri", ["secret.bin", "../secret.bin", "/etc/passwd", "file:///etc/passwd", "http://x/y"])
def test_one_that_refers_to_another_file(tmp_path: Path, uri: str) -> None:
    (tmp_path / "secret.bin").write_bytes(BODY)
    for content in (document(uri=uri), {**document(), "images": [{"uri": uri}]}):
        path = write(tmp_path / "a.glb", content)
        with pytest.raises(M3diError, match=r"refers to another file: it is refused(?s:.)*a\.glb"):
            check_alone(path)
    # And trimesh, which would look for it beside the mesh or fetch it, is given nothing.
    with pytest.raises(M3diError, match="refers to another file"):
        _read_with_trimesh(write(tmp_path / "a.glb", document(uri=uri)))


@pytest.mark.parametrize(
    ("content", "n_bytes"),
    [(b"[" * 100_000, None), (b"{}", 2**32 - 1), (b"[1]", None), (b'{"buffers": 3}', None), (b"\xff", None)],
)
def test_one_that_is_none(tmp_path: Path, content: bytes, n_bytes: int | None) -> None:
    with pytest.raises(M3diError, match=r"cannot be read as \.glb"):
        check_alone(write(tmp_path / "a.glb", content, n_bytes=n_bytes))


@pytest.mark.slow
def test_reading_a_mesh_asks(tmp_path: Path) -> None:
    assert len(read_mesh(write(tmp_path / "a.glb", document())).face_sizes) == 1
    with pytest.raises(M3diError, match="refers to another file"):
        read_mesh(write(tmp_path / "b.glb", document(uri="a.glb")))
