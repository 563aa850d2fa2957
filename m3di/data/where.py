"""Conditions on the columns of a table, written as Python comparisons: `image.object_shape == 3 and key < "9"`."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow.dataset import Expression  # type: ignore[attr-defined]

from m3di.errors import UsageError, did_you_mean

Filter: TypeAlias = str | Expression | Callable[[pa.Table], Any]
_COMPARE: dict[type[ast.cmpop], str] = {
    ast.Eq: "__eq__",
    ast.NotEq: "__ne__",
    ast.Lt: "__lt__",
    ast.LtE: "__le__",
    ast.Gt: "__gt__",
    ast.GtE: "__ge__",
}


def parse_where(text: str, columns: Sequence[str]) -> Expression:
    """A condition as an Arrow expression.

    Args:
        text: Comparisons (`==`, `!=`, `<`, `<=`, `>`, `>=`, `in [...]`, `not in [...]`, chained) of columns with
            numbers and strings, joined by `and`, `or`, `not` and parentheses. A column is written as it is called.
        columns: The columns there are.

    Raises:
        UsageError: It is no such condition, or there is no such column.
    """
    try:
        return _condition(ast.parse(text, mode="eval").body, text, columns)
    except SyntaxError as error:
        raise _invalid(text, error.msg) from None


def _condition(node: ast.expr, text: str, columns: Sequence[str]) -> Expression:
    if isinstance(node, ast.BoolOp):
        first, *rest = [_condition(value, text, columns) for value in node.values]
        for each in rest:
            first = first & each if isinstance(node.op, ast.And) else first | each
        return first
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return ~_condition(node.operand, text, columns)
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        parts = [
            _comparison(left, op, right, text, columns)
            for left, op, right in zip(sides, node.ops, sides[1:], strict=False)
        ]
        whole = parts[0]
        for part in parts[1:]:
            whole = whole & part
        return whole
    raise _invalid(text, ast.unparse(node))


def _comparison(left: ast.expr, op: ast.cmpop, right: ast.expr, text: str, columns: Sequence[str]) -> Expression:
    if isinstance(op, (ast.In, ast.NotIn)):
        if not isinstance(right, (ast.List, ast.Tuple)):
            raise _invalid(text, ast.unparse(right))
        found = _value(left, text, columns).isin([_constant(each, text) for each in right.elts])
        return ~found if isinstance(op, ast.NotIn) else found
    if type(op) not in _COMPARE:
        raise _invalid(text, ast.unparse(left))
    compared: Expression = getattr(_value(left, text, columns), _COMPARE[type(op)])(_value(right, text, columns))
    return compared


def _value(node: ast.expr, text: str, columns: Sequence[str]) -> Expression:
    if isinstance(node, (ast.Attribute, ast.Name)):
        name = ast.unparse(node)
        if name not in columns:
            raise UsageError(
                f"the table has no column {name!r}",
                where=text,
                expected=", ".join(columns),
                next_step=did_you_mean(name, columns),
            )
        return pc.field(name)
    return pc.scalar(_constant(node, text))


def _constant(node: ast.expr, text: str) -> Any:
    try:
        value = ast.literal_eval(node)
    except ValueError:
        raise _invalid(text, ast.unparse(node)) from None
    if not isinstance(value, (int, float, str)):
        raise _invalid(text, ast.unparse(node))
    return value


def _invalid(text: str, got: object) -> UsageError:
    return UsageError(
        "this is no condition on the columns of a table",
        where=text,
        got=got,
        expected="comparisons such as  image.object_shape == 3 and image.object_color < 0.5",
    )


def mask_of(chosen: Filter, table: pa.Table) -> NDArray[np.bool_]:
    """Which rows of a table are chosen, bool [n].

    Raises:
        UsageError: The condition is none, or the function gave no mask.
    """
    if isinstance(chosen, (str, Expression)):
        expression = parse_where(chosen, table.column_names) if isinstance(chosen, str) else chosen
        rows = table.append_column("row", pa.array(np.arange(table.num_rows)))
        mask = np.zeros(table.num_rows, dtype=bool)
        mask[rows.filter(expression)["row"].to_numpy()] = True
        return mask
    mask = np.asarray(chosen(table))
    if mask.shape != (table.num_rows,) or mask.dtype != bool:
        raise UsageError(
            "`filter` did not give a mask",
            got=f"{mask.dtype}, shape {list(mask.shape)}",
            expected=f"bool, shape [{table.num_rows}]",
        )
    return mask
