"""The functions that an expression may call."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

LIMITS = "its limits are the wrong way round: the least comes first"
_ARITHMETIC = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def wrapped(x: Any, low: Any = -np.pi, high: Any = np.pi) -> Any:
    """`x` on the circle that [low, high) is, as a number of it; NaN where that is none."""
    turned = low + np.mod(x - low, high - low)
    inside = np.where(turned < high, turned, low)  # the sum may round to `high`
    return np.where(np.less(low, high), inside, np.nan)


def _clipped(x: Any, low: Any, high: Any) -> Any:
    return np.where(np.less_equal(low, high), np.minimum(np.maximum(x, low), high), np.nan)


def swapped_limits(tree: ast.AST) -> ast.Call | None:
    """A call of `clip` or `wrap` whose limits are constants that leave no value between them."""
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and len(call.args) == 3:
            low, high = map(_constant, call.args[1:])
            if low is not None and high is not None:
                fits = {"clip": low <= high, "wrap": low < high}
                if not fits.get(call.func.id, True):
                    return call
    return None


def _constant(node: ast.AST) -> float | None:
    """A number that a part of an expression is, whatever the names stand for; None where it is not such a one."""
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        return float(node.value) if abs(node.value) < 1 << 63 else None
    if isinstance(node, ast.Name) and node.id == "pi":
        return float(np.pi)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        value = _constant(node.operand)
        return -value if value is not None and isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        one, other = _constant(node.left), _constant(node.right)
        if one is not None and other is not None and not (isinstance(node.op, ast.Div) and other == 0.0):
            return float(_ARITHMETIC[type(node.op)](one, other))
    return None


def _least(*values: Any) -> Any:
    return np.minimum.reduce(np.broadcast_arrays(*values))


def _greatest(*values: Any) -> Any:
    return np.maximum.reduce(np.broadcast_arrays(*values))


FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[int, ...]]] = {
    "abs": (np.abs, (1,)),
    "atan2": (np.arctan2, (2,)),
    "clip": (_clipped, (3,)),
    "cos": (np.cos, (1,)),
    "max": (_greatest, tuple(range(2, 17))),
    "min": (_least, tuple(range(2, 17))),
    "sin": (np.sin, (1,)),
    "wrap": (wrapped, (1, 3)),
}
"""Functions of an expression by name, each with the numbers of values that it takes."""
