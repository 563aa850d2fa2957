"""A contact sheet: images in a grid, each with its captions and its latents below."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from m3di.errors import DiskError, UsageError, did_you_mean
from m3di.latents import Factor, Samples
from m3di.report.lettering import Ink, Lettering, is_rtl, words

INK, FAINT, PAPER = (30, 30, 30), (110, 110, 110), (255, 255, 255)
MARGIN_PX = 12
CAPTION_PX, LATENTS_PX, HEADING_PX = 14, 11, 16
MIN_CELL_PX = 224
N_BINS, MANY = 5, 20
"""Groups of a continuous factor, over its range; and of an integer factor that has more values than this."""


@dataclass(frozen=True)
class _Line:
    text: str
    lettering: Lettering
    ink: Ink
    is_rtl: bool = False


@dataclass(frozen=True)
class _Group:
    """Samples that are shown together, by their rows, and what is written above them."""

    heading: str
    rows: Sequence[int]


def contact_sheet(
    samples: Samples,
    images: dict[str, NDArray[np.uint8]],
    captions: dict[str, list[str]],
    *,
    n_columns: int = 4,
    latents: bool = True,
    group_by: str | None = None,
) -> Image.Image:
    """Draw a contact sheet.

    Args:
        samples: The samples that are shown.
        images: For each image view, pixels [n, height, width, 3].
        captions: For each text view, its captions [n], in any script (see `missing_characters`).
        n_columns: Samples in a row.
        latents: Whether the latents are written below each sample.
        group_by: Factor, or VIEW.FACTOR, by whose values the samples are put together, each group under its heading; a
            factor of numbers is cut into five parts of its range.

    Returns:
        The sheet, an RGB picture.

    Raises:
        UsageError: There is no such factor, or no column.
    """
    check_layout(samples, n_columns, group_by)
    size = next(iter(images.values())).shape[1]
    cell_width = max(MIN_CELL_PX, size * len(images))
    texts = [_lines(samples, captions, row, cell_width, latents) for row in range(samples.n)]
    text_height = max(sum(line.lettering.line_px for line in lines) for lines in texts)
    cell_height = size + (MARGIN_PX + text_height if text_height else 0)
    groups = _groups(samples, group_by)
    n_columns = min(n_columns, max(len(group.rows) for group in groups))
    heading = Lettering(HEADING_PX)
    n_rows = sum(-(-len(group.rows) // n_columns) for group in groups)
    n_headings = sum(bool(group.heading) for group in groups)
    width = n_columns * (cell_width + MARGIN_PX) + MARGIN_PX
    height = n_rows * (cell_height + 2 * MARGIN_PX) + n_headings * (heading.line_px + MARGIN_PX // 2) + MARGIN_PX
    sheet = Image.new("RGB", (width, height), PAPER)
    top = MARGIN_PX
    for group in groups:
        if group.heading:
            heading.draw(ImageDraw.Draw(sheet), (MARGIN_PX, top), group.heading, INK)
            top += heading.line_px + MARGIN_PX // 2
        for start in range(0, len(group.rows), n_columns):
            for column, row in enumerate(group.rows[start : start + n_columns]):
                corner = (MARGIN_PX + column * (cell_width + MARGIN_PX), top)
                _draw_cell(sheet, corner, [pixels[row] for pixels in images.values()], texts[row], cell_width)
            top += cell_height + 2 * MARGIN_PX
    return sheet


def _draw_cell(
    sheet: Image.Image,
    corner: tuple[int, int],
    pictures: list[NDArray[np.uint8]],
    lines: list[_Line],
    width_px: int,
) -> None:
    """The pictures of a sample beside each other, and its lines below; right to left from the right edge."""
    left, y = corner
    for number, pixels in enumerate(pictures):
        sheet.paste(Image.fromarray(pixels), (left + number * pixels.shape[1], y))
    y += pictures[0].shape[0] + MARGIN_PX // 2
    draw = ImageDraw.Draw(sheet)
    for line in lines:
        x = left + (width_px - line.lettering.width_px(line.text) if line.is_rtl else 0)
        line.lettering.draw(draw, (x, y), line.text, line.ink, rtl=line.is_rtl)
        y += line.lettering.line_px


def save_contact_sheet(path: Path, *args: Any, **options: Any) -> None:
    """Write `contact_sheet(...)` as a PNG.

    Raises:
        M3diError: The file cannot be written.
    """
    save_picture(path, contact_sheet(*args, **options), "the contact sheet")


def save_picture(path: Path, picture: Image.Image, what: str) -> None:
    """Write a picture as a PNG; its folder is made where needed.

    Raises:
        M3diError: The file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, format="PNG")
    except OSError as error:
        raise DiskError(
            f"{what} cannot be written",
            where=str(path),
            got=error.strerror or error,
            expected="a file name in a folder where you may create files",
            next_step="choose another file with --out",
        ) from None


