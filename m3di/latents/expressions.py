"""Expressions of specs, `--where` and `filter`: read by Python's parser, computed here over arrays, never run.

One grammar for all: numbers, `pi`, names, texts in quotes; `+ - * / // % **`; the functions of `FUNCTIONS`; and, in
conditions, comparisons (chained, `in`, `not in`), `and`, `or`, `not`. `NAME@-K` is a name K frames earlier.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from m3di.errors import UsageError, near_match
from m3di.latents.functions import FUNCTIONS, LIMITS, swapped_limits
from m3di.latents.label_columns import Labels, check_number, equal_labels, no_order

MAX_LEVELS = 100
"""Levels of operators and parentheses in each other."""

CONSTANTS = {"pi": np.pi}

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_SIGNS = {ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
_COMPUTE: dict[type[ast.operator], Any] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.FloorDiv: np.floor_divide,
    ast.Mod: np.mod,
    ast.Pow: np.power,
}
_ASSIGNMENT = re.compile(r"(?<![=!<>])=(?!=)")
_EARLIER = re.compile(r"(?P<text>'[^']*'|\"[^\"]*\")|(?<=[A-Za-z0-9_])@-(?P<frames>[1-9][0-9]{0,5})(?![0-9.])")


class UndefinedError(ValueError):
    """A part of an expression has no value for a sample.

    Args:
        part: The part, as text.
        row: Number of the sample among those computed; None where it is so for all.
        expected: What it should be.
    """

    def __init__(self, part: str, row: int | None, expected: str = "a finite number") -> None:
        super().__init__(f"{part} has no value: expected {expected}")
        self.part, self.row, self.expected = part, row, expected


@dataclass(frozen=True)
class Side:
    """A value within an expression: a column, a calculation, or a constant.

    Attributes:
        text: How it is written, unless it is a calculation.
        values: A number, a text, or an array of them.
        names: Of the labels, where the values are those of a categorical factor.
    """

    text: str
    values: Any
    names: Sequence[str] = ()

    node: ast.AST | None = None  # of a calculation, whose text is made where a message shows it

    @property
    def told(self) -> str:
        """How it is written."""
        return self.text if self.node is None else written(self.node)

    @property
    def labels(self) -> Labels:
        """Itself, where it is a column of labels."""
        return Labels(self.told, self.names, self.values, self.is_text)

    @property
    def is_text(self) -> bool:
        """Whether it is no number."""
        return isinstance(self.values, str) or np.asarray(self.values).dtype.kind == "O"


Lookup: TypeAlias = Callable[[str], Side]


@dataclass(frozen=True)
class Wording:
    """What a text should be, as messages say it.

    Attributes:
        what: What is wrong with one that it is not.
        expected: What would be right.
        longest: Characters it may have.
    """

    what: str
    expected: str
    longest: int = 2000


NUMBER = Wording("this is no expression", "numbers, factors, + - * / and functions, such as  -sin(spotlight_pos_rad)")
CONDITION = Wording("this is no condition", "comparisons, such as  abs(object_xpos - object_ypos) < 0.5")


@dataclass(frozen=True)
class Expression:
    """A text that was parsed.

    Attributes:
        text: The text.
        tree: What the parser made of it.
        names: The names in it, in their order, each once.
        wording: What it should be.
    """

    text: str
    tree: ast.expr
    names: tuple[str, ...]
    wording: Wording

    def condition(self, lookup: Lookup, n: int, *, strict: bool = False) -> NDArray[np.bool_]:
        """Where it holds, bool [n].

        Args:
            lookup: Gives the values [n] of a name, or raises UsageError.
            n: Number of rows.
            strict: A part without a finite value is an error, not NaN or infinity as in NumPy.

        Raises:
            UsageError: It is no condition, names what there is not, or compares a text with a number.
            UndefinedError: A part has no value.
        """
        with np.errstate(all="ignore"):
            chosen = _Computation(self, lookup, n, strict).chosen(self.tree)
        return np.broadcast_to(chosen, n).astype(bool)

    def number(self, lookup: Lookup, n: int, *, strict: bool = False) -> NDArray[np.float64]:
        """Its values, float64 [n]; see `condition`."""
        with np.errstate(all="ignore"):
            values = _Computation(self, lookup, n, strict).numbers(self.tree)
        return np.broadcast_to(values, n)


@lru_cache(maxsize=4096)
def parsed(text: str, wording: Wording) -> Expression:
    """Parse a text.

    Raises:
        UsageError: It is no expression, too long, or too deep.
    """
    if len(text) > wording.longest:
        raise _invalid(text, wording, f"{len(text)} characters", f"at most {wording.longest} characters")
    spelt, n_earlier = _with_brackets(text.strip())
    try:
        tree = ast.parse(spelt, mode="eval").body
    except SyntaxError as error:
        raise _invalid(text, wording, error.msg, "`==` compares" if _ASSIGNMENT.search(text) else None) from None
    except (ValueError, RecursionError, MemoryError) as error:  # of the parser: zero bytes, far too deep
        raise _invalid(text, wording, error or type(error).__name__) from None
    if _levels(tree) > MAX_LEVELS:
        raise _invalid(text, wording, "too many levels", f"at most {MAX_LEVELS} levels of operators and parentheses")
    if sum(isinstance(each, ast.Subscript) for each in ast.walk(tree)) > n_earlier:
        raise _invalid(text, wording, "[ ] behind a name", "NAME@-1 is a name one frame earlier")
    if (call := swapped_limits(tree)) is not None:
        raise _invalid(text, wording, written(call), LIMITS)
    return Expression(text, tree, tuple(dict.fromkeys(_names(tree))), wording)


def _with_brackets(text: str) -> tuple[str, int]:
    """`NAME@-1` as `NAME[-1]`, which binds as closely as a name; and how many there are."""
    count = 0

    def spelt(found: re.Match[str]) -> str:
        nonlocal count
        if found["text"] is not None:
            return found["text"]
        count += 1
        return f"[-{found['frames']}]"

    return _EARLIER.sub(spelt, text), count


def _levels(tree: ast.AST) -> int:
    """How deep a tree is; without recursion, since it may be deeper than Python's stack."""
    level, found = [tree], 0
    while level:
        found += 1
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    return found


