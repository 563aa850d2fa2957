"""A page in a real browser: Debian's Chromium, driven by Playwright; without it these tests are skipped."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from m3di.browse import Look, PageServer, open_look
from tests.conftest import write_fake_dataset
from tests.learn.conftest import tiny_encoder

__all__ = ["tiny_encoder"]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One Chromium with a profile of its own for all tests."""
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium to drive here")
    profile = tmp_path_factory.mktemp("profile")
    with playwright.sync_playwright() as driver:
        context = driver.chromium.launch_persistent_context(
            profile, executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"],
            viewport={"width": 1300, "height": 850},
        )  # fmt: skip
        context.set_default_timeout(60_000)
        yield context
        context.close()


@pytest.fixture
def serve() -> Iterator[Callable[[Look], PageServer]]:
    """Serves a look in a thread, until the test is over."""
    with ExitStack() as stack:

        def start(look: Look) -> PageServer:
            server = stack.enter_context(PageServer(look))
            thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            return server

        yield start


class Shown:
    """A page that is ready, and what went wrong in it."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.troubles: list[str] = []
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        page.on("console", lambda said: said.type == "error" and self.troubles.append(said.text))

    def goto(self, url: str) -> Any:
        self.page.goto(url)
        self.page.wait_for_selector("body[data-ready]")
        return self.page

    def count(self) -> int:
        """Samples that are left, as the page says it."""
        return int(self.page.inner_text("#count").split(" of ")[0].replace(",", ""))


def until(page: Any, expression: str) -> None:
    """Wait until an expression holds. The browser's own waiting needs `eval`, which the policy of the page refuses."""
    for _ in range(1200):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{expression} does not hold")


@pytest.fixture
def shown(browser: Any) -> Iterator[Shown]:
    """A new page; a test in which a script failed, or the policy refused something, has failed."""
    page = browser.new_page()
    found = Shown(page)
    yield found
    page.close()
    assert not found.troubles


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read only: 240 + 40 + 40 samples of 16 px."""
    out = tmp_path_factory.mktemp("many") / "m3di"
    return write_fake_dataset(out, n_train=240, n_val=40, n_test=40, size_px=16, shard_size=100)


@pytest.fixture
def look(many: Path) -> Look:
    return open_look([many])


HOSTILE = """
extends: m3di
name: hostile
description: "<script>window.hit = 1</script><img src=x onerror='window.hit = 1'>"
factors:
  mood:
    type: categorical
    values: ["<script>window.hit = 1</script>", "<img src=x onerror='window.hit=1'>", "</script><b>bold</b>"]
    kind: label
views:
  text:
    factors:
      mood: private
"""


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset whose words are markup."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "spec.yaml").write_text(HOSTILE, encoding="utf-8")
    return write_fake_dataset(folder / "data", spec=str(folder / "spec.yaml"), size_px=16)
