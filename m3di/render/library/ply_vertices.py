"""Vertices of a `.ply` as 64-bit floats: Blender reads 32-bit floats, which far from the origin lose decimals."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

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