def _names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, (ast.Attribute, ast.Name, ast.Subscript)):
        name = _name(node)
        if name not in CONSTANTS:
            yield name
        return
    for child in ast.iter_child_nodes(node):
        if not (isinstance(node, ast.Call) and child is node.func):
            yield from _names(child)


def _name(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else written(node)


@lru_cache(maxsize=4096)
def written(node: ast.AST) -> str:
    """A part of an expression as its user writes it. Nodes are kept with their expression, so each is told once."""
    return re.sub(r"(?<=\w)\[-(\d+)\]", r"@-\1", ast.unparse(node))


def _invalid(text: str, wording: Wording, got: object, hint: str | None = None) -> UsageError:
    if hint is None and any(sign in text for sign in ("&", "|", "~")):
        hint = "write `and`, `or`, `not` for & | ~"
    shown = text if len(text) <= 200 else f"{text[:200]}..."
    return UsageError(wording.what, where=shown, got=got, expected=wording.expected, next_step=hint)


class _Computation:
    """An expression over the values of its names."""

    def __init__(self, expression: Expression, lookup: Lookup, n: int, strict: bool) -> None:
        self.text, self.wording, self.lookup, self.n = expression.text, expression.wording, lookup, n
        self.strict = strict

    def chosen(self, node: ast.expr) -> Any:
        """Where a condition holds."""
        if isinstance(node, ast.BoolOp):
            join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
            return join.reduce([np.broadcast_to(self.chosen(each), self.n) for each in node.values])
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return np.logical_not(self.chosen(node.operand))
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            parts = [self._compared(*each) for each in zip(sides, node.ops, sides[1:], strict=False)]
            return np.logical_and.reduce([np.broadcast_to(part, self.n) for part in parts])
        raise self._invalid(written(node))

    def numbers(self, node: ast.expr) -> Any:
        """float64 for a calculation, so that no integer is cut or overflows."""
        side = self._side(node)
        if side.is_text:
            raise self._invalid(f"{side.told}: a text cannot be computed with")
        return np.asarray(side.values, dtype=np.float64)

    def _compared(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Any:
        if isinstance(op, (ast.In, ast.NotIn)):
            if not isinstance(right, (ast.List, ast.Tuple, ast.Set)):
                raise self._invalid(written(right), "after `in` comes a list, such as [1, 2]")
            one = self._side(left)
            found = np.zeros(self.n, dtype=bool)
            for each in right.elts:
                found |= self._compare(one, ast.Eq(), self._side(each))
            return ~found if isinstance(op, ast.NotIn) else found
        if type(op) not in _COMPARE:
            raise self._invalid(written(ast.Compare(left, [op], [right])))
        return self._compare(self._side(left), op, self._side(right))

    def _compare(self, one: Side, op: ast.cmpop, other: Side) -> Any:
        if one.names and other.names:
            return self._labels(one, op, other)
        check_number(one.labels, other.values, self.text)
        check_number(other.labels, one.values, self.text)
        if one.names and isinstance(other.values, str):
            other = self._category(one, op, other)
        elif other.names and isinstance(one.values, str):
            one = self._category(other, op, one)
        if one.is_text != other.is_text:
            raise self._invalid(f"{one.told} and {other.told}: a text and a number", "only equal kinds compare")
        try:
            return _COMPARE[type(op)](one.values, other.values)
        except TypeError:  # an empty cell among texts
            raise self._invalid(f"{one.told} and {other.told}", "there are rows without a value") from None

    def _labels(self, one: Side, op: ast.cmpop, other: Side) -> Any:
        """Two columns of labels are equal where their names are."""
        if not isinstance(op, (ast.Eq, ast.NotEq)):
            raise no_order(one.labels, other.labels, _SIGNS[type(op)], self.text)
        equal = equal_labels(one.labels, other.labels, self.text)
        return equal if isinstance(op, ast.Eq) else ~equal

    def _category(self, column: Side, op: ast.cmpop, name: Side) -> Side:
        """The index of a label by its name, or the name itself where the column has names."""
        value = column.labels.value_of(name.values, self.text)
        if not isinstance(op, (ast.Eq, ast.NotEq)):
            raise self._invalid(f"{column.told} beside {name.told}", "names have no order: compare with == or in")
        return Side(name.text, value)

    def _side(self, node: ast.expr) -> Side:
        if isinstance(node, (ast.Attribute, ast.Name, ast.Subscript)):
            name = _name(node)
            return Side(name, CONSTANTS[name]) if name in CONSTANTS else self.lookup(name)
        if isinstance(node, ast.BinOp) and type(node.op) in _COMPUTE:
            parts = (self.numbers(node.left), self.numbers(node.right))
            return self._result(node, _COMPUTE[type(node.op)](*parts))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
            if isinstance(node.operand, ast.Constant):
                return Side("", self._constant(node), (), node)
            numbers = self.numbers(node.operand)
            return Side("", -numbers if isinstance(node.op, ast.USub) else numbers, (), node)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS:
            function, counts = FUNCTIONS[node.func.id]
            if len(node.args) not in counts or node.keywords:
                takes = "2 or more" if len(counts) > 2 else " or ".join(map(str, counts))
                plural = "s" * (counts != (1,))
                raise self._invalid(written(node), f"{node.func.id} takes {takes} value{plural}")
            return self._result(node, function(*map(self.numbers, node.args)))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            near = near_match(node.func.id, FUNCTIONS)
            hint = f"did you mean {near!r}?" if near else f"the functions are {', '.join(FUNCTIONS)}"
            raise self._invalid(written(node), hint)
        return Side("", self._constant(node), (), node)

    def _result(self, node: ast.expr, values: Any) -> Side:
        if self.strict and not np.isfinite(values).all():
            row = None if np.ndim(values) == 0 else int(np.flatnonzero(~np.isfinite(values))[0])
            raise UndefinedError(written(node), row)
        return Side("", values, (), node)

    def _constant(self, node: ast.expr) -> Any:
        try:
            value = ast.literal_eval(node)
        except ValueError:
            raise self._invalid(written(node)) from None
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise self._invalid(written(node), "numbers and texts compare")
        if isinstance(value, str) or abs(value) < 1 << 63:
            return value
        try:
            return float(value)
        except OverflowError:
            return np.inf if value > 0 else -np.inf

    def _invalid(self, got: object, hint: str | None = None) -> UsageError:
        return _invalid(self.text, self.wording, got, hint)
