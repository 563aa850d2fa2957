from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from m3di.errors import M3diError, UsageError
from m3di.latents import Samples, Spec, captions, load_spec, sample
from m3di.report import contact_sheet, save_contact_sheet
from m3di.report.pictures.contact_sheet import MARGIN_PX
from tests.conftest import slow


def test_every_picture_is_there_with_ink_below(spec: Spec) -> None:
    drawn = sample(spec, "train", 5)
    images = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    sheet = np.asarray(contact_sheet(drawn, {"image": images}, {"text": captions(drawn, "text")}, n_columns=2))
    width = 224 + MARGIN_PX
    height = sheet.shape[0] - MARGIN_PX
    assert height % 3 == 0
    for index in range(5):
        x, y = MARGIN_PX + (index % 2) * width, MARGIN_PX + (index // 2) * (height // 3)
        np.testing.assert_array_equal(sheet[y : y + 64, x : x + 64], images[index])
        below = sheet[y + 64 : y + height // 3 - MARGIN_PX, x : x + 224]
        assert 0.02 < (below < 128).mean() < 0.5
    empty = sheet[MARGIN_PX + 2 * (height // 3) :, MARGIN_PX + width :]
    assert (empty == 255).all()


def test_a_place_that_cannot_be_written(spec: Spec, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    drawn = sample(spec, "train", 1)
    images = {"image": np.zeros((1, 8, 8, 3), dtype=np.uint8)}
    with pytest.raises(M3diError, match=r"the contact sheet cannot be written(?s:.)*--out"):
        save_contact_sheet(tmp_path / "file" / "x.png", drawn, images, {"text": captions(drawn, "text")})


def test_the_file_is_a_png(spec: Spec, tmp_path: Path) -> None:
    drawn = sample(spec, "train", 1)
    images = {"image": np.zeros((1, 8, 8, 3), dtype=np.uint8)}
    save_contact_sheet(tmp_path / "new" / "x.png", drawn, images, {"text": captions(drawn, "text")})
    with Image.open(tmp_path / "new" / "x.png") as written:
        assert written.format == "PNG"


def blank(drawn: Samples, side: int = 16) -> dict[str, np.ndarray]:
    """Pictures that differ: the first channel says which sample it is."""
    pixels = np.zeros((drawn.n, side, side, 3), dtype=np.uint8)
    pixels[..., 0] = np.arange(1, drawn.n + 1)[:, None, None]
    return {"image": pixels}


def places(sheet: Image.Image, drawn: Samples) -> list[tuple[int, int]]:
    """Row and column of the top left corner of each sample's picture."""
    pixels = np.asarray(sheet)
    found = []
    for number in range(1, drawn.n + 1):
        rows, columns = np.nonzero((pixels[..., 0] == number) & (pixels[..., 1] == 0) & (pixels[..., 2] == 0))
        found.append((int(rows.min()), int(columns.min())))
    return found


@pytest.mark.parametrize("n_columns", [1, 3, 40])
def test_columns(spec: Spec, n_columns: int) -> None:
    drawn = sample(spec, "train", 5)
    found = places(contact_sheet(drawn, blank(drawn), {"text": captions(drawn, "text")}, n_columns=n_columns), drawn)
    assert len({row for row, _ in found}) == -(-5 // min(n_columns, 5))
    assert len({column for _, column in found}) == min(n_columns, 5)
    assert found == sorted(found)


def test_latents_can_be_left_out(spec: Spec) -> None:
    drawn = sample(spec, "train", 2)
    texts = {"text": ["one line", "another"]}
    with_latents, without = (contact_sheet(drawn, blank(drawn), texts, latents=each) for each in (True, False))
    assert with_latents.height > without.height + 20
    assert (np.asarray(without)[places(without, drawn)[0][0] + 20 :] < 100).any()  # the captions stay
    pictures = contact_sheet(drawn, blank(drawn), {}, latents=False)
    assert pictures.height == 16 + 3 * MARGIN_PX


@pytest.mark.slow
@pytest.mark.parametrize(
    ("group_by", "n_columns", "latents"),
    [
        ("object_shape", 1, False),
        ("text.text_palette", 2, True),
        ("image.object_color", 9, False),
        *slow(("object_shape", 2, True), ("text.text_palette", 9, True), ("text.text_palette", 2, False)),
        *slow(("image.object_color", 1, True), ("render_seed", 2, False)),
    ],
)
def test_groups_hold_the_samples_of_one_value_in_order(
    spec: Spec, group_by: str, latents: bool, n_columns: int
) -> None:
    drawn = sample(spec, "train", 12)
    texts = {"text": captions(drawn, "text")}
    sheet = contact_sheet(drawn, blank(drawn), texts, n_columns=n_columns, latents=latents, group_by=group_by)
    view, _, name = group_by.rpartition(".")
    values = np.asarray(drawn.views[view or "image"][name])
    if spec.factors[name].type != "categorical":
        low, high = spec.factors[name].bounds
        values = np.floor((values - low) / (high - low) * 5).astype(int)
    found = places(sheet, drawn)
    for row in {row for row, _ in found}:
        shown = [number for number in range(12) if found[number][0] == row]
        assert len({values[number] for number in shown}) == 1
        assert len(shown) <= n_columns
    order = sorted(range(12), key=lambda number: found[number])
    assert order == sorted(range(12), key=lambda number: (values[number], number))
    # A heading stands above the first row.
    assert (np.asarray(sheet)[: found[order[0]][0]] < 100).any()


def test_a_factor_without_a_range_is_grouped_over_what_it_shows() -> None:
    spec = load_spec("3dident")
    name = next(name for name, factor in spec.factors.items() if factor.type == "continuous")
    drawn = sample(spec, "train", 6)
    wide = drawn.spec.factors[name].model_copy(update={"range": None, "physical_values": None})
    drawn = replace(drawn, spec=spec.model_copy(update={"factors": {**spec.factors, name: wide}}))
    found = places(contact_sheet(drawn, blank(drawn), {}, group_by=name), drawn)
    values = drawn.views["image"][name]
    assert found[int(np.argmin(values))] == min(found)
    assert found[int(np.argmax(values))][0] == max(row for row, _ in found)


def test_what_cannot_be_laid_out(spec: Spec) -> None:
    drawn = sample(spec, "train", 1)
    with pytest.raises(UsageError, match=r"a sheet needs a column(?s:.)*--columns(?s:.)*got: +0"):
        contact_sheet(drawn, blank(drawn), {}, n_columns=0)
    with pytest.raises(UsageError, match=r"no view sees a factor 'object_shap'(?s:.)*did you mean 'object_shape'"):
        contact_sheet(drawn, blank(drawn), {}, group_by="object_shap")


def test_a_caption_that_is_read_from_the_right_stands_at_the_right_edge(spec: Spec) -> None:
    drawn = sample(spec, "train", 2)
    sheet = np.asarray(contact_sheet(drawn, blank(drawn), {"text": ["קומקום", "teapot"]}, latents=False))
    first, second = (
        np.nonzero((sheet[34:, left : left + 224] < 128).any(axis=(0, 2)))[0]
        for left in (MARGIN_PX, 2 * MARGIN_PX + 224)
    )
    assert first.min() > 112
    assert first.max() >= 218
    assert second.min() < 6
    assert second.max() < 112
