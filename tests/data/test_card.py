from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from m3di import data
from m3di.data.format.card import _header, dataset_card
from m3di.data.format.croissant import croissant
from m3di.data.layouts.published_latents import published_spec
from m3di.latents import caption_languages, load_spec, parse_spec
from tests.conftest import write_fake_dataset


def test_card(fake_dataset: Path) -> None:
    text = (fake_dataset / "README.md").read_text()
    _, header, body = text.split("---\n", 2)
    parsed = yaml.safe_load(header)
    assert parsed["license"] == "cc0-1.0"
    assert parsed["size_categories"] == ["n<1K"]
    assert parsed["configs"][0]["data_files"][1] == {"split": "validation", "path": "val-*.tar"}
    assert "| image | object_color | style | hue | [0, 1] | 0, 1 hue | binned(object_xpos) |" in body
    assert "| image | object_zpos | constant | position | [-1, 1] | -1, 1 m | always 0 |" in body
    assert "`KEY.png` (image), `KEY.txt` (text), `KEY.json` (latents)" in body
    assert "train 20, val 4, test 4 samples; images of 32 x 32 pixels. Seed 0." in body
    assert "![The first samples](samples.png)" in body
    with Image.open(fake_dataset / "samples.png") as picture:
        assert picture.size == (8 * 32, 32)
    assert "```yaml\nname: m3di\n" in body
    assert "**Data** (images, captions, latents): CC0" in body
    assert "**Meshes and scene**: modelled by" in body


def test_the_viewer_of_the_hub_gets_the_tables_and_readers_a_citation(fake_dataset: Path) -> None:
    _, header, body = (fake_dataset / "README.md").read_text().split("---\n", 2)
    parsed = yaml.safe_load(header)
    default, latents = parsed["configs"]
    assert (default["config_name"], default["default"], latents["config_name"]) == ("default", True, "latents")
    assert [each["path"] for each in latents["data_files"]] == ["train.parquet", "val.parquet", "test.parquet"]
    assert all((fake_dataset / each["path"]).exists() for each in latents["data_files"])
    assert parsed["language"] == ["en"]
    assert "@inproceedings{daunhawer2023identifiability," in body


@pytest.mark.parametrize(
    ("n", "size"),
    [(999, "n<1K"), (1_000, "1K<n<10K"), (2_000_000, "1M<n<10M"), (10_000_000, "10M<n<100M"), (10**9, "n>1B")],
)
def test_size_categories_are_those_of_the_hub(n: int, size: str, fake_dataset: Path) -> None:
    manifest = data.read_manifest(fake_dataset)
    assert _header(manifest, {"train": n})["size_categories"] == [size]


@pytest.mark.parametrize(
    ("views", "listed", "said"),
    [
        ({"text": {"template": "german"}}, ["de"], "de"),
        ({"other": {"modality": "text", "template": "german"}}, ["de", "en"], ["de", "en"]),
        ({"text": None}, None, None),
    ],
)
def test_the_language_is_that_of_the_captions(
    views: dict[str, Any], listed: object, said: object, fake_dataset: Path
) -> None:
    if "other" in views:
        views["other"]["factors"] = load_spec("m3di").plain["views"]["text"]["factors"]
    spec = parse_spec(yaml.safe_dump({"extends": "m3di", "name": "t", "views": views}), where="t.yaml")
    assert caption_languages(spec) == (listed or [])
    manifest = data.read_manifest(fake_dataset)
    manifest = manifest.model_copy(update={"spec": spec.plain})
    assert _header(manifest, {"train": 1}).get("language") == listed
    described = json.loads(croissant(manifest, {name: pa.schema([]) for name in manifest.splits}))
    assert described.get("inLanguage") == said


def test_published_captions_are_english_without_a_template_of_ours() -> None:
    assert caption_languages(published_spec()) == ["en"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "split", "keys"),
    [
        ("m3di", None, ["image", "caption", "z_image"]),
        ("m3di", "val", ["image", "caption", "z_image"]),
        ("image-pairs", None, ["view1", "z_view1"]),
        ("causal3dident", None, ["image", "z_image"]),
        ("m3di-sequence", "test", ["image_t0", "caption", "z_image_t0"]),
    ],
)
def test_what_the_card_says_loads(spec: str, split: str | None, keys: list[str], tmp_path: Path) -> None:
    root = write_fake_dataset(tmp_path / "whole", spec=spec)
    if split is not None:
        data.subset(root, tmp_path / "cut", splits=[split])
        root = tmp_path / "cut"
    card = (root / "README.md").read_text()
    assert ("language" in yaml.safe_load(card.split("---\n", 2)[1])) is ("caption" in keys)  # of captions
    code = card.partition("```python\n")[2].partition("```")[0]
    assert re.findall(r'\[0\]\["(\w+)"\]', code) == keys
    exec(code.replace("path/of/this/folder", str(root)))


def test_foreign_meshes_keep_their_licences_in_card_and_croissant(fake_dataset: Path) -> None:
    manifest = data.read_manifest(fake_dataset).model_copy(update={"shapes": {"lamp": "0" * 64}})
    card = dataset_card(manifest)
    assert yaml.safe_load(card.split("---\n", 2)[1])["license"] == "other"
    assert "none is a third party's" not in card
    assert "whose licences hold for the images of them: `lamp`" in card
    schemas = {split: pq.read_schema(fake_dataset / f"{split}.parquet") for split in manifest.splits}
    licence = json.loads(croissant(manifest, schemas))["license"]
    assert licence.startswith("https://creativecommons.org/publicdomain/zero/1.0/; images of lamp: the licences of")
    assert json.loads((fake_dataset / "croissant.json").read_text())["license"] == licence.partition(";")[0]
