"""Conditions on the columns of a table: `image.object_shape == "cow" and image.object_color < 0.5`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow.dataset import Expression  # type: ignore[attr-defined]

from m3di.errors import UsageError, did_you_mean
from m3di.latents import Spec
from m3di.latents.expressions import Side, Wording, parsed

Filter: TypeAlias = str | Expression | Callable[[pa.Table], Any]
_WORDING = Wording(
    "this is no condition on the columns of a table",
    'comparisons such as  image.object_shape == "cow" and abs(image.object_color - 0.5) < 0.1',
    longest=10_000_000,  # lists of keys
)


def mask_of(chosen: Filter, table: pa.Table, spec: Spec | None = None) -> NDArray[np.bool_]:
    """Return which rows of a table are chosen, bool [n].

    Args:
        chosen: A condition as text, in the grammar of `m3di.latents.expressions`. A column is written by its name; a
            categorical factor is compared with its index or its name. Or an Arrow expression, or a function from the
            table to a mask.
        table: The table.
        spec: Knows the names of categories.

    Raises:
        UsageError: It is not a condition, names an unknown column, or gave no mask.
    """
    if isinstance(chosen, str):
        columns = _Columns(chosen, table, spec)
        return parsed(chosen, _WORDING).condition(columns.column, table.num_rows)
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


def selection_of(split: str, rows: NDArray[np.int64] | None) -> str:
    """Name a choice of samples: equal for equal ones.

    Args:
        split: Their split.
        rows: Those of its rows that a filter lets through, [n]; None without a filter.
    """
    if rows is None:
        return split
    return f"{split} {hashlib.sha256(rows.astype('<i8').tobytes()).hexdigest()}"


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


class _Columns:
    """The columns of a table by the names that a condition gives them."""

    def __init__(self, text: str, table: pa.Table, spec: Spec | None) -> None:
        self.text, self.table, self.spec = text, table, spec

    def column(self, name: str) -> Side:
        """The values of a column."""
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
        return Side(name, self.table[name].to_numpy(), tuple(known[factor].names) if is_category else ())

    def _meant(self, name: str, columns: Sequence[str]) -> str | None:
        """Suggest a column for a name that is none."""
        whole = [column for column in columns if column.partition(".")[2] == name]
        if whole:
            return f"write {' or '.join(whole)}"
        factors = self.spec.factors.values() if self.spec else ()
        if any(factor.type == "categorical" and name in factor.names for factor in factors):
            return f'write "{name}", in quotes: it is the name of a category'
        return did_you_mean(name, columns)
