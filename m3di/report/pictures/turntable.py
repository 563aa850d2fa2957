"""Shapes from all sides: one row a shape, eight turns and the view that datasets have of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from m3di.report.pictures.contact_sheet import INK, PAPER, save_picture

GAP_PX = 4
LABEL_PX = 22


def turntable_sheet(
    names: Sequence[str],
    turned: Sequence[NDArray[np.uint8]],
    in_dataset: Sequence[NDArray[np.uint8]],
    *,
    cell_px: int = 224,
) -> Image.Image:
    """Draw the sheet.

    Args:
        names: Names of the shapes.
        turned: For each shape its turns, uint8 [n, height, width, 3]; scaled to `cell_px`.
        in_dataset: For each shape its view in a dataset, uint8 [height, width, 3]; shown pixel by pixel.
        cell_px: Side of a cell.

    Returns:
        The sheet, an RGB picture.
    """
    n_turns, far_px = len(turned[0]), in_dataset[0].shape[1]
    row_px = LABEL_PX + max(cell_px, far_px) + GAP_PX
    sheet = Image.new("RGB", (n_turns * (cell_px + GAP_PX) + far_px, len(names) * row_px), PAPER)
    draw = ImageDraw.Draw(sheet)
    for row, name in enumerate(names):
        top = row * row_px + LABEL_PX
        draw.text((2, top - LABEL_PX + 3), name, fill=INK, font=ImageFont.load_default(14))
        for turn, pixels in enumerate(turned[row]):
            cell = Image.fromarray(pixels).resize((cell_px, cell_px), Image.Resampling.LANCZOS)
            sheet.paste(cell, (turn * (cell_px + GAP_PX), top))
        sheet.paste(Image.fromarray(in_dataset[row]), (n_turns * (cell_px + GAP_PX), top))
    return sheet


def save_turntable_sheet(path: Path, sheet: Image.Image) -> None:
    """Write the sheet as a PNG of at most 256 colours: a third of the bytes, without a visible difference.

    Raises:
        M3diError: The file cannot be written.
    """
    save_picture(path, sheet.quantize(256, dither=Image.Dither.FLOYDSTEINBERG), "the sheet of shapes")
