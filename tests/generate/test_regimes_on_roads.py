"""Regimes on every road of a run: equal bytes, verified, told, chosen by, loaded, exported; twins share targets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from m3di import Multimodal3DIdent, data
from m3di.generate.twins import render_twin
from m3di.latents import load_spec, sample
from tests.conftest import write_fake_dataset
from tests.generate.roads import same_by_every_road

INSIDE = """
extends: m3di
name: roads
regimes:
  intervened:
    chosen: {probability: 0.4}
    cases: {object_xpos: {object_xpos: left}, hue: {object_color: uniform}}
  environment: {cases: {usual: {}, dark: {background_color: {name: uniform, high: 0.2}}}}
"""


@pytest.fixture
def spec(tmp_path: Path) -> str:
    path = tmp_path / "roads.yaml"
    path.write_text(INSIDE)
    return str(path)


@pytest.mark.slow
def test_targets_and_labels_are_told_chosen_by_and_loaded(tmp_path: Path, spec: str) -> None:
    root = write_fake_dataset(tmp_path / "data", spec=spec)
    data.verify(root)
    lines = data.info(root)
    assert "regime    intervened: object_xpos, hue (object_color); each with probability 0.4" in lines
    assert "environment: usual (nothing is replaced), dark (background_color); the case that the factor names" in lines
    card = (root / "README.md").read_text()
    assert "- intervened: object_xpos, hue (object_color); each with probability 0.4" in card
    assert "| binned(object_xpos), or uniform where intervened_hue is yes |" in card
    assert '"image.intervened_hue_name"' in (root / "croissant.json").read_text()
    whole = Multimodal3DIdent(root)
    targets = [whole[number]["z_image"] for number in range(len(whole))]
    assert all(each["object_xpos"] == 0 for each in targets if each["intervened_object_xpos"] == 1)
    dark = Multimodal3DIdent(root, filter='image.environment == "dark" and image.intervened_hue == "no"')
    assert len(dark) == sum(each["environment"] == 1 and each["intervened_hue"] == 0 for each in targets)
    assert 0 < len(dark) < len(whole)
    assert all(dark[number]["z_image"]["background_color"] <= 0.2 for number in range(len(dark)))
    data.export(root, "imagefolder", tmp_path / "exported")
    assert "intervened_hue" in next((tmp_path / "exported").rglob("metadata.jsonl")).read_text()


def test_the_table_has_the_targets_that_are_drawn(tmp_path: Path, spec: str) -> None:
    table = data.read_parquet(write_fake_dataset(tmp_path / "data", spec=spec) / "test.parquet")
    drawn = sample(load_spec(spec), "test", table.num_rows).views["image"]
    for name in ("intervened_object_xpos", "intervened_hue", "environment", "object_xpos"):
        assert (np.asarray(table[f"image.{name}"]) == drawn[name]).all()


@pytest.mark.slow
@pytest.mark.usefixtures("pools")
def test_every_road_gives_the_same_bytes_and_a_twin_shares_the_drawn_target(
    tmp_path: Path, spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = same_by_every_road(tmp_path, spec, monkeypatch, stop_after=10)
    before = data.read_parquet(whole / "test.parquet").to_pydict()
    for asked in ("object_xpos=right", "environment=dark", "intervened_hue=yes"):
        twin, _ = render_twin(whole, interventions=(asked,), n_workers=1)
        data.verify(twin)
        after = data.read_parquet(twin / "test.parquet").to_pydict()
        assert after["image.intervened_object_xpos"] == before["image.intervened_object_xpos"]
        assert after["image.object_shape"] == before["image.object_shape"]
        name, _, value = asked.partition("=")
        assert set(after[f"image.{name}_name"]) == {value}
