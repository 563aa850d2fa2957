"""Contrast, and narrow screens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from m3di.browse import Look, PageServer
from tests.browse.acting import category, rows_shown
from tests.browse.conftest import Shown, until

pytestmark = pytest.mark.slow
Serve = Callable[[Look], PageServer]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_in_the_dark_and_on_a_phone(look: Look, serve: Serve, shown: Shown, scheme: str) -> None:
    shown.page.emulate_media(color_scheme=scheme)
    page = shown.goto(serve(look).url)
    page.wait_for_selector("#grid button")
    assert rows_shown(page)
    for selector in ("body", ".caption", ".bounds span", "#grid button", ".category .n", ".role-content", "figcaption"):
        assert contrast(page, selector) >= 4.5, selector
    pair = page.locator('[data-edge="object_xpos object_color"]').first
    pair.dispatch_event("click")
    assert contrast(page, ".pair text", "fill") >= 4.5
    page.set_viewport_size({"width": 360, "height": 700})
    until(page, "document.documentElement.scrollWidth <= 360")
    assert not page.is_visible("#filters")
    page.click('[data-tab="filters"]')
    category(page, "image.object_shape", "cow")
    page.click('[data-tab="samples"]')
    assert len(rows_shown(page)) > 1
    page.locator("#grid button").first.click()
    page.wait_for_selector("#sample[open]")
    until(page, "document.documentElement.scrollWidth <= 360")
    assert page.locator("#sample td", has_text="image").first.bounding_box()["height"] < 30  # a word is one line


def contrast(page: Any, selector: str, ink: str = "color") -> float:
    """Of a text with what it lies on (WCAG 2): 1 is none, 21 is black on white."""
    colors = page.eval_on_selector(
        selector,
        """(element, ink) => {
          const numbers = text => text.match(/[\\d.]+/g).map(Number);
          let behind = element;
          while (numbers(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
          return [getComputedStyle(element)[ink], getComputedStyle(behind).backgroundColor].map(numbers);
        }""",
        ink,
    )
    light = []
    for color in colors:
        share = np.array(color[:3]) / 255
        light.append(
            np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]
        )
    return (max(light) + 0.05) / (min(light) + 0.05)
