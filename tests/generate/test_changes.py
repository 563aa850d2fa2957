"""Random subsets, wrong captions and texts of one's own on every road of a run: equal bytes, verified, exported."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from m3di import data
from m3di.generate.twins import render_twin
from m3di.latents import captions, load_spec, sample
from tests.generate.roads import same_by_every_road

SPEC = """
extends: m3di
name: roads
views:
  text: {misstates: {probability: {object_shape: 0.5}}}
  told: {modality: text, template: minimal, texts: texts.csv, factors: {object_shape: content, object_xpos: content,
    object_ypos: content, text_color: style, text_palette: private}}
  after:
    modality: image
    changes: {probability: 0.5, at_least: 1}
    factors:
      object_shape: content
      object_color: {role: style, change: {name: uniform}}
      spotlight_pos: {role: style, change: {name: ar1}}
  mixed:
    modality: image
    mixes: [image, after]
    changes: {probability: 0.5, at_least: 1, at_most: 1}
    factors: {object_shape: content, object_color: style, spotlight_pos: style}
"""


def spec_file(folder: Path) -> str:
    path = folder / "roads.yaml"
    path.write_text(SPEC.replace("texts: texts.csv, ", ""))
    spec, sizes = load_spec(path), {"train": 20, "val": 4, "test": 4}
    told = {each for split, n in sizes.items() for each in captions(sample(spec, split, n), "told")}
    with (folder / "texts.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("caption", "text"), *((each, f"Indeed: {each}") for each in sorted(told))])
    path.write_text(SPEC)
    return str(path)


@pytest.mark.slow
@pytest.mark.usefixtures("pools")
def test_every_road_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_file(tmp_path)
    whole = same_by_every_road(tmp_path, spec, monkeypatch, stop_after=30)
    data.verify(whole)
    twin, _ = render_twin(whole, interventions=("after.after_changed_object_color=changed",), n_workers=1)
    data.verify(twin)
    before, after = (data.read_parquet(root / "test.parquet") for root in (whole, twin))
    assert after["after.after_changed_object_color"].to_pylist() == [1] * 4
    assert after["after.spotlight_pos"].to_pylist() == before["after.spotlight_pos"].to_pylist()
    assert after["text.caption"].to_pylist() == before["text.caption"].to_pylist()
    data.export(whole, "imagefolder", tmp_path / "exported")
    assert "after_changed_object_color" in next((tmp_path / "exported").rglob("metadata.jsonl")).read_text()
