"""Labels in a condition, beside other labels and beside numbers: by their names, whatever the order of these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m3di.errors import UsageError, did_you_mean
from m3di.latents.problems import listed

LONGEST_LIST = 12
"""Names that a message lists."""


@dataclass(frozen=True)
class Labels:
    """A column of labels.

    Attributes:
        told: How it is written.
        names: Of the labels.
        values: Their numbers [n], or their names.
        is_text: Whether the values are names.
    """

    told: str
    names: Sequence[str]
    values: NDArray[Any]
    is_text: bool

    def value_of(self, name: str, where: str) -> str | int:
        """The value of the label of a name.

        Raises:
            UsageError: There is none.
        """
        if name not in self.names:
            shown = ", ".join(self.names[:LONGEST_LIST]) + (", ..." if len(self.names) > LONGEST_LIST else "")
            raise UsageError(
                f"no value of {self.told} is called {name!r}",
                where=where,
                got=repr(name),
                expected=shown,
                next_step=did_you_mean(name, self.names),
            )
        return name if self.is_text else self.names.index(name)

    def are(self, name: str) -> NDArray[np.bool_]:
        """Where the label is the one of a name, bool [n]."""
        return np.asarray(self.values == self.value_of(name, ""), dtype=bool)


def equal_labels(one: Labels, other: Labels, where: str) -> NDArray[np.bool_]:
    """Where two columns have labels of one name, bool [n].

    Raises:
        UsageError: No label is one of both.
    """
    if tuple(one.names) == tuple(other.names) and not (one.is_text or other.is_text):
        return np.asarray(one.values == other.values, dtype=bool)
    shared = [name for name in one.names if name in other.names]
    if not shared:
        raise UsageError(
            f"no label of {one.told} is one of {other.told}: labels compare by their names",
            where=where,
            got=f"{other.told}: {listed(other.names)}",
            expected=f"labels of {one.told}: {listed(one.names)}",
            next_step=by_number(one, other, "=="),
        )
    return np.logical_or.reduce([one.are(name) & other.are(name) for name in shared])


def no_order(one: Labels, other: Labels, sign: str, where: str) -> UsageError:
    """The error of two columns of labels that are compared as if they had an order."""
    return UsageError(
        "labels have no order",
        where=where,
        got=f"{one.told} {sign} {other.told}",
        expected="== or != between labels",
        next_step=by_number(one, other, sign),
    )


def by_number(one: Labels, other: Labels, sign: str) -> str:
    """How the numbers of labels are compared."""
    if one.is_text or other.is_text:
        return "compare the columns with the numbers, without _name"
    return f"for their numbers, write {one.told} - {other.told} {sign} 0"


def check_number(labels: Labels, number: object, where: str) -> None:
    """Refuse a number that is the name of a label with another number: either could be meant.

    Args:
        labels: The labels; no names where it is another column.
        number: What they are compared with; anything but one number is left alone.
        where: The condition.

    Raises:
        UsageError: It is.
    """
    if labels.is_text or not isinstance(number, (int, float)):
        return
    index = namesake(labels.names, number)
    if index is not None:
        raise UsageError(
            f"{number:g} is the name of a label of {labels.told} whose number is {index}: which is meant?",
            where=where,
            got=f"{labels.told} beside {number:g}",
            expected=listed(f"{each}: {label!r}" for each, label in enumerate(labels.names)),
            next_step=f'for the name, write "{labels.names[index]}" in quotes; for the number, {labels.told} + 0',
        )


def namesake(names: Sequence[str], number: float) -> int | None:
    """The number of the label whose name is another number; None where there is no such label."""
    for index, name in enumerate(names):
        try:
            is_name = float(name) == number
        except ValueError:
            continue
        if is_name and index != number:
            return index
    return None
