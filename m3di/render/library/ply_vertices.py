"""Vertices of a `.ply` as 64-bit floats: Blender reads 32-bit floats, which far from the origin lose decimals."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from m3di.errors import M3diError

_TYPES = dict(
    zip(
        [
            "char",
            "uchar",
            "short",
            "ushort",
            "int",
            "uint",
            "float",
            "double",
            "int8",
            "uint8",
            "int16",
            "uint16",
            "int32",
            "uint32",
            "float32",
            "float64",
        ],
        ["i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8", "i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8"],
        strict=True,
    )
)


def ply_vertices(content: bytes) -> NDArray[np.float64] | None:
    """Vertices, [V, 3]; None where the file has only 32-bit floats, is cut off, or begins with other elements."""
    match = re.match(rb"ply\r?\n(.*?)end_header\r?\n", content, re.DOTALL)
    if match is None:
        return None
    lines = [line.split() for line in match[1].decode("latin-1").splitlines()]
    lines = [words for words in lines if words and words[0] in ("format", "element", "property")]
    if len(lines) < 2 or lines[1][:2] != ["element", "vertex"]:
        return None
    ends = [number for number, words in enumerate(lines) if words[0] == "element"][1:]
    properties = {words[-1]: _TYPES.get(words[1]) for words in lines[2 : ends[0] if ends else None]}
    is_text = lines[0][1] == "ascii"
    if None in properties.values() or not {"x", "y", "z"} <= properties.keys():
        return None
    if not is_text and properties["x"] != "f8":
        return None
    n, body = int(lines[1][2]), content[match.end() :]
    try:
        if is_text:
            rows = np.array([line.split() for line in body.split(b"\n", n)[:n]], dtype=np.float64)
            if rows.shape != (n, len(properties)):
                return None
            return rows[:, [[*properties].index(axis) for axis in "xyz"]]
        order = "<" if "little" in lines[0][1] else ">"
        dtype = np.dtype([(name, order + str(kind)) for name, kind in properties.items()])
        found = np.frombuffer(body, dtype, count=n)
    except (ValueError, IndexError):
        return None  # Blender has read what there is
    return np.stack([found[axis].astype(np.float64) for axis in "xyz"], axis=1)


def n_ply_faces(content: bytes) -> int:
    """How many faces the head of a file promises; 0 where it has other elements for them."""
    match = re.search(rb"^element face (\d+)\s*$", content.partition(b"end_header")[0], re.MULTILINE)
    return int(match[1]) if match else 0


def check_decimal_points(path: Path, content: bytes) -> None:
    """Raise where the first vertex of a text has decimal commas: Blender reads another number, and says nothing.

    Raises:
        M3diError: It has.
    """
    head, _, body = content.partition(b"end_header")
    line = body.lstrip().partition(b"\n")[0]
    if b"format ascii" in head and re.search(rb"\d,\d", line):
        raise M3diError(
            "coordinates are written with a decimal comma",
            where=str(path),
            got=repr(line[:80].decode("latin-1")),
            expected="numbers with a decimal point",
            next_step="export it again with a decimal point (it often follows the language that a program is set to)",
        )
