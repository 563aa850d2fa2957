"""What words of a dataset cannot do to the page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from m3di import data
from m3di.browse import Look, PageServer, open_look, write_page
from tests.browse.acting import category, numbers_of, rows_shown, tables
from tests.browse.conftest import Shown

pytestmark = pytest.mark.slow
Serve = Callable[[Look], PageServer]


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
