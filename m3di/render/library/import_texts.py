"""Takes out of mesh files what an importer must not or cannot read. Text and bytes; no Blender.

A `.obj` names files of materials, a `.gltf` or `.glb` names buffers and images: what is left of them here names none.
"""

from __future__ import annotations

import codecs
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m3di.errors import M3diError

_OBJ_KEPT = ("v", "vt", "vn", "f", "s")
_FAR = 100.0  # sizes of the mesh: beyond, 32-bit floats begin to lose what shows
_FREE_FORM = ("surf", "curv", "curv2")
_LOOKS = ("KHR_materials", "KHR_texture", "EXT_texture", "MSFT_texture")  # extensions that no shape needs
_GLB_JSON, _GLB_BINARY = 0x4E4F534A, 0x004E4942


def plain_obj(path: Path, content: bytes, *, keep_place: bool) -> bytes:
    """The text of a `.obj` with vertices, normals and faces only.

    Unless `keep_place`, a mesh that lies far from the origin, as surveyors' coordinates do, is moved near it:
    importers read coordinates as 32-bit floats.

    Raises:
        M3diError: A line is no line of an OBJ file; it is named.
    """
    lines: list[str] = []
    at: list[int] = []
    places: list[list[float]] = []
    faces: list[tuple[int, str, int]] = []
    free_form = False
    for number, line in _obj_lines(content):
        word, _, rest = line.partition(" ")
        free_form |= word in _FREE_FORM
        if word == "v":
            at.append(len(lines))
            places.append(_place(path, number, rest))
        elif word == "f":
            faces.append((number, rest, len(places)))
        if word in _OBJ_KEPT:
            lines.append(line)
    if free_form and not any(line.startswith("f ") for line in lines):
        raise M3diError(
            "the file holds free-form surfaces and no faces",
            where=str(path),
            got="curv or surf elements",
            expected="polygons: lines that begin with f",
            next_step="export it as a mesh (tessellated) from the program that made it",
        )
    if not lines:
        raise M3diError(
            "the file cannot be read as .obj",
            where=str(path),
            got="no line that begins with v or f",
            expected="vertices (v X Y Z) and faces (f A B C)",
            next_step="check that this is the file that you mean; else export it again",
        )
    for number, rest, n_before in faces:
        _check_face(path, number, rest, n_before, len(places))
    coordinates = np.array(places).reshape(-1, 3)
    coordinates = coordinates - _origin_near(coordinates, keep_place)
    for index, (x, y, z) in zip(at, coordinates.tolist(), strict=True):
        lines[index] = f"v {x!r} {y!r} {z!r}"
    return ("\n".join(lines) + "\n").encode("latin-1", errors="replace")


def _obj_lines(content: bytes) -> Iterator[tuple[int, str]]:
    """Logical lines, without comments: the number of the first line of each, and its words with single spaces."""
    pending, first = "", 0
    for number, line in enumerate(_decoded(content).splitlines(), start=1):
        first = first if pending else number
        pending += line
        if pending.endswith("\\"):
            pending = pending[:-1] + " "
            continue
        text = " ".join(pending.partition("#")[0].split())
        pending = ""
        if text:
            yield first, text


def _decoded(content: bytes) -> str:
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if content.startswith(mark):
            return content.decode(encoding, errors="replace").removeprefix("\ufeff")
    return content.decode("latin-1")  # numbers and keywords are ASCII, and any byte is a letter of a name


def _place(path: Path, number: int, text: str) -> list[float]:
    words = text.split()[:3]
    try:
        x, y, z = (float(word) for word in words)
    except ValueError:
        comma = any("," in word for word in words)
        raise M3diError(
            "coordinates are written with a decimal comma" if comma else "a vertex is not three numbers",
            where=f"{path}, line {number}",
            got=repr(f"v {text}"[:80]),
            expected="v X Y Z, with a decimal point",
            next_step="export it again with a decimal point (it often follows the language that a program is set to)"
            if comma
            else "export it again from the program that made it",
        ) from None
    if not np.isfinite([x, y, z]).all():
        raise M3diError(
            "the mesh has coordinates that are no finite numbers",
            where=f"{path}, line {number}",
            got=repr(f"v {text}"[:80]),
            expected="finite coordinates",
        )
    return [x, y, z]


def _check_face(path: Path, number: int, text: str, n_before: int, n_vertices: int) -> None:
    """Raise unless a face names vertices of the file: Blender drops such faces, and says nothing."""
    try:
        corners = [int(word.partition("/")[0]) for word in text.split()]
    except ValueError:
        corners = [0]
    if all(0 < corner <= n_vertices or -n_before <= corner < 0 for corner in corners):
        return
    raise M3diError(
        "a face names a vertex that the file does not have",
        where=f"{path}, line {number}",
        got=repr(f"f {text}"[:80]),
        expected=f"numbers from 1 to {n_vertices}, those of its vertices (or -1 for the last one before the line)",
        next_step="the file may be cut off, or its numbers begin at 0: export it again from the program that made it",
    )


