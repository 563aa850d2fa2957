"""Whether two renders of one image show the same, where the bytes differ: a GPU adds numbers up in any order."""

from __future__ import annotations

import io
import math
import zipfile

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from m3di.render.choices import PASSES
from m3di.render.job import RenderedImage

LEVEL_TOLERANCE = 2
"""Levels by which a value of an image or pass may differ between two renders: of 255; of depth, millimetres."""
NORMAL_TOLERANCE = 0.01
"""The same of a component of a unit normal."""
PART_TOLERANCE = 0.001
"""Part of the values that may differ by more. On an H100, 0.003 % differed between runs, by one level (RESULTS.md)."""
HUE_TOLERANCE = 0.02
"""Turns by which the displayed hue may differ: two levels of a dull colour."""
PX_TOLERANCE = 2.0
"""Pixels by which what is noted of the object may differ, or by 1 %: of some, the centre is on its edge."""


def agree(one: RenderedImage, other: RenderedImage) -> bool:
    """Whether two renders of an image, with its passes and what is noted of it, show the same."""
    if one.passes.keys() != other.passes.keys() or one.annotation.keys() != other.annotation.keys():
        return False
    return (
        _near(_levels(one.png), _levels(other.png), LEVEL_TOLERANCE)
        and all(_pass_agrees(name, one.passes[name], other.passes[name]) for name in one.passes)
        and all(_noted_agrees(name, one.annotation[name], other.annotation[name]) for name in one.annotation)
    )


def _pass_agrees(name: str, one: bytes, other: bytes) -> bool:
    if not PASSES[name].endswith("npz"):
        return _near(_levels(one), _levels(other), LEVEL_TOLERANCE)
    try:
        return _near(_normals(one), _normals(other), NORMAL_TOLERANCE)
    except (KeyError, ValueError, OSError, zipfile.BadZipFile):  # no file that was ever written here
        return False


def _noted_agrees(name: str, one: float, other: float) -> bool:
    if name.endswith("_px"):
        return math.isclose(one, other, rel_tol=0.01, abs_tol=PX_TOLERANCE)
    if name.endswith("_hue"):
        apart = abs(one - other)
        return (one < 0.0) == (other < 0.0) and min(apart, 1.0 - apart) <= HUE_TOLERANCE
    return math.isclose(one, other, abs_tol=LEVEL_TOLERANCE / 255)


def _levels(png: bytes) -> NDArray[np.float64]:
    return np.asarray(Image.open(io.BytesIO(png))).astype(np.float64)


def _normals(npz: bytes) -> NDArray[np.float64]:
    with np.load(io.BytesIO(npz), allow_pickle=False) as arrays:
        return np.asarray(arrays["normal"], np.float64)


def _near(one: NDArray[np.float64], other: NDArray[np.float64], tolerance: float) -> bool:
    if one.shape != other.shape:
        return False
    differ = ~(np.abs(one - other) <= tolerance)  # so that NaN differs
    return float(np.mean(differ)) <= PART_TOLERANCE
