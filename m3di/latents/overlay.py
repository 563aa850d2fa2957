"""One spec laid over another one, as plain data: what `extends` does, and what a split of another process does.

A key set to null is taken away. A mechanism with a `name`, and the use of a factor with a `role`, replace the other
whole. `difference` is the inverse: laid over the first, it gives the second.
"""

from __future__ import annotations

from typing import Any

from m3di.latents.layer import Layer
from m3di.latents.problems import Problem, hint, listed
from m3di.latents.subsets import is_subset
from m3di.latents.yaml_text import Marks, Path

BESIDE = ("plugins", "templates", "texts")  # files as text, by name: replaced whole, never laid over
SPLITS_KEY = "splits"


def is_whole(path: Path, above: Any) -> bool:
    """Whether a mapping at a path replaces the one below it, rather than being laid over it."""
    return isinstance(above, dict) and (
        ("role" in above and len(path) == 4 and path[0] == "views")
        or ("name" in above and path[-1:] in (("mechanism",), ("change",)))
        or ("name" in above and len(path) == 5 and path[0] == "regimes")  # the mechanism of a factor in a case
        or (len(path) == 3 and path[::2] == ("regimes", "chosen"))
        or (len(path) == 2 and path[0] in (*BESIDE, "interventions"))
        or (len(path) == 3 and path[0] == "views" and is_subset(path[2], above))
    )


def laid_over(
    below: Any,
    above: Any,
    path: Path = (),
    own: Layer | None = None,
    marks: Marks | None = None,
    problems: list[Problem] | None = None,
) -> Any:
    """Data laid over others; neither is changed.

    Args:
        below: The data below.
        above: Those above.
        path: Where both stand in a spec.
        own: What those above come from, with the places of its values.
        marks: Places of the data below; they become those of the result.
        problems: What is wrong with the data above is added here.
    """
    own = Layer({}, {}) if own is None else own
    marks, problems = {} if marks is None else marks, [] if problems is None else problems
    in_split = path[:1] == (SPLITS_KEY,) and len(path) > 1  # an overlay: its nulls are kept until it is laid over
    if in_split and len(path) == 2:
        below, above = _both_alike(below, above)
    whole = is_whole(path[2:] if in_split else path, above)
    if whole or not (isinstance(below, dict) and isinstance(above, dict)):
        if len(path) == 2 and path[0] in BESIDE and below is not None and below != above:
            problems.append(_two_files(path, own))
        for each in [each for each in marks if each[: len(path)] == path]:
            del marks[each]
        marks.update({each: place for each, place in own.marks.items() if each[: len(path)] == path})
        if path == ("regimes",) and isinstance(above, dict):
            return laid_over({}, above, path, own, marks, problems)  # says of each null that there is nothing
        return above if not isinstance(above, dict) or (in_split and not whole) else _without_null(above)
    merged = {**below}
    for key, value in above.items():
        place = (*path, key)
        if value is None and not in_split:
            _take_away(merged, place, own, marks, problems)
            continue
        merged[key] = None if value is None else laid_over(below.get(key), value, place, own, marks, problems)
        if place in own.marks:
            marks[place] = own.marks[place]
    return merged


def difference(base: dict[str, Any], other: dict[str, Any], path: Path = ()) -> dict[str, Any]:
    """What, laid over resolved data, gives the others: keys that are null are not there in these."""
    found: dict[str, Any] = {}
    for key in (*base, *(each for each in other if each not in base)):
        place, one, two = (*path, key), base.get(key), other.get(key)
        if key not in other:
            found[key] = None
        elif one != two:
            inner = difference(one, two, place) if isinstance(one, dict) and isinstance(two, dict) else two
            found[key] = two if is_whole(place, inner) else inner
    return found


def keep_proportions(base: Any, own: Any, splits: Any) -> None:
    """Where a spec gives another number of training samples alone, let the other splits that it extends follow.

    Args:
        base: The splits of the spec that is extended.
        own: Those that the spec gives.
        splits: Both together; changed in place.
    """
    if not (isinstance(base, dict) and isinstance(own, dict) and isinstance(splits, dict)):
        return
    before, now = _size(base.get("train")), _size(own.get("train"))
    if before and now:
        for name, each in base.items():
            n = _size(each)
            if name not in own and n:
                scaled = max(1, round(n * now / before))
                splits[name] = {**each, "n": scaled} if isinstance(each, dict) else scaled


def _size(split: Any) -> int | None:
    n = split.get("n") if isinstance(split, dict) else split
    return n if isinstance(n, int) and not isinstance(n, bool) else None


def _both_alike(below: Any, above: Any) -> tuple[Any, Any]:
    """A split is a number, or a mapping with the number `n` in it."""
    if isinstance(below, dict) and _size(above) is not None and not isinstance(above, dict):
        return below, {"n": above}
    if isinstance(above, dict) and _size(below) is not None and not isinstance(below, dict):
        return {"n": below}, above
    return below, above


def _two_files(path: Path, own: Layer) -> Problem:
    said = f"two different files are called {path[1]!r}, one of them in what it extends"
    return Problem(path, said, repr(path[1]), "names that differ", "rename one of them", own.marks.get(path))


def _without_null(above: dict[str, Any]) -> dict[str, Any]:
    """What replaces something whole: there, null stands for a key that is left out."""
    return {key: value for key, value in above.items() if value is not None}


def _take_away(merged: dict[str, Any], path: Path, own: Layer, marks: Marks, problems: list[Problem]) -> None:
    """Take a key away that is null. One that is not there was to be another; a whole section is a slip."""
    kind = _named_kind(path)
    if path in (("factors",), ("views",), ("splits",), ("name",)) or (len(path) == 3 and path[2] == "factors"):
        problems.append(
            Problem(
                path,
                "the key is empty",
                "nothing",
                "entries below it, indented",
                "write its entries, or leave the key out",
                own.marks.get(path),
            )
        )
    elif kind is not None and path[-1] not in merged:
        known = [str(key) for key in merged]
        problems.append(
            Problem(
                path,
                f"there is no {kind} {path[-1]!r} to take away{hint(str(path[-1]), known)}",
                "null",
                listed(known) or f"no {kind}: there is none",
                "correct the name" if known else "leave it out",
                own.marks.get(path),
            )
        )
    else:
        merged.pop(str(path[-1]), None)
        if path in own.marks:
            marks[path] = own.marks[path]


def _named_kind(path: Path) -> str | None:
    """What stands at a path under a name of its own; None where the path leads to a key."""
    if len(path) == 2:
        return {"factors": "factor", "views": "view", "regimes": "regime", SPLITS_KEY: "split"}.get(str(path[0]))
    if len(path) == 4 and path[::2] == ("regimes", "cases"):
        return "case"
    in_case = len(path) == 5 and path[:3:2] == ("regimes", "cases")
    return "factor" if in_case or (len(path) == 4 and path[2] == "factors") else None
