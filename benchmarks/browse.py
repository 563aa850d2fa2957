"""How long the page of `m3di browse` takes: to open, to filter, to sort, to search; needs Chromium and Playwright.

python benchmarks/browse.py --n 1000000
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from typing import Any

import click
import numpy as np
import pyarrow as pa
from playwright.sync_api import sync_playwright

from m3di.browse import Gathered, Look, PageServer
from m3di.browse.gathered import Block
from m3di.data.format.images import encode
from m3di.data.format.table import latent_columns
from m3di.latents import captions, load_spec, sample

FILTER = """async () => {
  const column = document.querySelector('[data-column="image.object_alpharot"]');
  const [low, high] = column.querySelectorAll("input");
  const times = [];
  for (const [least, most] of [[0.1, 0.9], [0.2, 0.9], [0.21, 0.9], [0.5, 0.6], [0.0, 1.0]]) {
    const began = performance.now();
    low.value = least;
    high.value = most;
    high.dispatchEvent(new Event("change"));
    times.push(performance.now() - began);
    await new Promise(resolve => setTimeout(resolve, 3000));
  }
  return times;
}"""


class OnePicture:
    """The same picture for every row."""

    size_px = 64
    raw = encode(np.full((64, 64, 3), 128, np.uint8), "png")

    def read(self, row: int, view: str) -> bytes:
        return self.raw

    def extension(self, view: str) -> str:
        return "png"

    def where(self, row: int, view: str) -> str:
        return "memory"


class InMemory:
    """A dataset of latents and captions that was never rendered."""

    def __init__(self, n: int) -> None:
        self.spec, self.fingerprint, self.n_samples = load_spec("m3di"), "0" * 64, {"train": n}
        samples = sample(self.spec, "train", n)
        keys = [f"{index:09d}" for index in range(n)]
        self.rows = pa.table({"key": keys, "text.caption": captions(samples, "text"), **latent_columns(samples)})

    def pictures(self, split: str) -> str:
        return self.fingerprint

    def table(self, split: str) -> pa.Table:
        return self.rows

    def files(self, split: str, table: pa.Table) -> OnePicture:
        return OnePicture()

    def tokenizer(self, view: str) -> Any:
        raise NotImplementedError


@click.command()
@click.option("--n", default=1_000_000, show_default=True, help="Rows.")
def main(n: int) -> None:
    """Print how long each takes."""
    source = InMemory(n)
    look = Look(Gathered(("memory",), (source,), (Block(0, "train", 0, source.rows, OnePicture()),)))
    with PageServer(look) as server, sync_playwright() as driver, tempfile.TemporaryDirectory() as profile:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = driver.chromium.launch_persistent_context(
            profile, executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"],
            viewport={"width": 1300, "height": 850},
        )  # fmt: skip
        page = browser.new_page()
        began = time.perf_counter()
        page.goto(server.url)
        page.wait_for_selector("body[data-ready]", timeout=120_000)
        page.wait_for_selector("#grid img")
        print(f"{n:,} rows")
        print(f"open    {time.perf_counter() - began:.2f} s")
        print(f"filter  {', '.join(f'{each:.0f}' for each in page.evaluate(FILTER))} ms")
        for name, act in (
            ("sort", lambda: page.select_option("#sort", "image.object_color")),
            ("search", lambda: page.fill("#search", "hare")),
        ):
            began, before = time.perf_counter(), page.inner_text("#grid") + page.inner_text("#count")
            act()
            while page.inner_text("#grid") + page.inner_text("#count") == before:
                page.wait_for_timeout(20)
            print(f"{name:7} {time.perf_counter() - began:.2f} s")
        browser.close()
        server.shutdown()


if __name__ == "__main__":
    main()