def check_layout(samples: Samples, n_columns: int, group_by: str | None) -> None:
    """Raise if a sheet of these samples cannot be laid out so; nothing has to be rendered for this.

    Raises:
        UsageError: There is no such factor, or no column.
    """
    if n_columns < 1:
        raise UsageError("a sheet needs a column", where="--columns", got=n_columns, expected="1 or more")
    if group_by is not None:
        _values_of(samples, group_by)


def _values_of(samples: Samples, group_by: str) -> tuple[Factor, NDArray[Any]]:
    """A factor, and its raw values in the view that is named, or in the first that sees it."""
    seen: dict[str, tuple[Factor, NDArray[Any]]] = {}
    for view, factors in samples.views.items():
        for name, values in factors.items():
            seen.setdefault(name, (samples.spec.factors[name], values))
            seen[f"{view}.{name}"] = (samples.spec.factors[name], values)
    if group_by not in seen:
        raise UsageError(
            f"no view sees a factor {group_by!r}",
            where="--group-by",
            expected=", ".join(name for name in seen if "." not in name),
            next_step=did_you_mean(group_by, seen),
        )
    return seen[group_by]


def _groups(samples: Samples, group_by: str | None) -> list[_Group]:
    if group_by is None:
        return [_Group("", range(samples.n))]
    factor, values = _values_of(samples, group_by)
    low, high = factor.bounds if np.isfinite(factor.bounds).all() else (values.min(), values.max())
    if factor.type == "continuous" or (factor.type == "integer" and high - low >= MANY):
        edges = np.linspace(low, high, N_BINS + 1)
        number = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, N_BINS - 1)
        names = [f"{one:g} to {other:g}" for one, other in itertools.pairwise(edges)]
        named = [names[each] for each in number]
    else:
        number = np.asarray(values)
        named = [_named(factor, each) for each in values]
    order = np.lexsort((np.arange(samples.n), number))
    return [
        _Group(f"{group_by}: {named[rows[0]]}", rows.tolist())
        for rows in np.split(order, np.flatnonzero(np.diff(number[order])) + 1)
    ]


def _named(factor: Factor, value: Any) -> str:
    return (
        factor.value_name(value)
        if factor.type == "categorical"
        else f"{value:.2f}"
        if factor.type == "continuous"
        else f"{value}"
    )


def _lines(samples: Samples, captions: dict[str, list[str]], row: int, width_px: int, latents: bool) -> list[_Line]:
    large, small = Lettering(CAPTION_PX), Lettering(LATENTS_PX)
    lines = [
        _Line(line, large, INK, is_rtl(texts[row]))
        for texts in captions.values()
        for line in large.wrapped(words(texts[row]), width_px)
    ]
    if latents:
        lines += [_Line(line, small, FAINT) for line in small.wrapped(_latents(samples, row), width_px, ",  ")]
    return lines


def _latents(samples: Samples, row: int) -> list[str]:
    """Every factor that some view sees, by name or as raw number; all views' values where they differ."""
    shown: dict[str, list[str]] = {}
    for factors in samples.views.values():
        for name, values in factors.items():
            factor = samples.spec.factors[name]
            if factor.kind != "seed":
                shown.setdefault(name, []).append(_named(factor, values[row]))
    return [f"{name} {' / '.join(texts if len(set(texts)) > 1 else texts[:1])}" for name, texts in shown.items()]
