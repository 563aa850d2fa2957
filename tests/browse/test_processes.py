"""Whose graph and roles are shown, and how datasets differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from m3di.browse import Look, PageServer, gather_rows, open_look
from m3di.browse.described import description
from tests.browse.conftest import Shown, until
from tests.browse.test_displayed import png
from tests.browse.test_server import ask
from tests.conftest import FakePool, write_fake_dataset

pytestmark = pytest.mark.slow
Serve = Callable[[Look], PageServer]
SPEC = """
extends: m3di
name: split-by-split
description: "One of the splits has other roles, one another graph."
splits:
  train: 20
  val: 4
  test: 4
  apart: {n: 4, views: {image: {factors: {object_ypos: {role: style, mechanism: {name: constant, value: 0}}}}}}
  free: {n: 4, factors: {object_color: {mechanism: {name: uniform}}}}
  right: {n: 4, interventions: {object_shape: hare}}
"""


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read only: a dataset whose splits have processes of their own."""
    folder = tmp_path_factory.mktemp("several")
    (folder / "spec.yaml").write_text(SPEC, encoding="utf-8")
    sizes = {"n_train": 20, "n_val": 4, "n_test": 4, "size_px": 16}
    return write_fake_dataset(folder / "several", spec=str(folder / "spec.yaml"), **sizes)


def test_each_graph_and_role_is_shown_once_with_its_splits(several: Path) -> None:
    about = description(gather_rows([several]))
    assert [each["name"] for each in about["processes"]] == ["train, val, test, right", "apart", "free"]
    assert [about["processes"][each["process"]]["name"].split(", ")[0] for each in about["blocks"]] == [
        "train", "train", "train", "apart", "free", "train",
    ]  # fmt: skip
    roles = [each["roles"]["image"]["object_ypos"] for each in about["processes"]]
    assert roles == ["content", "style", "content"]
    edges = [("object_xpos", "object_color", 0) in each["graph"][0]["edges"] for each in about["processes"]]
    assert edges == [True, True, False]
    (column,) = [each for each in about["columns"] if each["name"] == "image.object_ypos"]
    assert column["roles"] == {"content": ["train, val, test, right", "free"], "style": ["apart"]}
    (words,) = [each["process"] for each in about["datasets"]]
    assert words[0] == "as observed"
    assert words[1].startswith("split apart: view image {factors: {object_ypos: {role: style")
    assert words[2:] == [
        "split free: object_color {mechanism: {name: uniform}}", "split right: do object_shape = hare",
    ]  # fmt: skip


def test_a_dataset_beside_says_how_its_process_differs(fake_dataset: Path, several: Path, tmp_path: Path) -> None:
    independent = write_fake_dataset(tmp_path / "free", spec="m3di-independent", size_px=16)
    twin = write_fake_dataset(tmp_path / "do", interventions=["object_xpos=right"], size_px=16)
    about = description(gather_rows([fake_dataset, independent, twin, several]))
    assert [each["process"][:2] for each in about["datasets"][:3]] == [
        ["as observed"],
        ["as observed", "another process than m3di, in factors.object_color.mechanism"],
        ["object_xpos = right"],
    ]
    assert [each["spec"] for each in about["datasets"]] == ["m3di", "m3di-independent", "m3di", "split-by-split"]
    assert about["name"] == "m3di and m3di-independent and split-by-split"
    names = [each["name"] for each in about["processes"]]
    assert names == ["m3di; do; several: train, val, test, right", "free; several: free", "several: apart"]


def test_the_page_shows_each_process_and_the_roles_of_a_row(
    fake_dataset: Path, several: Path, serve: Serve, shown: Shown
) -> None:
    look = open_look([fake_dataset, several])
    (block,) = [each for each in look.gathered.blocks if each.split == "apart"]
    page = shown.goto(serve(look).url)
    assert page.locator(".process summary").all_inner_texts() == [
        f"graph and roles of {each}"
        for each in ("m3di; several: train, val, test, right", "several: apart", "several: free")
    ]
    arrows = page.eval_on_selector_all(
        ".process", "all => all.map(each => each.querySelectorAll('[data-edge=\"object_xpos object_color\"]').length)"
    )
    assert arrows == [2, 2, 0]
    heads = page.eval_on_selector_all("marker", "all => all.map(each => each.id)")
    assert len(heads) == len(set(heads)) == 6
    chips = page.locator('[data-column="image.object_ypos"] .role')
    assert chips.all_inner_texts() == ["content", "style"]
    assert chips.nth(1).get_attribute("title") == "role: style (several: apart)"
    assert page.locator('[data-column="image.object_shape"] .role').all_inner_texts() == ["content"]
    assert "split right: do object_shape = hare" in page.inner_text(".datasets")
    assert "One of the splits has other roles" in page.inner_text(".datasets")
    for row, role in ((0, "content"), (block.first, "style"), (block.first + 4, "content")):
        page.evaluate(f"location.hash = 'open={row}'")
        until(page, f"document.querySelector('#sample tbody tr:nth-child(3) .role')?.textContent === '{role}'")
        told = page.input_value(".citation input")
        assert told.startswith("split-by-split (several), " if row else "m3di (m3di), ")


def test_passes_are_those_of_the_dataset(
    fake_dataset: Path, tmp_path: Path, serve: Serve, shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = png(np.full((32, 32), 255, np.uint8))
    outcomes = FakePool.outcomes

    def with_passes(self: FakePool, jobs: Any) -> Any:
        for each in outcomes(self, jobs):
            yield replace(each, image=replace(each.image, passes={"mask": mask}))

    monkeypatch.setattr(FakePool, "outcomes", with_passes)
    with_mask = write_fake_dataset(tmp_path / "mask", passes=("mask",))
    for roots, row in (([fake_dataset, with_mask], 28), ([with_mask, fake_dataset], 0)):
        server, lacking = serve(open_look(roots)), (row + 28) % 56
        status, headers, _ = ask(server, f"pass/{row}/image/mask")
        assert (status, headers["Content-Type"]) == (200, "image/png")
        assert ask(server, f"pass/{lacking}/image/mask")[0] == 404
        page = shown.goto(f"{server.url}#open={row}")
        page.get_by_label("pass over image").select_option("mask")
        until(page, "document.querySelector('#sample .pass').getAttribute('src').endsWith('/mask')")
        page.evaluate(f"location.hash = 'open={lacking}'")
        until(page, "!document.querySelector('[aria-label=\"pass over image\"]')")
        assert not page.is_visible("#sample .pass")
