"""How long the page of `m3di browse` takes: to open, to filter, to sort, to search; needs Chromium and Playwright.

python benchmarks/browse.py
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow as pa
from playwright.sync_api import sync_playwright

from m3di.browse import Gathered, Look, PageServer
from m3di.browse.gathered import Block
from m3di.data import Plan, TextEntry, build_tokenizer
from m3di.data.format.assemble import assemble
from m3di.data.format.citation import today
from m3di.data.format.images import encode
from m3di.data.format.table import latent_columns
from m3di.latents import ANNOTATIONS, captions, load_spec, plain_spec, sample

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
DRAWN = """(() => {
  const images = [...document.querySelectorAll("#grid img")];
  const busy = document.querySelector("#grid")?.getAttribute("aria-busy") !== "false";
  return document.body.dataset.ready && !busy && images.length > 0 && images.every(each => each.complete);
})()"""


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


def write(root: Path, n: int) -> None:
    """A dataset on disk whose images are all one picture of 64 px."""
    spec = load_spec("m3di")
    n_samples = {"train": n, "val": 0, "test": 0}
    drawn = sample(spec, "train", n)
    texts, columns = captions(drawn, "text"), latent_columns(drawn)
    tokens = build_tokenizer(spec, "text")
    plan = Plan(
        spec=plain_spec(spec),
        seed=0,
        n_samples=n_samples,
        shard_size=1000,
        extensions={"image": "png", "text": "txt", "latents": "json"},
        render={"size_px": 64, "quality": "standard", "device": "cpu", "m3di": "benchmark", "bpy": "none"},
        text={"text": TextEntry(vocabulary=tokens.vocabulary, length=tokens.length)},
    )
    table = pa.table({"text.caption": texts, **columns})
    measured = np.random.default_rng(0)
    for name in ANNOTATIONS:
        values = (
            measured.random(n) if name in ("object_contrast", "object_displayed_hue") else measured.integers(0, 64, n)
        )
        table = table.append_column(f"image.{name}", pa.array(values))
    contents = ({"png": OnePicture.raw, "txt": text.encode(), "json": b"{}"} for text in texts)
    root.mkdir()
    tables = {split: table.slice(0, n_samples[split]) for split in n_samples}
    assemble(root, plan, tables, {"train": contents}, created=today())


def shown(page: Any, url: str) -> None:
    """Open a page, and wait until all that is in sight is drawn. The policy of the page allows no waiting inside it."""
    page.goto(url)
    while not page.evaluate(DRAWN):
        page.wait_for_timeout(5)


def acts(page: Any) -> None:
    """Print how long a filter, a sort and a search take."""
    print(f"filter   {', '.join(f'{each:.0f}' for each in page.evaluate(FILTER))} ms")
    for name, act in (
        ("sort", lambda: page.select_option("#sort", "image.object_color")),
        ("search", lambda: page.fill("#search", "hare")),
    ):
        began, before = time.perf_counter(), page.inner_text("#grid") + page.inner_text("#count")
        act()
        while page.inner_text("#grid") + page.inner_text("#count") == before:
            page.wait_for_timeout(20)
        print(f"{name:8} {time.perf_counter() - began:.2f} s")


def from_disk(browser: Any, n: int, folder: Path) -> None:
    """Print how long the command itself takes to show a dataset."""
    write(folder / "data", n)
    for _ in range(3):
        page = browser.new_page()
        began = time.perf_counter()
        with subprocess.Popen(
            [sys.executable, "-m", "m3di", "browse", folder / "data", "--no-open"], stdout=subprocess.PIPE, text=True
        ) as server:
            assert server.stdout is not None
            url = [server.stdout.readline() for _ in range(2)][1].removeprefix("look at  ").strip()
            served = time.perf_counter()
            shown(page, url)
            done = time.perf_counter()
            print(f"on disk  command to address {served - began:.2f} s, address to pictures {done - served:.2f} s")
            server.send_signal(signal.SIGINT)
        page.close()


@click.command()
@click.option("--n", default=1_000_000, show_default=True, help="Rows of a dataset in memory.")
@click.option("--n-on-disk", default=125_000, show_default=True, help="Rows of a dataset on disk.")
def main(n: int, n_on_disk: int) -> None:
    """Print how long each takes."""
    source = InMemory(n)
    look = Look(Gathered(("memory",), (source,), (Block(0, "train", 0, source.rows, OnePicture()),)))
    with PageServer(look) as server, sync_playwright() as driver, tempfile.TemporaryDirectory() as folder:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = driver.chromium.launch_persistent_context(
            Path(folder) / "profile", executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"],
            viewport={"width": 1300, "height": 850},
        )  # fmt: skip
        print(f"{browser.browser.version if browser.browser else 'Chromium'}, {n:,} rows in memory")
        page = browser.new_page()
        began = time.perf_counter()
        shown(page, server.url)
        print(f"open     {time.perf_counter() - began:.2f} s")
        acts(page)
        page.close()
        server.shutdown()
        print(f"{n_on_disk:,} rows on disk")
        from_disk(browser, n_on_disk, Path(folder))
        browser.close()


if __name__ == "__main__":
    main()
