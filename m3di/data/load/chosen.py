"""Check what a caller chooses of a dataset: samples by index, a split, views, factors."""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m3di.errors import UsageError, did_you_mean

ALIASES = {"validation": "val"}  # what Hugging Face calls it


def positions(index: Any, n: int) -> int | list[int]:
    """Turn an index into an integer or a list of integers, without comparing them with `n`.

    Args:
        index: An integer, also as NumPy scalar or 0-d tensor; a slice; a list, array or tensor of integers; or a
            mask [n].
        n: Samples that there are.

    Raises:
        TypeError: It is something else.
        IndexError: A mask of another length.
    """
    if isinstance(index, slice):
        return list(range(n)[index])
    if isinstance(index, (str, bytes, dict, set)) or index is None:
        raise _no_index(index)
    if hasattr(index, "detach"):  # a tensor, on any device
        index = index.detach().cpu().numpy()
    if np.ndim(index) == 0 and not isinstance(index, Sequence):
        return _integer(index)
    return _integers(index, n)


def _integer(index: Any) -> int:
    if isinstance(index, bool) or np.asarray(index).dtype.kind == "b":
        raise _no_index(index)
    try:
        return operator.index(index)
    except TypeError:
        raise _no_index(index) from None


def _integers(index: Any, n: int) -> list[int]:
    if isinstance(index, Sequence):
        if set(map(type, index)) <= {int}:
            return list(index)
        index = [each.item() if hasattr(each, "item") else each for each in index]
        kinds = set(map(type, index))
        if bool in kinds and kinds != {bool}:
            raise _no_index(index)
    array: NDArray[Any] = np.asarray(index)
    if array.size == 0 and array.dtype.kind != "b":
        return []
    if array.ndim != 1 or array.dtype.kind not in "biu":
        raise _no_index(index)
    if array.dtype.kind == "b":
        if len(array) != n:
            raise IndexError(f"a mask of {len(array)} samples; the dataset has {n}")
        return np.flatnonzero(array).tolist()
    return array.tolist()


def _no_index(index: Any) -> TypeError:
    message = "samples are chosen by an integer, a slice, a list of integers or a mask"
    got = repr(index) if len(repr(index)) < 60 else f"{repr(index)[:56]} ..."
    hint = f"; dataset[0][{index!r}] is that part of a sample, dataset.table[NAME] a column" * isinstance(index, str)
    return TypeError(f"{message}; got {type(index).__name__} {got}{hint}")


def split_called(split: str, known: Collection[str], where: str) -> str:
    """Return the name of a split; `validation` is `val`.

    Raises:
        UsageError: There is no such split.
    """
    name = split if not isinstance(split, str) or split in known else ALIASES.get(split, split)
    check_known("split", [name], known, where)
    return name


def names_of(option: str, chosen: str | Sequence[str]) -> tuple[str, ...]:
    """Return chosen names; a single string is one name.

    Raises:
        UsageError: They are not names.
    """
    names = (chosen,) if isinstance(chosen, str) or not isinstance(chosen, Iterable) else tuple(chosen)
    for name in names:
        if not isinstance(name, str):
            raise UsageError(f"`{option}` takes names", got=repr(name), expected="a name, or a list of names")
    return names


def check_known(kind: str, names: Sequence[str], known: Collection[str], where: str) -> None:
    """Check that a dataset has all that was named.

    Raises:
        UsageError: It lacks one; the message has the nearest name.
    """
    for name in names:
        if not isinstance(name, str) or name not in known:
            near = did_you_mean(str(name), known) or did_you_mean(str(name).lower(), known)
            raise UsageError(
                f"the dataset has no {kind} {name!r}", where=where, expected=", ".join(known), next_step=near
            )


def check_one_of(option: str, value: object, known: Sequence[object]) -> None:
    """Check that an option has one of its values.

    Raises:
        UsageError: It has another.
    """
    if value not in known:
        raise UsageError(f"unknown value of `{option}`", got=repr(value), expected=", ".join(map(repr, known)))


def is_ours(value: object) -> bool:
    """Whether the code of an object is of m3di, not of a user's module or plugin."""
    return type(value).__module__.partition(".")[0] == "m3di"
