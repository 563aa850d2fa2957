"""A contact sheet: images in a grid, each with its captions and its latents below."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from m3di.errors import M3diError
from m3di.latents import Samples

INK, FAINT, PAPER = (30, 30, 30), (110, 110, 110), (255, 255, 255)
MARGIN_PX = 12
FONT_SIZES_PX = (14, 11)
MIN_CELL_PX = 224

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Line = tuple[str, Font, tuple[int, int, int]]


def contact_sheet(
    samples: Samples,
    images: dict[str, NDArray[np.uint8]],
    captions: dict[str, list[str]],
    *,
    n_columns: int = 4,
) -> Image.Image:
    """Draw a contact sheet.

    Args:
        samples: The samples that are shown.
        images: For each image view, pixels [n, height, width, 3].
        captions: For each text view, its captions [n].
        n_columns: Samples in a row.

    Returns:
        The sheet, an RGB picture.
    """
    size = next(iter(images.values())).shape[1]
    cell_width = max(MIN_CELL_PX, size * len(images))
    texts = [_lines(samples, captions, row, cell_width) for row in range(samples.n)]
    heights = [sum(_line_height(font) for _, font, _ in lines) for lines in texts]
    cell_height = size + MARGIN_PX + max(heights)
    n_columns = min(n_columns, samples.n)
    n_rows = -(-samples.n // n_columns)
    sheet = Image.new(
        "RGB",
        (
            n_columns * (cell_width + MARGIN_PX) + MARGIN_PX,
            n_rows * (cell_height + 2 * MARGIN_PX) + MARGIN_PX,
        ),
        PAPER,
    )
    draw = ImageDraw.Draw(sheet)
    for index in range(samples.n):
        x = MARGIN_PX + (index % n_columns) * (cell_width + MARGIN_PX)
        y = MARGIN_PX + (index // n_columns) * (cell_height + 2 * MARGIN_PX)
        for number, pixels in enumerate(images.values()):
            sheet.paste(Image.fromarray(pixels[index]), (x + number * size, y))
        y += size + MARGIN_PX // 2
        for text, font, ink in texts[index]:
            draw.text((x, y), text, fill=ink, font=font)
            y += _line_height(font)
    return sheet


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
        raise M3diError(
            f"{what} cannot be written",
            where=str(path),
            got=error.strerror or error,
            expected="a file name in a folder where you may create files",
            next_step="choose another file with --out",
        ) from None


def _line_height(font: Font) -> int:
    return int(font.getbbox("Ag")[3]) + 4


def _lines(samples: Samples, captions: dict[str, list[str]], row: int, width_px: int) -> list[Line]:
    large, small = (ImageFont.load_default(size) for size in FONT_SIZES_PX)
    lines: list[Line] = []
    for texts in captions.values():
        lines += [(line, large, INK) for line in _wrapped(texts[row].split(), " ", large, width_px)]
    lines += [(line, small, FAINT) for line in _wrapped(_latents(samples, row), ",  ", small, width_px)]
    return lines


def _wrapped(pieces: list[str], separator: str, font: Font, width_px: int) -> list[str]:
    """Lines no wider than `width_px`, broken between pieces only."""
    lines = [pieces[0]]
    for piece in pieces[1:]:
        longer = lines[-1] + separator + piece
        if font.getlength(longer) <= width_px:
            lines[-1] = longer
        else:
            lines.append(piece)
    return lines


def _latents(samples: Samples, row: int) -> list[str]:
    """Every factor that some view sees, by name or as raw number; all views' values where they differ."""
    shown: dict[str, list[str]] = {}
    for factors in samples.views.values():
        for name, values in factors.items():
            factor = samples.spec.factors[name]
            if factor.kind != "seed":
                text = factor.value_name(values[row]) if factor.type == "categorical" else f"{values[row]:.2f}"
                shown.setdefault(name, []).append(text)
    return [f"{name} {' / '.join(texts if len(set(texts)) > 1 else texts[:1])}" for name, texts in shown.items()]
