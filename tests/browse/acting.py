"""What tests do on the page, and what they read from it."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from tests.browse.conftest import until

SPLITS = ("train", "val", "test")


def tables(root: Path) -> pd.DataFrame:
    """What pandas reads of all splits, in the order of the rows."""
    parts = [pd.read_parquet(root / f"{each}.parquet").assign(split=each) for each in SPLITS]
    return pd.concat(parts, ignore_index=True)


def category(page: Any, column: str, value: str) -> None:
    """Click a category."""
    page.locator(f'[data-column="{column}"] .category', has=page.get_by_text(value, exact=True)).click()


def bound(page: Any, column: str, end: str, value: float) -> None:
    """Type an end of a range."""
    field = page.get_by_label(f"{column}: {'least' if end == 'low' else 'greatest'}", exact=True)
    field.fill(repr(value))
    field.press("Tab")


def numbers_of(page: Any, column: str) -> dict[str, int]:
    """How many rows each category has, as the page says it."""
    found = page.locator(f'[data-column="{column}"] .category').all()
    return {
        each.locator(".value").inner_text(): int(each.locator(".n").inner_text().replace(",", "")) for each in found
    }


def rows_shown(page: Any) -> list[int]:
    """Numbers of the rows in sight, in their order."""
    page.evaluate("new Promise(requestAnimationFrame)")  # in which a scroll is noticed
    until(page, "document.querySelector('#grid').getAttribute('aria-busy') === 'false'")
    return page.eval_on_selector_all("#grid button", "all => all.map(each => Number(each.dataset.row))")


def pixels_shown(page: Any, selector: str) -> NDArray[np.uint8]:
    """Pixels of a picture as the browser decoded it."""
    url = page.eval_on_selector(
        selector,
        """async image => {
          await image.decode();
          const canvas = document.createElement("canvas");
          [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
          canvas.getContext("2d").drawImage(image, 0, 0);
          return canvas.toDataURL();
        }""",
    )
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB"))


def pixels_stored(root: Path, row: pd.Series) -> NDArray[np.uint8]:
    """Pixels of the image of a row of the table, from its byte range."""
    with (root / row["shard"]).open("rb") as shard:
        shard.seek(row["png_offset"])
        return np.asarray(Image.open(io.BytesIO(shard.read(row["png_size"]))))
