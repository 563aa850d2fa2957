from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from m3di.errors import M3diError
from m3di.latents import Spec, captions, sample
from m3di.report import contact_sheet, save_contact_sheet
from m3di.report.contact_sheet import MARGIN_PX


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
