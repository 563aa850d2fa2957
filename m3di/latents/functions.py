"""The functions that an expression may call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def wrapped(x: Any, low: Any = -np.pi, high: Any = np.pi) -> Any:
    """`x` on the circle that [low, high) is, as a number of it."""
    turned = low + np.mod(x - low, high - low)
    return np.where(turned < high, turned, low)  # the sum may round to `high`


def _least(*values: Any) -> Any:
    return np.minimum.reduce(np.broadcast_arrays(*values))


def _greatest(*values: Any) -> Any:
    return np.maximum.reduce(np.broadcast_arrays(*values))


FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[int, ...]]] = {
    "abs": (np.abs, (1,)),
    "atan2": (np.arctan2, (2,)),
    "clip": (lambda x, low, high: np.minimum(np.maximum(x, low), high), (3,)),
    "cos": (np.cos, (1,)),
    "max": (_greatest, tuple(range(2, 17))),
    "min": (_least, tuple(range(2, 17))),
    "sin": (np.sin, (1,)),
    "wrap": (wrapped, (1, 3)),
}
"""Functions of an expression by name, each with the numbers of values that it takes."""
