"""The page as one file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from m3di.browse import Look, open_look, write_page
from m3di.browse.page_files import one_module, page_file, page_names
from m3di.errors import DiskError, UsageError
from tests.browse.conftest import Shown, until


def data_of(page: Path) -> Any:
    """What the page holds; rows with their names."""
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(encoding="utf-8"))
    data = json.loads(found)
    names, values = data["rows"]["names"], data["rows"]["values"]
    data["rows"] = [dict(zip(names[which], row, strict=True)) for which, *row in values]
    return data


@pytest.mark.slow
def test_it_holds_samples_of_all_splits_evenly(look: Look, many: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    out = tmp_path / "new" / "page.html"
    assert write_page(look, out, 32, count=lambda done, total: seen.append((done, total))) == 32
    assert seen[-1] == (32, 32)
    data = data_of(out)
    assert {each["split"]: each["n"] for each in data["about"]["blocks"]} == {"train": 24, "val": 4, "test": 4}
    assert [each["first"] for each in data["about"]["blocks"]] == [0, 24, 28]
    assert (data["about"]["n_rows"], data["about"]["of"]) == (32, 320)
    table = pd.concat(
        [pd.read_parquet(many / f"{each}.parquet") for each in ("train", "val", "test")], ignore_index=True
    )
    chosen = np.linspace(0, 319, 32).round().astype(int)
    assert [each["text.caption"] for each in data["rows"]] == table["text.caption"][chosen].tolist()
    assert [each["row"] for each in data["rows"]] == list(range(32))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "encoded"),
    [
        (32, "8 of 80 encodings of val and test, from encodings.npz"),
        (320, "80 samples of val and test, from encodings.npz"),
        (1, "0 of 80 encodings of val and test, from encodings.npz"),
    ],
)
def test_it_says_how_many_of_the_encodings_it_holds(
    many: Path, tmp_path: Path, shown: Shown, n: int, encoded: str
) -> None:
    generator = np.random.default_rng(0)
    names = [f"{split}_{view}" for split in ("val", "test") for view in ("image", "text")]
    arrays = {name: generator.normal(size=(40, 5)) for name in names}
    np.savez(tmp_path / "encodings.npz", fingerprint=open_look([many]).gathered.sources[0].fingerprint, **arrays)
    out = tmp_path / "page.html"
    write_page(open_look([many], tmp_path / "encodings.npz"), out, n)
    about = data_of(out)["about"]
    assert about["encoded"] == encoded
    page = shown.goto(out.as_uri())
    if n > 1:
        assert page.inner_text(".map p").startswith(f"The two directions in which they differ most (PCA): {encoded}.")
    else:
        assert f"No map: {encoded}." in page.inner_text("#graph") and not about["encodings"]


@pytest.mark.slow
def test_all_there_are_where_more_are_asked_for(look: Look, tmp_path: Path) -> None:
    assert write_page(look, tmp_path / "page.html", 10_000) == 320


def test_it_asks_nobody(look: Look, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    write_page(look, out, 3)
    text = out.read_text(encoding="utf-8")
    assert not re.findall(r"(?:src|href)=\"(?!data:)", text)
    assert "default-src 'none'" in text and "connect-src" not in text
    assert str(tmp_path.parent.parent) not in text  # where the dataset lies
    assert data_of(out)["about"]["datasets"][0]["root"] == "m3di"


def test_its_one_script_has_every_module_once_after_those_it_imports() -> None:
    script = one_module()
    assert not re.findall(r"^import ", script, re.MULTILINE)
    assert not re.findall(r"^export ", script, re.MULTILINE)
    modules = [name for name in page_names() if name.endswith(".js")]
    for name in modules:
        text = (page_file(name) or b"").decode()
        last = [line for line in text.splitlines() if line][-1]
        assert script.count(last) >= 1, name
    assert script.index("class Crossfilter") < script.index("class Page ")


def test_no_two_modules_declare_one_name() -> None:
    """Their texts become one script, which a browser refuses where a name is declared twice."""
    declared = re.findall(r"^(?:async )?(?:const|let|class|function) (\[.*?\]|\w+)", one_module(), re.MULTILINE)
    names = [name for each in declared for name in re.findall(r"\w+", each)]
    assert {"Crossfilter", "short", "PAIR_WIDTH"} < set(names)
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize(
    ("out", "options", "match"),
    [
        ("page.html", {"n": 0}, "--n is too small"),
        ("page.html", {"size_px": 4}, "--thumbnail is too small"),
        ("page.txt", {}, "the page needs another name"),
    ],
)
def test_what_cannot_be_written(look: Look, tmp_path: Path, out: str, options: dict[str, int], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        write_page(look, tmp_path / out, **options)
    assert not list(tmp_path.iterdir())


def test_a_folder_is_no_page(look: Look, tmp_path: Path) -> None:
    (tmp_path / "page.html").mkdir()
    with pytest.raises(UsageError, match=r"got: +a folder"):
        write_page(look, tmp_path / "page.html", 3)
    assert [each.name for each in tmp_path.iterdir()] == ["page.html"]


def test_a_place_that_cannot_be_written_to(look: Look, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DiskError, match="the page cannot be written"):
        write_page(look, tmp_path / "file" / "page.html", 3)


@pytest.mark.slow
def test_it_works_from_a_disk_without_a_network(look: Look, many: Path, tmp_path: Path, shown: Shown) -> None:
    out = tmp_path / "page.html"
    write_page(look, out, 100)
    asked: list[str] = []
    shown.page.on("request", lambda request: asked.append(request.url))
    page = shown.goto(out.as_uri())
    assert shown.count() == 100
    assert "out of 320" in page.inner_text("#count")
    rows = data_of(out)["rows"]
    page.fill("#search", "hare")
    expected = [each["row"] for each in rows if "hare" in each["text.caption"].lower()]
    until(page, f"document.querySelector('#count').textContent.startsWith('{len(expected)} of')")
    until(page, f"document.querySelector('#grid button')?.getAttribute('data-row') === '{expected[0]}'")
    first = page.locator("#grid button").first
    assert first.locator(".caption").inner_text() == rows[expected[0]]["text.caption"]
    first.click()
    page.wait_for_selector("#sample[open]")
    until(page, "document.querySelector('#sample img').naturalWidth === 16")
    assert asked == [out.as_uri()]


@pytest.mark.slow
def test_two_thousand_thumbnails_stay_small(tmp_path: Path, rendered_dataset: Path) -> None:
    look, out = open_look([rendered_dataset]), tmp_path / "page.html"
    sizes = []
    for n in (1, 11):
        assert write_page(look, out, n, 64) == n
        sizes.append(out.stat().st_size)
    assert sizes[0] + (sizes[1] - sizes[0]) / 10 * 1999 < 15e6
