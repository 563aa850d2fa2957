"""The page in a real browser: filters, order, search, links, keyboard."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from m3di.browse import Look, PageServer, open_look
from m3di.data import read_manifest
from m3di.data.load.where import mask_of
from tests.browse.acting import SPLITS, bound, category, numbers_of, rows_shown, tables
from tests.browse.conftest import Shown, until
from tests.cli.test_main import m3di

pytestmark = pytest.mark.slow
Serve = Callable[[Look], PageServer]


def test_filters_count_what_pandas_counts_and_are_told_as_a_condition(
    look: Look, many: Path, serve: Serve, shown: Shown
) -> None:
    page, table = shown.goto(serve(look).url), tables(many)
    assert shown.count() == 320
    category(page, "image.object_shape", "cow")
    category(page, "image.object_shape", "hare")
    shape = table["image.object_shape_name"].isin(["cow", "hare"])
    assert shown.count() == shape.sum()
    bound(page, "image.object_color", "low", 0.25)
    bound(page, "image.object_color", "high", 0.8)
    color = table["image.object_color"].between(0.25, 0.8)
    assert shown.count() == (shape & color).sum()
    category(page, "split", "train")
    split = table["split"] == "train"
    assert shown.count() == (shape & color & split).sum()

    # A histogram counts what passes all other filters.
    places = table[shape & color & split]["image.object_xpos_name"].value_counts()
    assert numbers_of(page, "image.object_xpos") == {each: places.get(each, 0) for each in ("left", "center", "right")}
    shapes = table[color & split]["image.object_shape_name"].value_counts()
    assert numbers_of(page, "image.object_shape") == shapes.to_dict()

    page.click("#copy")
    command = page.input_value('[data-copy="--where"]')
    assert command.startswith(f"m3di subset '{many}' --out OUT --split train --where '")
    where = command.partition("--where '")[2].removesuffix("'")
    assert where == 'image.object_shape in ["hare", "cow"] and 0.25 <= image.object_color <= 0.8'
    train = pq.read_table(many / "train.parquet")
    assert mask_of(where, train, look.gathered.spec).sum() == (shape & color & split).sum()
    python = page.input_value('[data-copy="Python"]')
    scope: dict[str, Any] = {}
    exec(python, scope)  # what it says runs, and is these samples
    assert len(scope["data"]) == (shape & color & split).sum()
    page.keyboard.press("Escape")
    page.click("#clear")
    assert shown.count() == 320


def test_a_search_that_is_too_long_is_told_and_finds_nothing(look: Look, serve: Serve, browser: Any) -> None:
    page = browser.new_page()
    page.goto(f"{serve(look).url}#q={'e' * 1001}")
    page.wait_for_selector("body[data-ready]")
    assert "the text to search for is too long" in page.inner_text("#message")
    assert page.inner_text("#count").startswith("0 of 320")
    page.fill("#search", "e" * 1002)
    until(page, "document.querySelector('#message').textContent.includes('1,002 characters')")
    page.fill("#search", "e")
    until(page, "document.querySelector('#message').hidden")
    assert page.inner_text("#count").startswith("320 of 320")
    page.close()


@pytest.mark.parametrize("search", ["", '"XKCD:P'])
def test_what_is_copied_gives_the_same_samples(
    look: Look, many: Path, tmp_path: Path, serve: Serve, shown: Shown, search: str
) -> None:
    page, table = shown.goto(serve(look).url), tables(many)
    expected = pd.Series(data=True, index=table.index)
    if search:
        page.fill("#search", search)
        until(page, "location.hash.includes('q=')")
        expected &= table["text.caption"].str.contains(search, case=False, regex=False)
    category(page, "image.object_ypos", "top")
    bound(page, "image.object_alpharot", "low", 1e-3)
    bound(page, "image.object_visible_px", "high", 60)
    expected &= (table["image.object_ypos_name"] == "top") & (table["image.object_alpharot"] >= 1e-3)
    expected &= table["image.object_visible_px"] <= 60
    assert shown.count() == expected.sum() > 0
    for split, chosen in ((None, SPLITS), ("train", ("train",)), ("val", ("train", "val"))):
        if split:
            category(page, "split", split)
        page.click("#copy")
        scope: dict[str, Any] = {}
        exec(page.input_value('[data-copy="Python"]'), scope)
        assert len(scope["data"]) == (expected & table["split"].isin(chosen)).sum() == shown.count()
        command = page.input_value('[data-copy="--where"]')
        page.keyboard.press("Escape")
    if not search:
        words = shlex.split(command.replace("OUT", str(tmp_path / "subset")))
        done = m3di(*words[1:])
        assert done.returncode == 0, done.stderr
        assert sum(read_manifest(tmp_path / "subset").n_samples.values()) == shown.count()


def test_dragging_filters(look: Look, many: Path, serve: Serve, shown: Shown) -> None:
    page, table = shown.goto(serve(look).url), tables(many)
    picture = page.locator('[data-column="image.object_alpharot"] svg')
    picture.scroll_into_view_if_needed()
    box = picture.bounding_box()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 20, steps=4)
    page.mouse.up()
    low, high = (
        float(page.get_by_label(f"image.object_alpharot: {end}", exact=True).input_value())
        for end in ("least", "greatest")
    )
    assert 0.15 < low < 0.25 and 0.65 < high < 0.75
    assert shown.count() == table["image.object_alpharot"].between(low, high).sum() < 320
    picture.click(position={"x": 5, "y": 5})
    assert shown.count() == 320


def test_sorting_puts_what_is_least_first(look: Look, many: Path, serve: Serve, shown: Shown) -> None:
    page, table = shown.goto(serve(look).url), tables(many)
    values = table["image.object_visible_px"].to_numpy()
    page.select_option("#sort", "image.object_visible_px")
    found = rows_shown(page)
    assert found == np.argsort(values, kind="stable")[: len(found)].tolist()
    page.check("#descending")
    found = rows_shown(page)
    assert found == np.argsort(-values, kind="stable")[: len(found)].tolist()


def test_captions_are_searched(look: Look, many: Path, serve: Serve, shown: Shown) -> None:
    page, table = shown.goto(serve(look).url), tables(many)
    page.fill("#search", "HARE")
    expected = table["text.caption"].str.contains("hare", case=False)
    until(page, f"document.querySelector('#count').textContent.startsWith('{expected.sum()} of')")
    assert rows_shown(page)[0] == expected.idxmax()
    category(page, "image.object_xpos", "left")
    assert shown.count() == (expected & (table["image.object_xpos"] == 0)).sum()


def test_a_link_restores_the_page(look: Look, serve: Serve, shown: Shown, browser: Any) -> None:
    server = serve(look)
    page = shown.goto(server.url)
    category(page, "image.object_shape", "cow")
    bound(page, "image.object_color", "low", 0.1)
    page.fill("#search", "cow")
    until(page, "location.hash.includes('q=cow')")
    page.select_option("#sort", "image.object_contrast")
    page.check("#boxes")
    page.click('[data-edge="object_xpos object_color"] >> nth=0', force=True)
    first = rows_shown(page)
    page.click(f'#grid button[data-row="{first[1]}"]')
    page.wait_for_selector("#sample[open]")
    other = Shown(browser.new_page())
    restored = other.goto(page.url)
    restored.wait_for_selector("#sample[open]")
    assert other.count() == shown.count()
    assert rows_shown(restored) == first
    assert restored.inner_text("#sample-title") == page.inner_text("#sample-title")
    assert restored.inner_text("#pair figcaption") == page.inner_text("#pair figcaption")
    assert restored.input_value("#search") == "cow"
    assert restored.is_checked("#boxes")
    assert not other.troubles
    restored.close()


def test_a_column_without_numbers_has_no_value(many: Path, tmp_path: Path, serve: Serve, shown: Shown) -> None:
    root = shutil.copytree(many, tmp_path / "lacking")
    for number, split in enumerate(SPLITS):
        table = pd.read_parquet(root / f"{split}.parquet")
        table["image.object_contrast"] = np.nan
        table["image.object_displayed_hue"] = [0.5, np.nan, 0.5][number]
        table.to_parquet(root / f"{split}.parquet")
    page = shown.goto(serve(open_look([root])).url)
    said = page.locator("p.constant").all_inner_texts()
    assert "object_contrast: never a number" in said
    assert "object_displayed_hue: 0.5, or no number" in said
    assert "object_zpos: always 0" in said


@pytest.mark.parametrize(
    "hash_",
    [
        "f.nothing=1",
        "f.image.object_shape=99",
        "f.image.object_shape=",
        "f.image.object_color=x..y",
        "f.image.object_color=..",
        "f.image.object_color=-Infinity..Infinity",
        "open=-1&sort=x&view=y&pair=a",
        "open=",
    ],
)
def test_a_link_that_says_nothing_is_passed_over(look: Look, serve: Serve, shown: Shown, hash_: str) -> None:
    page = shown.goto(f"{serve(look).url}#{hash_}")
    assert shown.count() == 320
    assert not page.is_visible("#sample")


def test_from_a_sample_of_a_link_the_keys_go_to_its_neighbours(look: Look, serve: Serve, shown: Shown) -> None:
    page = shown.goto(f"{serve(look).url}#open=100")
    rows_shown(page)
    for key, row in (("ArrowRight", 101), ("ArrowLeft", 100), ("ArrowLeft", 99)):
        page.keyboard.press(key)
        until(page, f"location.hash.endsWith('open={row}')")
    for _ in range(5):
        page.keyboard.press("ArrowRight")  # faster than samples come
    until(page, "location.hash.endsWith('open=104')")
    assert page.inner_text("#sample-title") == "train 000000104"


def test_there_may_be_any_number_of_filters(look: Look, serve: Serve, shown: Shown) -> None:
    page = shown.goto(serve(look).url)
    values = np.random.default_rng(2).integers(0, 30, (70, 2000))  # 0 fails
    passing, alone = page.evaluate(
        """async (values) => {
          const {Crossfilter} = await import("./crossfilter.js");
          const cross = new Crossfilter(values[0].length);
          cross.addHistogram(69, Uint8Array.from(values[69]), 30);
          cross.setFilters(values.map((each, name) => [name, Uint8Array.from(each, (value) => value && 1)]));
          return [cross.nPassing, Array.from(cross.histograms.get(69).counts)];
        }""",
        values.tolist(),
    )
    assert passing == (values > 0).all(axis=0).sum() > 0
    assert alone == np.bincount(values[69][(values[:69] > 0).all(axis=0)], minlength=30).tolist()


def test_the_keyboard_is_enough(look: Look, serve: Serve, shown: Shown) -> None:
    page = shown.goto(serve(look).url)
    rows_shown(page)
    focused = "document.activeElement.dataset.row"
    page.focus('#grid button[data-row="0"]')
    page.keyboard.press("ArrowRight")
    until(page, f"{focused} === '1'")
    page.keyboard.press("End")
    until(page, f"{focused} === '319'")
    page.keyboard.press("Home")
    until(page, f"{focused} === '0'")
    page.keyboard.press("ArrowDown")
    until(page, f"Number({focused}) > 1")
    page.keyboard.press("Enter")
    page.wait_for_selector("#sample[open]")
    title = page.inner_text("#sample-title")
    page.keyboard.press("ArrowRight")
    until(page, f"document.querySelector('#sample-title').textContent !== {json.dumps(title)}")
    page.keyboard.press("Escape")
    page.wait_for_selector("#sample:not([open])", state="attached")
    page.focus('[data-edge="object_xpos object_color"] >> nth=0')
    page.keyboard.press("Enter")
    page.wait_for_selector("#pair svg")


def test_filters_of_many_rows_count_what_numpy_counts(look: Look, serve: Serve, shown: Shown) -> None:
    page = shown.goto(serve(look).url)
    n, n_columns = 5000, 9
    values = np.random.default_rng(1).integers(0, 7, (n_columns, n))
    filters = [[0, [1, 2]], [3, [0, 1, 2, 3]], [8, [6]], [0, None], [5, [2, 4, 6]]]
    found = page.evaluate(
        """async ([values, filters]) => {
          const {Crossfilter, isOneOf} = await import("./crossfilter.js");
          const cross = new Crossfilter(values[0].length);
          values.forEach((each, name) => cross.addHistogram(name, Uint8Array.from(each), 7));
          return filters.map(([name, chosen]) => {
            cross.setFilter(name, chosen && isOneOf(Uint8Array.from(values[name]), chosen, 7));
            return [cross.nPassing, values.map((_, each) => Array.from(cross.histograms.get(each).counts))];
          });
        }""",
        [values.tolist(), filters],
    )
    passes = np.ones((n_columns, n), bool)
    for (name, chosen), (n_passing, counts) in zip(filters, found, strict=True):
        passes[name] = True if chosen is None else np.isin(values[name], chosen)
        assert n_passing == passes.all(axis=0).sum()
        for each in range(n_columns):
            others = np.delete(passes, each, axis=0).all(axis=0)
            assert counts[each] == np.bincount(values[each][others], minlength=7).tolist()
