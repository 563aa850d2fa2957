"""Samples in a real browser: every picture is that of its caption, with its factors and twins."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from m3di.browse import Look, PageServer, open_look, write_page
from m3di.browse.displayed import MASK_RGB
from m3di.render.annotation import annotate
from tests.browse.acting import bound, category, numbers_of, pixels_shown, pixels_stored, rows_shown, tables
from tests.browse.conftest import Shown, until
from tests.browse.test_displayed import npz, png
from tests.conftest import FakePool, write_fake_dataset

pytestmark = pytest.mark.slow
Serve = Callable[[Look], PageServer]


def test_every_picture_is_that_of_its_caption_down_to_the_last(
    look: Look, many: Path, serve: Serve, shown: Shown
) -> None:
    page, table = shown.goto(serve(look).url), tables(many)
    seen: set[int] = set()
    for _ in range(60):
        for row in rows_shown(page):
            if row in seen:
                continue
            seen.add(row)
            cell, own = f'#grid button[data-row="{row}"]', table.iloc[row]
            assert page.inner_text(f"{cell} .caption") == own["text.caption"]
            assert page.get_attribute(f"{cell} img", "alt") == own["text.caption"]
            np.testing.assert_array_equal(pixels_shown(page, f"{cell} img"), pixels_stored(many, own))
        if len(seen) == 320:
            break
        page.evaluate("document.querySelector('#samples').scrollBy(0, 600)")
    assert seen == set(range(320))


def test_a_sample_shows_every_factor_raw_and_physical(look: Look, many: Path, serve: Serve, shown: Shown) -> None:
    page, own = shown.goto(f"{serve(look).url}#open=7"), tables(many).iloc[7]
    page.wait_for_selector("#sample[open]")
    cells = [
        [cell.inner_text() for cell in row.locator("th, td").all()]
        for row in page.locator("#sample tbody").first.locator("tr").all()
    ]
    shape = ["image", "object_shape", "content", str(own["image.object_shape"]), own["image.object_shape_name"], ""]
    assert shape in cells
    rotation = next(each for each in cells if each[1] == "object_alpharot")
    assert rotation[2] == "private"
    assert float(rotation[3]) == own["image.object_alpharot"]
    assert float(rotation[5].split()[0]) == pytest.approx(own["image.object_alpharot_rad"], rel=1e-3)
    assert len(cells) == 18
    np.testing.assert_array_equal(pixels_shown(page, '#sample img[data-view="image"]'), pixels_stored(many, own))
    fingerprint = look.gathered.sources[0].fingerprint
    assert page.input_value(".citation input") == f"m3di (m3di), fingerprint {fingerprint}, split train, key 000000007"


def test_all_pictures_of_a_sample_or_those_of_one_view(tmp_path: Path, serve: Serve, shown: Shown) -> None:
    root = write_fake_dataset(tmp_path / "three", spec="m3di-counterfactual", size_px=16)
    look = open_look([root])
    views = ["image", "image_do_object_color", "image_do_object_xpos"]
    page = shown.goto(serve(look).url)
    rows_shown(page)
    assert page.eval_on_selector_all("[data-row='3'] img", "all => all.map(each => each.dataset.view)") == views
    block, row = look.gathered.place(3)
    for view in views:
        pixels = np.asarray(Image.open(io.BytesIO(block.files.read(row, view))))
        np.testing.assert_array_equal(pixels_shown(page, f"[data-row='3'] [data-view='{view}']"), pixels)
        assert page.get_attribute(f"[data-row='3'] [data-view='{view}']", "alt").startswith(f"{view}: ")
    page.select_option("#view", "image_do_object_xpos")
    rows_shown(page)
    assert page.eval_on_selector_all("[data-row='3'] img", "all => all.map(each => each.dataset.view)") == views[2:]
    assert "view=image_do_object_xpos" in page.url


def test_samples_without_pictures_are_captions(tmp_path: Path, serve: Serve, shown: Shown) -> None:
    spec = tmp_path / "told.yaml"
    spec.write_text("extends: m3di\nname: told\nviews: {image: null}\n")
    root = write_fake_dataset(tmp_path / "told", spec=str(spec))
    page, table = shown.goto(serve(open_look([root])).url), tables(root)
    rows_shown(page)
    assert page.locator("#samples img").count() == 0
    assert page.inner_text('[data-row="5"] .caption') == table["text.caption"][5]
    assert not page.is_visible("#view") and not page.is_visible("#boxes")
    category(page, "text.object_shape", table["text.object_shape_name"][5])
    assert shown.count() == (table["text.object_shape"] == table["text.object_shape"][5]).sum()
    page.locator("#grid button").first.click()
    page.wait_for_selector("#sample[open]")
    assert page.locator("#sample img").count() == 0
    out = tmp_path / "page.html"
    write_page(open_look([root]), out)
    shown.goto(out.as_uri())
    assert shown.count() == 28


def test_passes_lie_over_the_picture_and_a_box_around_the_object(
    tmp_path: Path, serve: Serve, shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = np.zeros((32, 32), np.uint8)
    mask[4:12, 8:24] = 255
    depth = np.full((32, 32), 65535, np.uint16)
    depth[mask > 0] = 4000
    normal = np.zeros((32, 32, 3), np.float16)
    normal[mask > 0] = (0, 0, 1)
    outcomes = FakePool.outcomes

    def with_passes(self: FakePool, jobs: Any) -> Any:
        for each in outcomes(self, jobs):
            passes = {"mask": png(mask), "depth": png(depth), "normal": npz(normal=normal)}
            annotation = annotate(np.zeros((32, 32, 3), np.uint8), mask > 0, (1.5, 2.5))
            yield replace(each, image=replace(each.image, annotation=annotation, passes=passes))

    monkeypatch.setattr(FakePool, "outcomes", with_passes)
    root = write_fake_dataset(tmp_path / "passes", passes=("mask", "depth", "normal"))
    page = shown.goto(f"{serve(open_look([root])).url}#open=3")
    page.wait_for_selector("#sample[open]")
    expected = {"mask": MASK_RGB, "depth": (255, 255, 255), "normal": (128, 128, 255)}
    for name, color in expected.items():
        page.get_by_label("pass over image").select_option(name)
        until(page, f"document.querySelector('#sample .pass').getAttribute('src').endsWith('/{name}')")
        pixels = pixels_shown(page, "#sample .pass")
        np.testing.assert_array_equal(pixels[mask > 0], np.tile(color, (128, 1)))
        assert page.is_visible("#sample .pass")
    page.get_by_label("how much of the pass shows").fill("25")
    assert page.eval_on_selector("#sample .pass", "each => each.style.opacity") == "0.25"
    page.get_by_label("pass over image").select_option("")
    assert not page.is_visible("#sample .pass")
    assert not page.is_visible("#sample .box")
    page.get_by_label("box", exact=True).check()
    style = page.eval_on_selector("#sample .box", "({style: s}) => [s.left, s.top, s.width, s.height]")
    assert style == ["25%", "12.5%", "50%", "25%"]


@pytest.mark.parametrize(
    ("spec", "first", "second"),
    [("m3di-counterfactual", "image", "image_do_object_color"), ("m3di-sequence", "image_t0", "image_t3")],
)
def test_twins_lie_beside_each_other(
    tmp_path: Path, serve: Serve, shown: Shown, spec: str, first: str, second: str
) -> None:
    look = open_look([write_fake_dataset(tmp_path / "twins", spec=spec, size_px=16)])
    page = shown.goto(f"{serve(look).url}#open=2")
    page.wait_for_selector(".twins")
    page.get_by_label("twin", exact=True).select_option(first)
    page.get_by_label("compared with").select_option(second)
    block, row = look.gathered.place(2)
    one, other = (
        np.asarray(Image.open(io.BytesIO(block.files.read(row, view)))).astype(float) for view in (first, second)
    )
    words = "document.querySelector('.twins figure:last-child figcaption').textContent.split(' ')"
    expected = np.abs(one - other).mean()
    until(page, f"{words}[0] === 'difference:' && Math.abs({words}[1] - {expected}) < 0.01")
    assert 50 < expected < 100  # of noise and noise
    own, columns = tables(tmp_path / "twins").iloc[2], look.gathered.spec.observed[first].view.factors
    differ = {each for each in columns if own[f"{first}.{each}"] != own[f"{second}.{each}"]}
    told = page.inner_text(".differ").removeprefix("Other values: ").split("; ")
    assert {each.split()[0] for each in told} == differ
    slider = page.get_by_label("how much of the first picture shows")
    slider.fill("25")
    assert page.eval_on_selector(".twins img:nth-of-type(2)", "each => each.style.clipPath") == "inset(0px 0px 0px 25%)"


def test_two_datasets_beside_each_other(many: Path, tmp_path: Path, serve: Serve, shown: Shown) -> None:
    sizes = {"n_train": 240, "n_val": 40, "n_test": 40, "size_px": 16, "shard_size": 100}
    other = write_fake_dataset(tmp_path / "do", interventions=["object_color=uniform"], **sizes)
    look = open_look([many, other])
    page = shown.goto(f"{serve(look).url}#open=3")
    page.wait_for_selector(".twins")
    choices = page.get_by_label("compared with").locator("option").all_inner_texts()
    assert choices == ["image", "image of do"]
    page.keyboard.press("Escape")
    assert numbers_of(page, "dataset") == {"m3di": 320, "do": 320}
    category(page, "dataset", "do")
    bound(page, "image.object_color", "high", 0.5)
    assert shown.count() == (tables(other)["image.object_color"] <= 0.5).sum()
    assert page.locator('[data-column="image.object_color"] path.own').count() == 2


def test_an_image_that_cannot_be_read_is_told_in_its_place(
    many: Path, tmp_path: Path, serve: Serve, browser: Any
) -> None:
    root = Path(shutil.copytree(many, tmp_path / "damaged"))
    server = serve(open_look([root]))
    (root / "train-00000.tar").unlink()
    page = browser.new_page()
    page.goto(server.url)
    page.wait_for_selector(".unreadable")
    assert page.inner_text("#count").startswith("320 of 320")
    page.close()
