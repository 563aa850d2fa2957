"""What lies beside the samples: pairs of factors, encodings, losses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from m3di.browse import Look, PageServer, encoded_look, gather_rows, held_out_rows, open_look, rows_of_page, write_page
from m3di.errors import UsageError
from m3di.evaluate import ProbeData, encode_run
from m3di.learn import TrainConfig, train
from tests.browse.acting import category, tables
from tests.browse.conftest import Shown, until
from tests.conftest import write_fake_dataset

pytestmark = pytest.mark.slow
TINY = TrainConfig(
    n_steps=1, batch_size=4, precision="fp32", n_threads=1, encoding_size=3, tensorboard=False,
    image_encoder="tiny", text_encoder="tiny",
)  # fmt: skip
Serve = Callable[[Look], PageServer]


def test_an_arrow_shows_how_its_factors_lie_together(look: Look, many: Path, serve: Serve, shown: Shown) -> None:
    page, table = shown.goto(serve(look).url), tables(many)
    page.locator('[data-edge="text_palette text_color"]').first.dispatch_event("click")
    assert page.get_attribute("#pair figure", "data-kind") == "heat"
    category(page, "image.object_xpos", "left")
    until(page, "document.querySelector('#pair figcaption').textContent.includes('object_xpos') === false")
    n = (table["image.object_xpos"] == 0).sum()
    until(page, f"document.querySelector('#pair figcaption').textContent.endsWith('{n} samples')")


def test_a_heat_map_counts_what_pandas_counts(look: Look, many: Path, serve: Serve, shown: Shown) -> None:
    page, table = shown.goto(f"{serve(look).url}#f.image.object_ypos=0,2"), tables(many)
    table = table[table["image.object_ypos"].isin([0, 2])]
    page.locator('[data-edge="object_xpos object_color"]').first.dispatch_event("click")
    bins = np.floor(table["image.object_color"] * 40).clip(upper=39).astype(int)
    expected = table.groupby([table["image.object_xpos"], bins]).size()
    cells = page.eval_on_selector_all("#pair rect", "all => all.map(each => each.dataset.cell)")
    assert {tuple(map(int, each.split())) for each in cells} == {(*at, n) for at, n in expected.items()}
    words = page.eval_on_selector_all("#pair rect title", "all => all.map(each => each.textContent)")
    assert all(each.startswith(("left, ", "center, ", "right, ")) for each in words)


def test_a_scatter_has_a_dot_for_each_sample(tmp_path: Path, serve: Serve, shown: Shown) -> None:
    root = write_fake_dataset(tmp_path / "causal", spec="causal3dident", n_train=60, size_px=16)
    page, table = shown.goto(serve(open_look([root])).url), tables(root)
    page.locator('[data-edge="background_color object_color"]').first.dispatch_event("click")
    assert page.get_attribute("#pair figure", "data-kind") == "dots"
    found = re.findall(r"M([\d.]+) ([\d.]+)h0", page.get_attribute("#pair .dots", "d"))
    x, y = ((table[f"image.{each}_color"] + 1) / 2 for each in ("background", "object"))
    np.testing.assert_allclose(np.array(found, float), np.column_stack([280 * x, 210 * (1 - y)]), atol=0.051)


def test_encodings_are_a_map_with_neighbours(many: Path, tmp_path: Path, serve: Serve, shown: Shown) -> None:
    generator = np.random.default_rng(0)
    arrays = {
        f"{split}_{view}": generator.normal(size=(40, 5)) for split in ("val", "test") for view in ("image", "text")
    }
    np.savez(tmp_path / "encodings.npz", fingerprint=gather_rows([many]).sources[0].fingerprint, **arrays)
    look = open_look([many], tmp_path / "encodings.npz")
    page = shown.goto(f"{serve(look).url}#open=250")
    until(page, "document.querySelectorAll('.neighbours button').length === 24")
    whole = np.concatenate([arrays["val_text"], arrays["test_text"]])
    unit = whole / np.linalg.norm(whole, axis=1, keepdims=True)
    order = np.argsort(-(unit @ unit[10]))[1:13] + 240
    found = page.eval_on_selector_all(
        ".neighbours >> nth=1 >> button", "all => all.map(each => Number(each.dataset.row))"
    )
    assert found == order.tolist()
    page.keyboard.press("Escape")
    page.wait_for_selector("#sample:not([open])", state="attached")
    x, y = page.evaluate("""async () => {
      const canvas = document.querySelector(".map canvas");
      canvas.scrollIntoView();
      const image = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
      const at = image.findIndex((value, each) => each % 4 === 3 && value > 150);
      return [((at - 3) / 4) % canvas.width, Math.floor((at - 3) / 4 / canvas.width)];
    }""")
    width = page.locator(".map canvas").bounding_box()["width"]
    page.locator(".map canvas").click(position={"x": x * width / 340, "y": y * width / 340})
    page.wait_for_selector("#sample[open]")


def test_keys_go_from_dot_to_dot_of_the_map(many: Path, tmp_path: Path, serve: Serve, shown: Shown) -> None:
    """Rows 240 to 319 lie on a grid of 8 x 10, the first factor of 8 along one direction, which differs more."""
    grid = np.stack(np.meshgrid(np.arange(10.0), np.arange(8.0)), axis=-1).reshape(80, 2) @ np.diag([2.0, 1.0])
    arrays = {f"{split}_image": part for split, part in zip(("val", "test"), np.split(grid, 2), strict=True)}
    np.savez(tmp_path / "encodings.npz", fingerprint=gather_rows([many]).sources[0].fingerprint, **arrays)
    look = open_look([many], tmp_path / "encodings.npz")
    assert look.encodings is not None
    places = look.encodings.places("image")
    page, table = shown.goto(serve(look).url), tables(many)
    page.wait_for_selector(".map canvas")
    page.locator(".map canvas").focus()

    def at() -> int:
        """The row that the map says, by its key and split."""
        split, key = page.inner_text(".map [role=status]").split(":")[0].split()
        (row,) = np.flatnonzero((table["split"] == split) & (table["key"] == key))
        return int(row)

    page.keyboard.press("ArrowDown")
    until(page, "document.querySelector('.map [role=status]').textContent !== ''")
    assert np.abs(places[at() - 240]).max() < 0.25  # begins in the middle
    for key, step in (("ArrowRight", (1, 0)), ("ArrowUp", (0, 1)), ("ArrowLeft", (-1, 0)), ("ArrowDown", (0, -1))):
        before, said = at(), page.inner_text(".map [role=status]")
        page.keyboard.press(key)
        until(page, f"document.querySelector('.map [role=status]').textContent !== {json.dumps(said)}")
        moved = places[at() - 240] - places[before - 240]
        expected = np.array(step) * (2 / 9, 1 / 9)  # of -1 to 1, by 9 steps of 2 units
        np.testing.assert_allclose(moved, expected, atol=1e-3)
    row = at()
    page.keyboard.press("Enter")
    page.wait_for_selector("#sample[open]")
    assert table["key"][row] in page.inner_text("#sample-title")


def test_a_run_encodes_samples_for_its_map(
    many: Path, tmp_path: Path, serve: Serve, shown: Shown, tiny_encoder: None
) -> None:
    run = tmp_path / "first"
    train(many, run, TINY)
    told: list[tuple[int, int]] = []
    look = open_look([many], run=run)
    look = encoded_look(look, held_out_rows(look.gathered), 50, lambda done, total: told.append((done, total)))
    assert look.about["encoded"] == "50 samples of val and test, encoded by first, step-000000001"
    assert told[-1] == (50, 50)
    assert look.encodings is not None
    assert look.encodings.rows.tolist() == (240 + np.linspace(0, 79, 50).round()).tolist()
    expected = encode_run(run, ProbeData(many)).encodings
    for view, both in expected.items():
        chosen = np.concatenate(both)[look.encodings.rows - 240]
        np.testing.assert_allclose(look.encodings.views[view], chosen, rtol=1e-4, atol=1e-5)
    page = shown.goto(f"{serve(look).url}#open=240")
    until(page, "document.querySelectorAll('.neighbours button').length === 24")
    assert "50 samples of val and test" in page.text_content(".map p")


def test_one_file_holds_the_map_of_its_own_samples(
    many: Path, tmp_path: Path, shown: Shown, tiny_encoder: None
) -> None:
    train(many, tmp_path / "first", TINY)
    look, out = open_look([many], run=tmp_path / "first"), tmp_path / "page.html"
    look = encoded_look(look, rows_of_page(look, 40), 2000)
    write_page(look, out, 40)
    page = shown.goto(f"{out.as_uri()}#open=39")
    until(page, "document.querySelectorAll('.neighbours button').length === 24")
    assert look.encodings is not None
    rows = look.encodings.rows.tolist()
    expected = [rows.index(each["row"]) for each in look.encodings.nearest("text", rows[39])]
    found = page.eval_on_selector_all(
        ".neighbours >> nth=1 >> button", "all => all.map(each => Number(each.dataset.row))"
    )
    assert found == expected
    page.keyboard.press("Escape")
    until(page, "document.querySelector('.curves figcaption').textContent.startsWith('first, step 1: loss ')")


def test_a_run_without_a_checkpoint_or_a_sweep_has_no_map(many: Path, tmp_path: Path) -> None:
    metrics = tmp_path / "sweep" / "run-1" / "metrics.csv"
    metrics.parent.mkdir(parents=True)
    metrics.write_text("step,loss,val_loss\n1,3.5,\n")
    for run, why in (
        (metrics.parent, "the run has no checkpoint yet to encode by"),
        (tmp_path / "sweep", "a map of encodings is of one run, not of a sweep"),
    ):
        look = open_look([many], run=run)
        found = encoded_look(look, held_out_rows(look.gathered), 50)
        assert (found.about["encodings"], found.about["encoded"]) == ([], why)
        assert encoded_look(look, held_out_rows(look.gathered), 0) is look
    with pytest.raises(UsageError, match="--n-encoded is too small"):
        encoded_look(look, held_out_rows(look.gathered), -1)


def test_losses_are_shown_as_they_come(many: Path, tmp_path: Path, serve: Serve, shown: Shown) -> None:
    metrics = tmp_path / "run-1" / "metrics.csv"
    metrics.parent.mkdir()
    metrics.write_text("step,loss,val_loss\n1,3.5,\n2,3.25,3.0\n")
    page = shown.goto(serve(open_look([many], run=metrics.parent)).url)
    until(page, "document.querySelector('.curves figcaption').textContent === 'run-1, step 2: loss 3.25, val_loss 3'")
    with metrics.open("a") as file:
        file.write("3,2.125,\n")
    until(page, "document.querySelector('.curves figcaption').textContent === 'run-1, step 3: loss 2.125, val_loss 3'")
