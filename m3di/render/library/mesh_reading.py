"""What the worker process does that reads a mesh file: a reader for each format, within limits.

A `.blend` is not opened: objects are appended from it (see `blend_objects`). `.obj`, `.ply`, `.glb` and `.gltf` go
through Blender's own importers, which split concave polygons rightly, after what could lead them to other files has
been taken out (see `import_texts`). `.stl` has triangles only, and is read by trimesh from the bytes of the file.
"""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from m3di.errors import M3diError, UsageError
from m3di.render.library.file_mesh import FORMATS, MAX_BYTES, FileMesh, too_large, unreadable
from m3di.render.library.mesh_choice import listed
from m3di.render.library.mesh_kinds import check_kind

MAX_MEMORY_BYTES = 8 << 30
"""Beyond what Blender takes for itself: a million faces need a fraction of it, and a bomb does not get far."""
_CHUNK_BYTES = 1 << 20
_STL_TEXT_BYTES = 4096  # by then, a text has a first facet; binary files may begin with "solid" as well


def read_in_worker(path: Path, mesh_name: str | None, as_is: bool) -> FileMesh:
    """The mesh in a file; see `mesh_files.read_mesh`."""
    _limit_memory()
    with tempfile.TemporaryDirectory(prefix="m3di-") as folder, _unpacked(path, Path(folder)) as inner:
        if inner.suffix.lower() in (".obj", ".ply", ".stl") and mesh_name is not None:
            raise UsageError(
                f"{inner.suffix.lower()} files have no meshes to choose from",
                where="--mesh",
                got=mesh_name,
                expected="a .blend, .glb or .gltf file",
                next_step="leave --mesh out",
            )
        try:
            return replace(_read(inner, Path(folder), mesh_name, as_is), format=inner.suffix.lower())
        except MemoryError:
            raise unreadable(path, f"it needs more than {MAX_MEMORY_BYTES >> 30} GiB of memory") from None


def _read(path: Path, folder: Path, mesh_name: str | None, as_is: bool) -> FileMesh:
    with path.open("rb") as file:
        check_kind(path, file.read(_STL_TEXT_BYTES))
    match path.suffix.lower():
        case ".stl":
            return _read_stl(path)
        case ".blend":
            from m3di.render.blender.blend_objects import read_blend

            return read_blend(path, mesh_name, as_is=as_is)
        case ".ply":
            from m3di.render.blender.importers import read_ply

            return read_ply(path, as_is=as_is)
        case ".obj":
            from m3di.render.blender.importers import read_obj

            return read_obj(path, folder, as_is=as_is)
        case _:
            from m3di.render.blender.importers import read_gltf

            return read_gltf(path, folder, mesh_name, as_is=as_is)


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):  # where the system has no such limits
        import resource

        import bpy  # noqa: F401 - its own memory comes first
        import psutil

        limit = psutil.Process().memory_info().vms + MAX_MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


@contextlib.contextmanager
def _unpacked(path: Path, folder: Path) -> Iterator[Path]:
    """The mesh file itself: of a `.zip`, the one that is in it."""
    if path.suffix.lower() != ".zip":
        yield path
        return
    try:
        with zipfile.ZipFile(path) as archive:
            member = _member(path, archive)
            copy = folder / f"inner{PurePosixPath(member.filename).suffix.lower()}"
            with archive.open(member) as source, copy.open("wb") as target:
                n_bytes = 0
                # Counted while it is unpacked: what the directory of an archive says need not be true.
                while chunk := source.read(_CHUNK_BYTES):
                    n_bytes += len(chunk)
                    if n_bytes > MAX_BYTES:
                        raise too_large(f"{path}, {member.filename}", n_bytes)
                    target.write(chunk)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError, EOFError) as error:
        raise unreadable(path, error) from None
    try:
        yield copy
    except M3diError as error:
        error.details["where"] = error.details.get("where", "").replace(str(copy), f"{path}, {member.filename}")
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _member(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    inner_formats = [each for each in FORMATS if each != ".zip"]
    members = [each for each in archive.infolist() if not each.is_dir()]
    meshes = [
        each
        for each in members
        if PurePosixPath(each.filename).suffix.lower() in inner_formats
        and not each.filename.startswith("__MACOSX/")  # what macOS adds to its archives
    ]
    if len(meshes) != 1:
        names = [each.filename for each in meshes or members]
        raise M3diError(
            "the archive holds several mesh files" if meshes else "the archive holds no mesh file",
            where=str(path),
            got=listed(names) or "no file",
            expected=f"one file out of {', '.join(inner_formats)}",
            next_step="unpack it, and import the file that you mean",
        )
    return meshes[0]


def _read_stl(path: Path) -> FileMesh:
    import trimesh

    content = path.read_bytes()
    is_text = content.lstrip()[:5].lower() == b"solid" and b"facet" in content[:_STL_TEXT_BYTES].lower()
    if is_text:
        _check_text_stl(path, content)
    else:
        _check_binary_stl(path, content)
    try:
        scene = trimesh.load_scene(io.BytesIO(content), file_type="stl", process=False, skip_materials=True)
        meshes = [each for each in scene.dump() if isinstance(each, trimesh.Trimesh)]
    except Exception as error:  # noqa: BLE001 - a damaged file makes trimesh raise nearly anything
        raise unreadable(path, f"{type(error).__name__}: {error}") from None
    first = np.cumsum([0, *(len(each.vertices) for each in meshes)])
    faces = [np.asarray(each.faces, dtype=np.int64) + start for each, start in zip(meshes, first, strict=False)]
    corners = np.concatenate([np.zeros((0, 3), dtype=np.int64), *faces])
    vertices = np.concatenate([np.zeros((0, 3)), *(np.asarray(each.vertices, dtype=np.float64) for each in meshes)])
    return FileMesh(vertices, corners.ravel(), np.full(len(corners), 3), single_precision=not is_text)


def _check_text_stl(path: Path, content: bytes) -> None:
    """Raise where trimesh would read no triangle, or fewer than there are, and say nothing."""
    text = content.lower()
    comma = re.search(rb"^\s*vertex[^\n]*\d,\d[^\n]*", text, re.MULTILINE)
    if comma is not None:
        raise unreadable(path, f"coordinates with a decimal comma: {comma[0].decode('latin-1')}")
    if b"endsolid" not in text[-_STL_TEXT_BYTES:]:
        raise unreadable(path, "it does not end with endsolid: it is cut off")


def _check_binary_stl(path: Path, content: bytes) -> None:
    head = 80 + 4
    n_faces = int.from_bytes(content[80:head], "little")
    n_bytes = head + 50 * n_faces
    if len(content) < n_bytes:
        raise unreadable(path, f"{len(content):,} bytes, where {n_bytes:,} are needed for its {n_faces:,} triangles")
