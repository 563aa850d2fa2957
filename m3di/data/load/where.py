"""Conditions on the columns of a table, in Python: `image.object_shape == "cow" and image.object_color < 0.5`."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow.dataset import Expression  # type: ignore[attr-defined]

from m3di.errors import UsageError, did_you_mean
from m3di.latents import Spec

Filter: TypeAlias = str | Expression | Callable[[pa.Table], Any]
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_COMPUTE: dict[type[ast.operator], Any] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.FloorDiv: np.floor_divide,
    ast.Mod: np.mod,
    ast.Pow: np.power,
}
_FUNCTIONS: dict[str, tuple[Any, int]] = {"abs": (np.abs, 1), "min": (np.minimum, 2), "max": (np.maximum, 2)}
_LONGEST_LIST = 12
_ASSIGNMENT = re.compile(r"(?<![=!<>])=(?!=)")


def mask_of(chosen: Filter, table: pa.Table, spec: Spec | None = None) -> NDArray[np.bool_]:
    """Return which rows of a table are chosen, bool [n].

    Args:
        chosen: A condition as text: comparisons (`==`, `!=`, `<`, `<=`, `>`, `>=`, `in [...]`, `not in [...]`, chained)
            of columns, numbers and strings, joined by `and`, `or`, `not` and parentheses. Numbers may be computed with
            + - * / // % **, abs, min and max. A column is written by its name; a categorical factor is compared
            with its index or its name. Or an Arrow expression, or a function from the table to a mask.
        table: The table.
        spec: Knows the names of categories.

    Raises:
        UsageError: It is not a condition, names an unknown column, or gave no mask.
    """
    if isinstance(chosen, str):
        return _Condition(chosen, table, spec).mask()
    if isinstance(chosen, Expression):
        return _mask_of_expression(chosen, table)
    if not callable(chosen):
        raise UsageError(
            "`filter` is no condition",
            got=f"{type(chosen).__name__} {chosen!r}",
            expected="a text, an Arrow expression, or a function from the table to a mask",
        )
    mask = np.asarray(chosen(table))
    if mask.shape != (table.num_rows,) or mask.dtype != bool:
        raise UsageError(
            "`filter` did not give a mask",
            got=f"{mask.dtype}, shape {list(mask.shape)}",
            expected=f"bool, shape [{table.num_rows}]",
        )
    return mask


def _mask_of_expression(chosen: Expression, table: pa.Table) -> NDArray[np.bool_]:
    # Numbers in memory of Arrow's own, see m3di.data.format.parquet.
    rows = table.append_column("row", pa.array(list(range(table.num_rows)), pa.int64()))
    mask = np.zeros(table.num_rows, dtype=bool)
    try:
        mask[rows.filter(chosen)["row"].to_numpy()] = True
    except (pa.ArrowException, TypeError) as error:
        raise UsageError(
            "the expression cannot be applied to the table",
            where=str(chosen),
            got=error,
            expected=f"a condition on some of the columns {', '.join(table.column_names)}",
        ) from error
    return mask


@dataclass(frozen=True)
class _Side:
    """One side of a comparison: a column, a calculation, or a constant."""

    text: str
    values: Any
    names: Sequence[str] = ()  # of the categories, for the column of a categorical factor

    @property
    def is_text(self) -> bool:
        return isinstance(self.values, str) or np.asarray(self.values).dtype.kind == "O"


class _Condition:
    """A condition as text, on a table.

    Args:
        text: The condition.
        table: The table.
        spec: Knows the names of categories.
    """

    def __init__(self, text: str, table: pa.Table, spec: Spec | None) -> None:
        self.text, self.table, self.spec = text, table, spec

    def mask(self) -> NDArray[np.bool_]:
        try:
            tree = ast.parse(self.text.strip(), mode="eval")
            with np.errstate(all="ignore"):  # a division by zero gives inf or nan, as in NumPy
                chosen = self._chosen(tree.body)
        except SyntaxError as error:
            raise self._invalid(error.msg, hint="`==` compares" if _ASSIGNMENT.search(self.text) else None) from None
        except (ValueError, RecursionError, MemoryError) as error:  # of the parser: zero bytes, far too deep
            raise self._invalid(error or type(error).__name__) from None
        return np.broadcast_to(chosen, self.table.num_rows).astype(bool)

    def _chosen(self, node: ast.expr) -> Any:
        if isinstance(node, ast.BoolOp):
            join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
            return join.reduce([np.broadcast_to(self._chosen(each), self.table.num_rows) for each in node.values])
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return np.logical_not(self._chosen(node.operand))
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            parts = [self._compared(*each) for each in zip(sides, node.ops, sides[1:], strict=False)]
            return np.logical_and.reduce([np.broadcast_to(part, self.table.num_rows) for part in parts])
        raise self._invalid(ast.unparse(node))

    def _compared(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Any:
        if isinstance(op, (ast.In, ast.NotIn)):
            if not isinstance(right, (ast.List, ast.Tuple, ast.Set)):
                raise self._invalid(ast.unparse(right), hint="after `in` comes a list, such as [1, 2]")
            one = self._side(left)
            found = np.zeros(self.table.num_rows, dtype=bool)
            for each in right.elts:
                found |= self._compare(one, ast.Eq(), self._side(each))
            return ~found if isinstance(op, ast.NotIn) else found
        if type(op) not in _COMPARE:
            raise self._invalid(ast.unparse(ast.Compare(left, [op], [right])))
        return self._compare(self._side(left), op, self._side(right))

    def _compare(self, one: _Side, op: ast.cmpop, other: _Side) -> Any:
        if one.names and isinstance(other.values, str):
            other = self._category(one, op, other)
        elif other.names and isinstance(one.values, str):
            one = self._category(other, op, one)
        if one.is_text != other.is_text:
            raise self._invalid(f"{one.text} and {other.text}: a text and a number", hint="only equal kinds compare")
        try:
            return _COMPARE[type(op)](one.values, other.values)
        except TypeError:  # an empty cell among texts
            raise self._invalid(f"{one.text} and {other.text}", hint="there are rows without a value") from None

    def _category(self, column: _Side, op: ast.cmpop, name: _Side) -> _Side:
        """Return the index of a category by its name, or the name itself if the column has names."""
        if name.values not in column.names:
            shown = ", ".join(column.names[:_LONGEST_LIST]) + (", ..." if len(column.names) > _LONGEST_LIST else "")
            raise UsageError(
                f"no value of {column.text} is called {name.values!r}",
                where=self.text,
                expected=shown,
                next_step=did_you_mean(name.values, column.names),
            )
        if not isinstance(op, (ast.Eq, ast.NotEq)):
            raise self._invalid(f"{column.text} beside {name.text}", hint="names have no order: compare with == or in")
        return name if column.is_text else _Side(name.text, column.names.index(name.values))

    def _side(self, node: ast.expr) -> _Side:
        text = ast.unparse(node)
        if isinstance(node, (ast.Attribute, ast.Name)):
            return self._column(text)
        if isinstance(node, ast.BinOp) and type(node.op) in _COMPUTE:
            parts = (self._numbers(node.left), self._numbers(node.right))
            return _Side(text, _COMPUTE[type(node.op)](*parts))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
            if isinstance(node.operand, ast.Constant):
                return _Side(text, self._constant(node))
            numbers = self._numbers(node.operand)
            return _Side(text, -numbers if isinstance(node.op, ast.USub) else numbers)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS:
            function, n = _FUNCTIONS[node.func.id]
            if len(node.args) != n or node.keywords:
                raise self._invalid(text, hint=f"{node.func.id} takes {n} value{'s' * (n > 1)}")
            return _Side(text, function(*map(self._numbers, node.args)))
        return _Side(text, self._constant(node))

    def _numbers(self, node: ast.expr) -> Any:
        """Convert to float64 for a calculation, so that no integer is cut or overflows."""
        side = self._side(node)
        if side.is_text:
            raise self._invalid(f"{side.text}: a text cannot be computed with")
        return np.asarray(side.values, dtype=np.float64)

    def _column(self, name: str) -> _Side:
        columns = self.table.column_names
        if name not in columns:
            raise UsageError(
                f"the table has no column {name!r}",
                where=self.text,
                expected=", ".join(columns),
                next_step=self._meant(name, columns),
            )
        factor = name.partition(".")[2]
        known = self.spec.factors if self.spec else {}
        factor = factor if factor in known else factor.removesuffix("_name")
        is_category = factor in known and known[factor].type == "categorical"
        return _Side(name, self.table[name].to_numpy(), tuple(known[factor].names) if is_category else ())

    def _meant(self, name: str, columns: Sequence[str]) -> str | None:
        """Suggest a column for a name that is none."""
        whole = [column for column in columns if column.partition(".")[2] == name]
        if whole:
            return f"write {' or '.join(whole)}"
        factors = self.spec.factors.values() if self.spec else ()
        if any(factor.type == "categorical" and name in factor.names for factor in factors):
            return f'write "{name}", in quotes: it is the name of a category'
        return did_you_mean(name, columns)

    def _constant(self, node: ast.expr) -> Any:
        try:
            value = ast.literal_eval(node)
        except ValueError:
            raise self._invalid(ast.unparse(node)) from None
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise self._invalid(ast.unparse(node), hint="numbers and texts compare")
        return float(value) if isinstance(value, int) and abs(value) >= 1 << 63 else value

    def _invalid(self, got: object, hint: str | None = None) -> UsageError:
        if hint is None and any(sign in self.text for sign in ("&", "|", "~")):
            hint = "write `and`, `or`, `not` for & | ~"
        return UsageError(
            "this is no condition on the columns of a table",
            where=self.text,
            got=got,
            expected='comparisons such as  image.object_shape == "cow" and abs(image.object_color - 0.5) < 0.1',
            next_step=hint,
        )
