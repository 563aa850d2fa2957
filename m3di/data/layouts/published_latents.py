"""What the CSV files of the published layout say: their columns, what their numbers mean, and of which specs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from m3di.errors import DataError
from m3di.latents import Factor, Spec, load_spec, plain_spec, spec_from_dict
from m3di.latents.said import clause_factor, said_factor

IMAGE_CSV, TEXT_CSV = "latents_image.csv", "latents_text.csv"
POSITION = ("object_shape", "object_xpos", "object_ypos", "object_zpos")
IMAGE_COLUMNS = (
    *POSITION,
    *("object_alpharot", "object_betarot", "object_gammarot", "object_color"),
    *("spotlight_pos", "spotlight_color", "background_color"),
)
TEXT_COLUMNS = (*POSITION, "object_color_name", "object_color_index", "text_phrasing")
_OF_VIEWS = {
    "image": IMAGE_COLUMNS,
    "text": (*(name for name in POSITION if name != "object_zpos"), "text_color", "text_phrasing"),
}


_ROUNDING = 1e-9


@cache
def published_spec() -> Spec:
    """Return the spec of the published files: the factors of `m3di`, captions of a template that is not ours."""
    plain = plain_spec(load_spec("m3di"))
    plain["name"] = "multimodal3dident"
    plain["description"] = "Image/text pairs of the published Multimodal3DIdent."
    del plain["factors"]["render_seed"], plain["views"]["image"]["factors"]["render_seed"]
    plain["factors"]["text_phrasing"]["values"] = [str(number) for number in range(5)]
    text = plain["views"]["text"]
    text["template"] = "published"
    text["factors"]["object_zpos"] = {"role": "constant", "value": 0}
    return spec_from_dict(plain, where="the published layout", stored=True)


@cache
def _color_ranks() -> dict[str, int]:
    return {name: rank for rank, name in enumerate(sorted(published_spec().factors["text_color"].names))}


def color_indices(names: list[str]) -> NDArray[np.int64]:
    """Published index of each name of a colour: its rank among all published names."""
    return np.array([_color_ranks()[name] for name in names], dtype=np.int64)


class NoPlace(NamedTuple):
    """What of a spec the published layout would say wrongly, and what it can say."""

    got: str
    expected: str


def no_place(spec: Spec) -> NoPlace | None:
    """Find what the published layout has no place for, or would have read as something else; None if nothing.

    It has one image and one text, and for each factor a number whose meaning its readers know: the place of a name in
    the published list, or a raw value in the published range, which is a physical one.
    """
    return next(_without_place(spec), None)


def _without_place(spec: Spec) -> Iterator[NoPlace]:
    if set(spec.observed) != set(_OF_VIEWS):
        views = ", ".join(spec.observed)
        yield NoPlace(
            f"views {views} of spec {spec.name!r}", "one image and one text with the factors of the spec `m3di`"
        )
        return
    for view, names in _OF_VIEWS.items():
        missing = [name for name in names if name not in spec.observed[view].view.factors]
        if missing:
            yield NoPlace(f"the view {view!r} without {', '.join(missing)}", f"{', '.join(names)} in it")
            return
    yield from _places_apart(spec)
    for name in dict.fromkeys(name for names in _OF_VIEWS.values() for name in names):
        ours, theirs = spec.factors[name], published_spec().factors[name]
        if name == "text_phrasing":  # each dataset has its own
            if ours.n > theirs.n:
                yield NoPlace(f"{ours.n} values of text_phrasing", f"at most {theirs.n}")
        elif theirs.type == "categorical":
            yield from _unlike_labels(name, ours, theirs)
        else:
            yield from _unlike_numbers(name, ours, theirs)


def _places_apart(spec: Spec) -> Iterator[NoPlace]:
    """Where positions point, and what height 0 is, if that is something else in a split."""
    theirs = published_spec().views["image"]
    for split in ("train", *spec.splits):
        ours = spec.in_split(split).views["image"]
        for key in ("axes", "raised"):
            if getattr(ours, key) != getattr(theirs, key):
                yield NoPlace(
                    f"`{key}: {getattr(ours, key)}` of the view 'image' in {split}",
                    f"`{key}: {getattr(theirs, key)}`: positions are told in these",
                )


def untold_note(spec: Spec) -> str | None:
    """Tell that captions leave out or misstate what the CSV file of the text states; None if none does."""
    marks = (clause_factor("text", ""), said_factor("text", ""))
    found = [name for name in spec.observed["text"].view.factors if name.startswith(marks)]
    if not found:
        return None
    said = f"{', '.join(found)} say where, which the published files do not"
    return f"captions leave out or misstate what {TEXT_CSV} states: {said}"


def _unlike_labels(name: str, ours: Factor, theirs: Factor) -> Iterator[NoPlace]:
    """Values of a categorical factor that are not published, or are something else there."""
    published = f"names for {name} out of {', '.join(theirs.names[:20])}{', ...' if theirs.n > 20 else ''}"
    if ours.type != "categorical":
        yield NoPlace(f"{name}, which is {ours.type}", published)
        return
    unknown = [each for each in ours.names if each not in theirs.names]
    if unknown:
        yield NoPlace(f"{', '.join(unknown[:5])} as {name}", published)
    elif theirs.hex and ours.hex:
        hexes = dict(zip(theirs.names, theirs.hex, strict=True))
        others = [each for each, code in zip(ours.names, ours.hex, strict=True) if code.lower() != hexes[each].lower()]
        if others:
            yield NoPlace(
                f"another colour called {', '.join(others[:5])} as {name}", "the published colours under their names"
            )
    elif theirs.physical_values is not None:
        stated = theirs.physical([theirs.names.index(each) for each in ours.names])
        found = ours.physical(np.arange(ours.n))
        if not np.allclose(found, stated) or ours.unit not in (None, theirs.unit):
            yield NoPlace(
                f"{name} of {_listed(found)} {ours.unit or ''}".strip(),
                f"{_listed(stated)} {theirs.unit}, as {', '.join(ours.names)} are",
            )


def _unlike_numbers(name: str, ours: Factor, theirs: Factor) -> Iterator[NoPlace]:
    """Physical values beyond the published ones, or in another unit."""
    low, high = theirs.physical(theirs.bounds)
    ends = ours.physical(np.arange(ours.n) if ours.type == "categorical" else ours.bounds)
    if not (low - _ROUNDING <= ends.min() and ends.max() <= high + _ROUNDING) or ours.unit not in (None, theirs.unit):
        found = f"{name} from {ends.min():.4g} to {ends.max():.4g} {ours.unit or ''}".strip()
        yield NoPlace(found, f"at least {low:.4g}, and at most {high:.4g} {theirs.unit}")
    elif ours.wheel != theirs.wheel and ends.min() < 0:  # within [0, 1] all wheels are one
        yield NoPlace(
            f"`wheel: {ours.wheel}` of {name}", f"`wheel: {theirs.wheel}`: it says which colours hues below 0 are"
        )


def _listed(numbers: NDArray[np.float64]) -> str:
    return ", ".join(f"{number:.4g}" for number in numbers)


def published_values(spec: Spec, table: pa.Table) -> dict[str, dict[str, NDArray[Any]]]:
    """Return the numbers of both CSV files that a table of ours comes to, and the names of colours.

    Args:
        spec: A spec without `no_place`.
        table: A table of it.

    Raises:
        M3diError: Image and text have other positions or shapes, for which the layout has one column.
    """
    image = {name: _published(spec, name, table[f"image.{name}"].to_numpy()) for name in IMAGE_COLUMNS}
    for name in POSITION:
        if f"text.{name}" in table.column_names:
            differ = np.flatnonzero(table[f"text.{name}"].to_numpy() != table[f"image.{name}"].to_numpy())
            if len(differ):
                raise DataError(
                    "the published layout has no place for this dataset",
                    where=f"row {differ[0]} of its table",
                    got=f"another {name} in the text than in the image",
                    expected="one for both, as its readers check",
                    next_step="m3di export --to imagefolder takes any dataset of images and texts",
                )
    names = [spec.factors["text_color"].names[value] for value in table["text.text_color"].to_numpy()]
    text: dict[str, NDArray[Any]] = {name: image[name] for name in POSITION}
    text["object_color_name"] = np.array(names, dtype=object)
    text["object_color_index"] = color_indices(names)
    text["text_phrasing"] = table["text.text_phrasing"].to_numpy()
    return {IMAGE_CSV: image, TEXT_CSV: text}


def _published(spec: Spec, name: str, raw: NDArray[Any]) -> NDArray[Any]:
    """Return the published numbers of raw values: labels go by their names, numbers by their physical values."""
    ours, theirs = spec.factors[name], published_spec().factors[name]
    if theirs.type == "categorical":
        return raw if ours.names == theirs.names else np.array([theirs.names.index(each) for each in ours.names])[raw]
    if (ours.type, ours.bounds, ours.physical_values) == (theirs.type, theirs.bounds, theirs.physical_values):
        return raw
    (low, high), (first, last) = theirs.bounds, theirs.physical(theirs.bounds)
    return np.clip(low + (high - low) * (ours.physical(raw) - first) / (last - first), low, high)


def published_csv(spec: Spec, table: pa.Table) -> dict[str, bytes]:
    """Make the two CSV files of a table, with the published columns in the published order; see `published_values`."""
    return {name: _csv(columns) for name, columns in published_values(spec, table).items()}


def _csv(columns: dict[str, NDArray[Any]]) -> bytes:
    # repr gives the shortest digits that read back to the same number, as pandas writes them.
    lists = [values.tolist() for values in columns.values()]
    lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*lists, strict=True))]
    return ("\n".join(lines) + "\n").encode()
