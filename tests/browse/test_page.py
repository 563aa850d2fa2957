"""The page in a real browser: what it counts, what it shows, and what words of a dataset cannot do to it."""

from __future__ import annotations

import base64
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image

from m3di import data
from m3di.browse import Look, PageServer, gather_rows, open_look, write_page
from m3di.data.load.where import mask_of
from tests.browse.conftest import Shown, until
from tests.conftest import write_fake_dataset

pytestmark = pytest.mark.slow
Serve = Callable[[Look], PageServer]
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


@pytest.mark.parametrize(
    "hash_", ["f.nothing=1", "f.image.object_shape=99", "f.image.object_color=x..y", "open=-1&sort=x&view=y&pair=a"]
)
def test_a_link_that_says_nothing_is_passed_over(look: Look, serve: Serve, shown: Shown, hash_: str) -> None:
    shown.goto(f"{serve(look).url}#{hash_}")
    assert shown.count() == 320


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
    page.wait_for_selector("#pair canvas")


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


def test_an_arrow_shows_how_its_factors_lie_together(look: Look, many: Path, serve: Serve, shown: Shown) -> None:
    page, table = shown.goto(serve(look).url), tables(many)
    page.locator('[data-edge="text_palette text_color"]').first.dispatch_event("click")
    assert page.get_attribute("#pair figure", "data-kind") == "heat"
    category(page, "image.object_xpos", "left")
    until(page, "document.querySelector('#pair figcaption').textContent.includes('object_xpos') === false")
    n = (table["image.object_xpos"] == 0).sum()
    until(page, f"document.querySelector('#pair figcaption').textContent.endsWith('{n} samples')")


def test_hostile_words_are_words(hostile: Path, serve: Serve, shown: Shown, tmp_path: Path) -> None:
    look = open_look([hostile])
    out = tmp_path / "page.html"
    write_page(look, out)
    mood = tables(hostile)["text.mood_name"]
    for url in (serve(look).url, out.as_uri()):
        page = shown.goto(url)
        assert numbers_of(page, "text.mood") == mood.value_counts().to_dict()
        category(page, "text.mood", "<script>window.hit = 1</script>")
        assert shown.count() == (mood == "<script>window.hit = 1</script>").sum()
        rows_shown(page)
        page.locator("#grid button").first.click()
        page.wait_for_selector("#sample[open]")
        assert page.evaluate("window.hit") is None
        assert page.locator("script[src], #filters script, #graph script, dialog script").count() == (
            url.startswith("http")
        )
        assert page.locator("b", has_text="bold").count() == 0


def test_hostile_captions_are_words(many: Path, tmp_path: Path, serve: Serve, shown: Shown) -> None:
    root = tmp_path / "published"
    data.export(many, "upstream", root)
    for each in (*root.rglob("m3di.parquet"), root / "m3di.json"):
        each.unlink()
    captions = root / "train" / "text" / "text_raw.txt"
    lines = captions.read_text().splitlines()
    lines[0], lines[1] = "<img src=x onerror='window.hit = 1'>", "<script>window.hit = 1</script>"
    captions.write_text("\n".join(lines) + "\n")
    page = shown.goto(serve(open_look([root])).url)
    rows_shown(page)
    assert page.inner_text('#grid button[data-row="0"] .caption') == lines[0]
    assert page.get_attribute('#grid button[data-row="1"] img', "alt") == lines[1]
    assert page.evaluate("window.hit") is None


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


def test_losses_are_shown_as_they_come(many: Path, tmp_path: Path, serve: Serve, shown: Shown) -> None:
    metrics = tmp_path / "run-1" / "metrics.csv"
    metrics.parent.mkdir()
    metrics.write_text("step,loss,val_loss\n1,3.5,\n2,3.25,3.0\n")
    page = shown.goto(serve(open_look([many], run=metrics.parent)).url)
    until(page, "document.querySelector('.curves figcaption').textContent === 'run-1, step 2: loss 3.25, val_loss 3'")
    with metrics.open("a") as file:
        file.write("3,2.125,\n")
    until(page, "document.querySelector('.curves figcaption').textContent === 'run-1, step 3: loss 2.125, val_loss 3'")


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


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_in_the_dark_and_on_a_phone(look: Look, serve: Serve, shown: Shown, scheme: str) -> None:
    shown.page.emulate_media(color_scheme=scheme)
    page = shown.goto(serve(look).url)
    page.wait_for_selector("#grid button")
    assert rows_shown(page)
    for selector in ("body", ".caption", ".bounds span", "#grid button", ".category .n", ".role-content", "figcaption"):
        assert contrast(page, selector) >= 4.5, selector
    page.set_viewport_size({"width": 360, "height": 700})
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert not page.is_visible("#filters")
    page.click('[data-tab="filters"]')
    category(page, "image.object_shape", "cow")
    page.click('[data-tab="samples"]')
    assert len(rows_shown(page)) > 1


def contrast(page: Any, selector: str) -> float:
    """Of a text with what it lies on (WCAG 2): 1 is none, 21 is black on white."""
    colors = page.eval_on_selector(
        selector,
        """element => {
          const numbers = text => text.match(/[\\d.]+/g).map(Number);
          let behind = element;
          while (numbers(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
          return [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor].map(numbers);
        }""",
    )
    light = []
    for color in colors:
        share = np.array(color[:3]) / 255
        light.append(
            np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]
        )
    return (max(light) + 0.05) / (min(light) + 0.05)


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