def _origin_near(places: NDArray[np.float64], keep_place: bool) -> NDArray[np.float64]:
    """Where most of the vertices are, if that is far from the origin; else the origin."""
    if keep_place or not len(places) or not np.isfinite(places).all():
        return np.zeros(3)
    low, middle, high = np.percentile(places, [5, 50, 95], axis=0)
    is_far = float(np.abs(middle).max()) > _FAR * float((high - low).max())
    origin: NDArray[np.float64] = np.rint(middle) if is_far else np.zeros(3)
    return origin


def plain_glb(path: Path, content: bytes) -> bytes:
    """A `.glb` or `.gltf` as a `.glb` with nodes and meshes only, and no reference to another file.

    Raises:
        M3diError: It is damaged, needs another file, or an extension that Blender cannot read.
    """
    document, binary = _gltf_parts(path, content)
    for extension in document.get("extensionsRequired", []):
        if "meshopt" in str(extension):
            raise M3diError(
                "the file is compressed with meshopt, which Blender cannot read",
                where=str(path),
                got=f"the required extension {extension}",
                expected="plain buffers, or Draco compression",
                next_step="export it again without meshopt; or decompress it with another program, for example: "
                "npx @gltf-transform/cli copy IN.glb OUT.glb",
            )
    buffers = document.get("buffers", [])
    for number, buffer in enumerate(buffers):
        uri = buffer.get("uri")
        if uri is not None and not str(uri).startswith("data:"):
            raise M3diError(
                "the file keeps its mesh in another file, and m3di opens no file that a file names",
                where=f"{path}, buffers.{number}.uri",
                got=repr(str(uri)[:80]),
                expected="everything in the one file",
                next_step="export it as .glb (binary, all in one file)",
            )
    try:
        _strip(document)
    except (AttributeError, TypeError) as error:
        raise _damaged_gltf(path, f"{type(error).__name__}: {error}") from None
    return _as_glb(document, binary)


def _damaged_gltf(path: Path, got: str) -> M3diError:
    return M3diError(
        f"the file cannot be read as {path.suffix.lower()}",
        where=str(path),
        got=got,
        expected="glTF 2.0, whole",
        next_step="export it again as .glb from the program that made it",
    )


def _gltf_parts(path: Path, content: bytes) -> tuple[dict[str, Any], bytes | None]:
    text, binary = content, None
    try:
        if content[:4] == b"glTF":
            version, n_bytes = struct.unpack_from("<II", content, 4)
            if version != 2:
                raise _damaged_gltf(path, f"glTF version {version}")
            if n_bytes != len(content):
                raise _damaged_gltf(
                    path, f"{len(content):,} bytes, where its head says {n_bytes:,}: it is cut off, or added to"
                )
            chunks: dict[int, bytes] = {}
            at = 12
            while at + 8 <= len(content):
                size, kind = struct.unpack_from("<II", content, at)
                chunks.setdefault(kind, content[at + 8 : at + 8 + size])
                at += 8 + size + (-size) % 4
            text, binary = chunks[_GLB_JSON], chunks.get(_GLB_BINARY)
        document = json.loads(text.decode("utf-8-sig"))
        version = document["asset"]["version"]
    except json.JSONDecodeError as error:
        raise _damaged_gltf(path, f"no JSON at line {error.lineno}: it begins with {bytes(text[:20])!r}") from None
    except (ValueError, KeyError, TypeError, struct.error, RecursionError) as error:
        raise _damaged_gltf(path, f"{type(error).__name__}: {error}") from None
    if not str(version).startswith("2."):
        raise _damaged_gltf(path, f"glTF version {version}")
    for name, kind in (("buffers", dict), ("extensionsRequired", str)):
        entries = document.get(name, [])
        if not (isinstance(entries, list) and all(isinstance(each, kind) for each in entries)):
            raise _damaged_gltf(path, f"{name}: {str(entries)[:80]}")
    return document, binary


def _strip(document: dict[str, Any]) -> None:
    """Drop all that names files, or makes importers do what no shape needs."""
    for key in ("images", "textures", "samplers", "materials", "animations", "cameras", "extensions", "extras"):
        document.pop(key, None)
    for mesh in document.get("meshes", []):
        for primitive in mesh.get("primitives", []):
            primitive.pop("material", None)
            variants = primitive.get("extensions", {})
            for name in [each for each in variants if each != "KHR_draco_mesh_compression"]:
                del variants[name]
    for node in document.get("nodes", []):
        node.pop("camera", None)
        kept = {name: each for name, each in node.pop("extensions", {}).items() if name == "EXT_mesh_gpu_instancing"}
        if kept:
            node["extensions"] = kept
    for key in ("extensionsUsed", "extensionsRequired"):
        if key in document:
            document[key] = [each for each in document[key] if not str(each).startswith(_LOOKS)]


def _as_glb(document: dict[str, Any], binary: bytes | None) -> bytes:
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<II", len(text), _GLB_JSON) + text
    if binary is not None:
        binary += b"\0" * (-len(binary) % 4)
        chunks += struct.pack("<II", len(binary), _GLB_BINARY) + binary
    return b"glTF" + struct.pack("<II", 2, 12 + len(chunks)) + chunks
