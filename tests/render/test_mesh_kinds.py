"""Files whose names say something else than their first bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from m3di.errors import M3diError
from m3di.render.library.mesh_kinds import check_kind


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.glb", b"version https://git-lfs.github.com/spec/v1\noid", r"pointer of Git LFS(?s:.)*git lfs pull"),
        ("a.obj", b"\n<!DOCTYPE html>", r"as \.obj(?s:.)*a web page(?s:.)*download the file itself"),
        ("a.stl", b"ply\nformat ascii 1.0", r"as \.stl(?s:.)*a \.ply(?s:.)*rename it to \*\.ply"),
        ("a.ply", b"\x1f\x8b\x08", r"compressed with gzip(?s:.)*unpack it first"),
    ],
)
def test_files_that_are_something_else(name: str, content: bytes, message: str) -> None:
    with pytest.raises(M3diError, match=message):
        check_kind(Path(name), content)


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.blend", b"\x1f\x8b"), ("a.gltf", b"glTF"), ("a.PLY", b"ply\n"), ("a.stl", b"solid x"), ("a.obj", b"# hi")],
)
def test_files_that_are_what_they_say(name: str, content: bytes) -> None:
    check_kind(Path(name), content)
