"""What a mesh file is by its first bytes, where its name says something else."""

from __future__ import annotations

from pathlib import Path

from m3di.errors import M3diError

_OTHER_KINDS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "a pointer of Git LFS, which stands for the file"),
    (b"<!doctype", "a web page"),
    (b"<html", "a web page"),
    (b"glTF", "a .glb"),
    (b"ply\n", "a .ply"),
    (b"ply\r", "a .ply"),
    (b"BLENDER", "a .blend"),
    (b"PK\x03\x04", "a .zip"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"Kaydara FBX", "a .fbx"),
)


def check_kind(path: Path, content: bytes) -> None:
    """Raise where the first bytes of a mesh file say that it is something else than its name says.

    Raises:
        M3diError: So it is.
    """
    head = content.lstrip()[:40].lower()
    suffix = path.suffix.lower()
    for mark, what in _OTHER_KINDS:
        if not head.startswith(mark.lower()) or what == f"a {suffix}" or (suffix == ".gltf" and what == "a .glb"):
            continue
        if suffix == ".blend" and what == "compressed with gzip":  # as Blender did before version 3.0
            continue
        raise M3diError(
            f"the file cannot be read as {suffix}",
            where=str(path),
            got=what,
            expected=f"what a {suffix} holds",
            next_step="fetch the file itself: git lfs pull"
            if "LFS" in what
            else f"rename it to *{what[2:]}"
            if what.startswith("a .")
            else "unpack it first"
            if "gzip" in what
            else "download the file itself, not the page that shows it",
        )
