"""Draws the pictures of docs/browse.md in docs/images, where the page looks otherwise by now: one for each option.

    m3di render --spec m3di --n 8 --n-val 1 --n-test 1 --passes mask,depth,normal --out passes
    m3di render --spec m3di-counterfactual --n 4 --n-val 1 --n-test 1 --out twins
    python -m tests.draw_browse --data ROOT --run RUN --passes passes --twins twins

The dataset of `--data` and the run on it are any; those in docs/images are 12,000 pairs of 64 px.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
from playwright.sync_api import sync_playwright

from m3di.browse import Look, PageServer, encoded_look, held_out_rows, open_look
from tests.browse.conftest import CHROMIUM, until

OUT = Path(__file__).parents[1] / "docs" / "images"
FILTERED = "f.image.object_color=0.1..0.55&boxes=1&pair=image+object_xpos+object_color"
STILL = """document.querySelector("#grid").getAttribute("aria-busy") === "false"
  && [...document.images].every(each => each.complete || !each.checkVisibility())"""


@contextmanager
def opened(browser: Any, look: Look, state: str, size: tuple[int, int], scheme: str = "light") -> Iterator[Any]:
    """A page that is drawn."""
    with PageServer(look) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = browser.new_page()
        page.set_viewport_size({"width": size[0], "height": size[1]})
        page.emulate_media(color_scheme=scheme)
        page.goto(f"{server.url}#{state}")
        page.wait_for_selector("body[data-ready]")
        until(page, STILL)
        yield page
        page.close()
        server.shutdown()


@click.command()
@click.option("--data", type=Path, help="A dataset: browse.png, the first picture of the README.")
@click.option("--run", type=Path, help="A run on it: browse-encodings.png.")
@click.option("--passes", type=Path, help="A dataset with passes: browse-sample.png.")
@click.option("--twins", type=Path, help="A dataset of m3di-counterfactual: browse-twins.png.")
@click.option("--out", type=Path, default=OUT, help="Folder of the pictures.")
def main(data: Path | None, run: Path | None, passes: Path | None, twins: Path | None, out: Path) -> None:
    """Draw what is asked for."""
    with sync_playwright() as driver, TemporaryDirectory() as profile:
        browser = driver.chromium.launch_persistent_context(
            profile, executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        if data is not None:
            with opened(browser, open_look([data]), FILTERED, (1280, 900)) as page:
                page.eval_on_selector("#filters", "each => each.scrollTo(0, 355)")
                page.screenshot(path=out / "browse.png")
        if data is not None and run is not None:
            look = open_look([data], run=run)
            look = encoded_look(look, held_out_rows(look.gathered), 2000)
            with opened(browser, look, "", (1280, 900), "dark") as page:
                until(page, "document.querySelector('.curves path.curve') !== null")
                page.eval_on_selector("#graph", "each => each.scrollTo(0, each.scrollHeight)")
                page.screenshot(path=out / "browse-encodings.png")
        if passes is not None:
            with opened(browser, open_look([passes]), "open=1", (1280, 700)) as page:
                page.get_by_label("pass over image").select_option("mask")
                page.get_by_label("box", exact=True).check()
                until(page, STILL)
                page.screenshot(path=out / "browse-sample.png")
        if twins is not None:
            with opened(browser, open_look([twins]), "open=1", (1280, 760)) as page:
                page.get_by_label("compared with").select_option("image_do_object_xpos")
                until(page, "document.querySelector('.twins figure:last-child figcaption').textContent !== ''")
                page.eval_on_selector(".twins", "each => each.scrollIntoView()")
                page.screenshot(path=out / "browse-twins.png")
        browser.close()


if __name__ == "__main__":
    main()
