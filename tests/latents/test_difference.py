from __future__ import annotations

from pathlib import Path

import pytest

from m3di.latents import load_spec, parse_spec

OWN = "extends: m3di\nname: own\n"


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("", "nothing"),
        ("factors: {object_color: {mechanism: {name: uniform}}}", "factors.object_color.mechanism"),
        ("factors: {object_color: {mechanism: {strength: 0.5}}}", "factors.object_color.mechanism"),
        ("factors: {object_zpos: {physical: [-2, 2]}}", "factors.object_zpos.physical"),
        ("views: {image: {ground: checker}}", "views.image.ground added"),
        ("views: {image: {material: metal}}", "views.image.material"),
        ("views: {image: {factors: {object_zpos: private}}}", "views.image.factors.object_zpos"),
        ("views: {text: null}", "views.text taken away"),
        ("pairs: {counterfactual: [object_color]}", "pairs added"),
        ("splits: {train: 7}", "splits.train"),
        ("splits: {train: 125000}", "nothing"),
    ],
)
def test_a_spec_without_a_description_says_what_it_changes(text: str, changed: str) -> None:
    assert parse_spec(OWN + text, where="own.yaml").description == f"Extends m3di; changed: {changed}."


def test_a_description_of_its_own_stays() -> None:
    assert parse_spec(f"{OWN}description: Mine.", where="own.yaml").description == "Mine."


def test_every_step_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("extends: m3di\nname: a\nviews: {image: {material: metal}}\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\nname: b\nsplits: {train: 1}\n")
    told = "Extends a (Extends m3di; changed: views.image.material); changed: splits.train."
    assert load_spec(tmp_path / "b.yaml").description == told
